/** Who may use which partition, as which LUN: every change to the grants, which the state keeps. */
import type { AccessiblePartition } from '@platter/protocol/iscsi'
import type { ShownGrant } from './admin/model.ts'
import {
  type GrantChange,
  type GrantKey,
  type NewGrant,
  type PartitionKey,
  TargetError,
} from './admin/target-facade.ts'
import { ALL_HOSTS, freeLun, type Grant, grantsOf, takesLunOf } from './grant.ts'
import type { Hosts } from './hosts.ts'
import type { Inventory } from './inventory.ts'
import type { StateStore } from './state.ts'

export interface GrantsOptions {
  readonly state: StateStore
  readonly inventory: Inventory
  readonly hosts: Hosts
  /** The grants are others now; resolves when no host does any more what it may not. */
  readonly changed: () => Promise<void>
}

export class Grants {
  readonly #state: StateStore
  readonly #inventory: Inventory
  readonly #hosts: Hosts
  readonly #changed: () => Promise<void>

  constructor({ state, inventory, hosts, changed }: GrantsOptions) {
    this.#state = state
    this.#inventory = inventory
    this.#hosts = hosts
    this.#changed = changed
  }

  /** Those of the partitions that are available. */
  list(): ShownGrant[] {
    return this.#all.flatMap((grant) => this.#describe(grant) ?? [])
  }

  /** The partitions that are available to the host with this name, in its normal form, as it is told of them. */
  partitionsOf(host: string): AccessiblePartition[] {
    return grantsOf(this.#all, host).flatMap(({ partition: id, lun, access, sharing }) => {
      const found = this.#inventory.partitionWithId(id)
      if (found === undefined) return []
      const { sizeBytes, name } = found.partition
      return [{ lun, access, sharing, sizeBytes, array: found.array.name, name }]
    })
  }

  async create({ sharing, access = 'read-write', ...wanted }: NewGrant): Promise<ShownGrant> {
    const host = this.hostNamed(wanted.host)
    const { array, partition } = this.#inventory.findPartition(keyOf(wanted))
    const lun = wanted.lun ?? freeLun(this.#all, host, partition.id)
    if (lun === undefined) throw new TargetError('no-space', `every LUN of ${host} is in use`)
    const grant: Grant = {
      host,
      array: array.id,
      partition: partition.id,
      lun,
      access,
      sharing: sharing ?? (host === ALL_HOSTS ? 'shared' : 'exclusive'),
    }
    this.#refuseSecond(grant, `${array.name}/${partition.name}`)
    await this.#write([...this.#all, grant])
    return this.#describe(grant) as ShownGrant
  }

  async set(key: GrantKey, { access, sharing }: GrantChange): Promise<ShownGrant> {
    const before = this.#find(key)
    const grant: Grant = {
      ...before,
      access: access ?? before.access,
      sharing: sharing ?? before.sharing,
    }
    const others = this.#othersOf(before)
    if (grant.sharing === 'exclusive' && others.length > 0) {
      const name = `${key.array}/${key.partition}`
      throw new TargetError('in-use', `${name} is granted to ${namesOf(others)} as well`)
    }
    refuseExclusiveForAll(grant)
    await this.#write(this.#all.map((it) => (it === before ? grant : it)))
    return this.#describe(grant) as ShownGrant
  }

  async delete(key: GrantKey): Promise<void> {
    const grant = this.#find(key)
    await this.#write(this.#all.filter((it) => it !== grant))
  }

  /** The name in its normal form, or `*`. Throws TargetError when no such host is known. */
  hostNamed(wanted: string): string {
    return wanted === ALL_HOSTS ? wanted : this.#hosts.get(wanted).name
  }

  get #all(): readonly Grant[] {
    return this.#state.current.grants
  }

  #find(key: GrantKey): Grant {
    const host = this.hostNamed(key.host)
    const { partition } = this.#inventory.findPartition(keyOf(key))
    const grant = this.#all.find((it) => it.partition === partition.id && it.host === host)
    if (grant !== undefined) return grant
    throw new TargetError(
      'not-found',
      `${key.array}/${key.partition} is not granted to ${namesOf([{ host }])}`,
    )
  }

  /** Says in words what stands in the way of one more grant, called `name` here. */
  #refuseSecond(grant: Grant, name: string): void {
    const others = this.#othersOf(grant)
    const exclusive = others.find(({ sharing }) => sharing === 'exclusive')
    if (others.some(({ host }) => host === grant.host)) {
      throw new TargetError('already-exists', `${name} is granted to ${namesOf([grant])} already`)
    }
    if (exclusive !== undefined) {
      const { host } = exclusive
      throw new TargetError(
        'in-use',
        `${name} is granted to ${host} exclusively; to share it: platterd grant set ${name} --host ${host} --shared`,
      )
    }
    refuseExclusiveForAll(grant)
    if (grant.sharing === 'exclusive' && others.length > 0) {
      const why = `${name} is granted to ${namesOf(others)} already`
      throw new TargetError('in-use', `${why}: this grant must be shared too (--shared)`)
    }
    const holder = this.#all.find((other) => takesLunOf(other, grant))
    if (holder !== undefined) {
      const { array, partition } = this.#describe(holder) ?? {}
      const what = array === undefined ? 'a partition that is away' : `${array}/${partition}`
      const why = `LUN ${grant.lun} is ${what} for ${namesOf([holder])}`
      throw new TargetError('in-use', why)
    }
  }

  #othersOf(grant: Grant): Grant[] {
    return this.#all.filter((it) => it !== grant && it.partition === grant.partition)
  }

  #describe({ partition: id, host, lun, access, sharing }: Grant): ShownGrant | undefined {
    const found = this.#inventory.partitionWithId(id)
    if (found === undefined) return undefined
    const { array, partition } = found
    return { array: array.name, partition: partition.name, host, lun, access, sharing }
  }

  async #write(grants: Grant[]): Promise<void> {
    await this.#state.replace({ ...this.#state.current, grants })
    await this.#changed()
  }
}

function keyOf({ array, partition }: { array: string; partition: string }): PartitionKey {
  return { array, name: partition }
}

function namesOf(grants: readonly { readonly host: string }[]): string {
  return grants.map(({ host }) => (host === ALL_HOSTS ? 'all hosts' : host)).join(', ')
}

function refuseExclusiveForAll({ host, sharing }: Pick<Grant, 'host' | 'sharing'>): void {
  if (host !== ALL_HOSTS || sharing === 'shared') return
  throw new TargetError('invalid-request', 'what all hosts are granted is shared')
}
