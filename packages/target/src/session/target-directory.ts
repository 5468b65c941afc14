/** What a host may learn of the target, once it has logged in: where it is, and what is this host's. */
import {
  ACCESS_PAGE_PARTITIONS,
  type AccessInformation,
  formatTargetAddress,
} from '@platter/protocol/iscsi'
import type { SessionIdentity } from './session.ts'
import type { ConnectionAddresses, TargetNodeOptions } from './target-node.ts'
import { protocolVersions } from './version.ts'

export interface TargetDirectoryOptions {
  readonly node: TargetNodeOptions
  /** Of the connection that the host asks on. */
  readonly addresses: ConnectionAddresses
  readonly identity: SessionIdentity
}

/** One for each connection. */
export class TargetDirectory {
  readonly #node: TargetNodeOptions
  readonly #addresses: ConnectionAddresses
  readonly #identity: SessionIdentity

  constructor({ node, addresses, identity }: TargetDirectoryOptions) {
    this.#node = node
    this.#addresses = addresses
    this.#identity = identity
  }

  get targetName(): string {
    return this.#node.targetName
  }

  /** Whether there is a target to the initiator at all. */
  get isForInitiator(): boolean {
    return this.#node.isFor?.(this.#identity.initiatorName, this.#addresses.remoteHost) ?? true
  }

  /** Values of TargetAddress: the portals that the host can use, as things are now. */
  targetAddresses(): readonly string[] {
    return this.#portals().map(formatTargetAddress)
  }

  /**
   * A page of what the host may use, the partitions from `firstLun` on. Undefined when this host is not
   * told: a Discovery session has no private keys (RFC 7143 section 4.3), and no partitions.
   */
  accessInformation(firstLun: number): AccessInformation | undefined {
    const { initiatorName, type } = this.#identity
    const partitions = type === 'Normal' ? this.#node.partitionsOf?.(initiatorName) : undefined
    if (partitions === undefined) return undefined
    const versions = protocolVersions.map((version) => version.number)
    const due = partitions
      .filter(({ lun }) => lun >= firstLun)
      .toSorted((one, other) => one.lun - other.lun)
    return {
      server: this.#node.nodeArchitecture ?? '',
      versionMin: Math.min(...versions),
      versionMax: Math.max(...versions),
      maxConnections:
        this.#node.maxConnections?.(initiatorName) ?? this.#node.negotiation.maxConnections,
      portals: this.#portals(),
      partitions: due.slice(0, ACCESS_PAGE_PARTITIONS),
      nextLun: due[ACCESS_PAGE_PARTITIONS]?.lun,
    }
  }

  #portals() {
    const { targetPortalGroupTag, dataPorts } = this.#node
    const { localHost: host, localPort: port } = this.#addresses
    const own = dataPorts?.portalOf(this.#identity.initiatorName, { host, port })
    const portals = own === undefined ? this.#addresses.portals() : [own]
    return portals.map((portal) => ({ ...portal, targetPortalGroupTag }))
  }
}
