/**
 * Dynamic data ports: each is opened for one host when that has authenticated in a discovery session, and
 * closed when the host has not used it for a while. Knows neither sockets nor a clock of its own.
 */
import { LoginStatus } from '@platter/protocol/iscsi'
import { formatPortal } from './config.ts'
import type { DataPortPolicy, LocalEnd } from './session/data-port-policy.ts'
import type { LoginIdentity, LoginRefusal } from './session/login-policy.ts'

/** A listening port that is for one host. */
export interface DataPort extends LocalEnd {
  /** The iSCSI name that it is for, in its normal form. */
  readonly initiatorName: string
  /** When it is closed unless it is used before, in ms from now; undefined while a session uses it. */
  readonly leftMs: number | undefined
}

export interface DataPortsOptions {
  /** Whether a host has ports of its own, and not the fixed ones. */
  readonly isDynamic: (initiatorName: string) => boolean
  /** Listens on a free port of an address. */
  readonly open: (address: string) => Promise<number>
  readonly close: (port: LocalEnd) => void
  /** A clock that never goes back, in ms. */
  readonly nowMs: () => number
  readonly portsMax: number
  /** How long a port stays open that no session uses. */
  readonly unusedMs: number
  /** Where the connections of sessions have come to, as `host:port`. */
  readonly inUse: () => ReadonlySet<string>
}

type Lease = Omit<DataPort, 'leftMs'> & { usedMs: number }

export class DataPorts implements DataPortPolicy {
  readonly #options: DataPortsOptions
  /** By the host and the address that it came to. */
  readonly #leases = new Map<string, Lease>()
  readonly #opening = new Map<string, Promise<LoginRefusal | undefined>>()

  constructor(options: DataPortsOptions) {
    this.#options = options
  }

  list(): DataPort[] {
    const { inUse, nowMs, unusedMs } = this.#options
    const used = inUse()
    return [...this.#leases.values()].map(({ usedMs, ...port }) => ({
      ...port,
      leftMs: used.has(formatPortal(port)) ? undefined : Math.max(0, usedMs + unusedMs - nowMs()),
    }))
  }

  /** Whether `portal`, as `host:port`, is a port of a host. */
  has(portal: string): boolean {
    return [...this.#leases.values()].some((lease) => formatPortal(lease) === portal)
  }

  prepare(initiatorName: string, local: LocalEnd, done: (refusal?: LoginRefusal) => void): void {
    if (!this.#options.isDynamic(initiatorName)) {
      done()
      return
    }
    const key = keyOf(initiatorName, local)
    const lease = this.#leases.get(key)
    if (lease !== undefined) {
      lease.usedMs = this.#options.nowMs()
      done()
      return
    }
    const opening = this.#opening.get(key) ?? this.#open(key, initiatorName, local.host)
    this.#opening.set(key, opening)
    void opening.then((refusal) => {
      this.#opening.delete(key)
      done(refusal)
    })
  }

  async #open(key: string, initiatorName: string, host: string): Promise<LoginRefusal | undefined> {
    const { open, nowMs, portsMax } = this.#options
    const status = LoginStatus.OutOfResources
    if (this.#leases.size + this.#opening.size >= portsMax) {
      return { status, detail: `there are ${portsMax} data ports, which is the limit` }
    }
    try {
      const port = await open(host)
      this.#leases.set(key, { initiatorName, host, port, usedMs: nowMs() })
      return undefined
    } catch (error) {
      return { status, detail: `no data port can be had: ${(error as Error).message}` }
    }
  }

  refusalAt(
    { initiatorName, sessionType }: LoginIdentity,
    local: LocalEnd,
  ): LoginRefusal | undefined {
    const status = LoginStatus.AuthorizationFailure
    const lease = [...this.#leases.values()].find(
      ({ host, port }) => host === local.host && port === local.port,
    )
    if (lease !== undefined) {
      if (lease.initiatorName === initiatorName) return undefined
      return { status, detail: `port ${local.port} is that of another host` }
    }
    if (sessionType === 'Discovery' || !this.#options.isDynamic(initiatorName)) return undefined
    return { status, detail: 'the host has dynamic data ports, which it is told in discovery' }
  }

  portalOf(initiatorName: string, local: LocalEnd): LocalEnd | undefined {
    if (!this.#options.isDynamic(initiatorName)) return undefined
    const lease = this.#leases.get(keyOf(initiatorName, local))
    return lease && { host: lease.host, port: lease.port }
  }

  /** Closes the ports that no session has used for long. */
  expire(): void {
    if (this.#leases.size === 0) return
    const { inUse, nowMs, unusedMs, close } = this.#options
    const used = inUse()
    for (const [key, lease] of this.#leases) {
      if (used.has(formatPortal(lease))) lease.usedMs = nowMs()
      if (nowMs() - lease.usedMs < unusedMs) continue
      this.#leases.delete(key)
      close(lease)
    }
  }
}

function keyOf(initiatorName: string, { host }: LocalEnd): string {
  return `${initiatorName} ${host}`
}
