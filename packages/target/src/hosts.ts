/** The hosts that the server knows by their iSCSI names, and what has been set for each. In the state. */
import { parseName } from '@platter/protocol/iscsi'
import { type HostChange, TargetError } from './admin/target-facade.ts'
import type { HostAuthentication } from './authentication.ts'
import { isWithin, parseNetwork } from './networks.ts'
import type { Host, StateStore } from './state.ts'

/** For hosts for which nothing else has been set. */
export interface HostDefaults {
  readonly maxConnections: number
  readonly maxSessions: number
  readonly dataPorts: 'fixed' | 'dynamic'
}

export class Hosts {
  readonly #state: StateStore
  readonly #defaults: HostDefaults

  constructor(state: StateStore, defaults: HostDefaults) {
    this.#state = state
    this.#defaults = defaults
  }

  list(): readonly Host[] {
    return this.#state.current.hosts ?? []
  }

  /** How many connections a session of the host with this name, in its normal form, may have. */
  maxConnections(name: string): number {
    return this.#find(name)?.maxConnections ?? this.#defaults.maxConnections
  }

  /** How many sessions the host with this name, in its normal form, may have. */
  maxSessions(name: string): number {
    return this.#find(name)?.maxSessions ?? this.#defaults.maxSessions
  }

  /** What the host with this name, in its normal form, must show beside what the server asks of all. */
  authenticationOf(name: string): HostAuthentication {
    return this.#find(name) ?? {}
  }

  /** Whether the host with this name, in its normal form, logs in at ports of its own. */
  hasDynamicPorts(name: string): boolean {
    return (this.#find(name)?.dataPorts ?? this.#defaults.dataPorts) === 'dynamic'
  }

  /** Whether the host with this name, in its normal form, is known. */
  isKnown(name: string): boolean {
    return this.#find(name) !== undefined
  }

  /** Whether the host with this name, in its normal form, may come from this IP address. */
  mayComeFrom(name: string, address: string): boolean {
    const networks = this.#find(name)?.networks
    return networks === undefined || isWithin(networks, address)
  }

  async create({ name: wanted, ...change }: HostChange & { readonly name: string }): Promise<Host> {
    const name = normalName(wanted)
    if (this.isKnown(name)) throw new TargetError('already-exists', `host ${name} is known already`)
    const host = changed({ name }, change)
    await this.#write([...this.list(), host])
    return host
  }

  async set(wanted: string, change: HostChange): Promise<Host> {
    const before = this.get(wanted)
    const host = changed(before, change)
    await this.#write(this.list().map((it) => (it === before ? host : it)))
    return host
  }

  /** Forgets the host, with its grants. */
  async delete(wanted: string): Promise<void> {
    const host = this.get(wanted)
    const { grants } = this.#state.current
    await this.#state.replace({
      ...this.#state.current,
      hosts: this.list().filter((it) => it !== host),
      grants: grants.filter((grant) => grant.host !== host.name),
    })
  }

  /** The host of that name, in whichever form. Throws TargetError when it is not known. */
  get(wanted: string): Host {
    const name = normalName(wanted)
    const host = this.#find(name)
    if (host !== undefined) return host
    throw new TargetError(
      'not-found',
      `host ${name} is not known; make it with: platterd host create ${name}`,
    )
  }

  #find(name: string): Host | undefined {
    return this.list().find((host) => host.name === name)
  }

  #write(hosts: Host[]): Promise<void> {
    return this.#state.replace({ ...this.#state.current, hosts })
  }
}

function changed(before: Host, change: HostChange): Host {
  const { networks, minAuth, allowUnauthenticated, ...settings } = change
  const { networks: networksBefore, minAuth: _, allowUnauthenticated: __, ...rest } = before
  const wanted = networks?.map(normalNetwork) ?? networksBefore ?? []
  return {
    ...rest,
    ...settings,
    ...(wanted.length > 0 && { networks: wanted }),
    ...changedFloor(before, change),
  }
}

/** The last that was said counts, and takes back what was said before. */
function changedFloor(before: Host, change: HostChange): HostAuthentication {
  const { minAuth, allowUnauthenticated } = change
  if (allowUnauthenticated && (minAuth ?? 'none') !== 'none') {
    const message = `minAuth ${minAuth} and allowUnauthenticated contradict each other`
    throw new TargetError('invalid-request', message)
  }
  if (allowUnauthenticated) return { allowUnauthenticated }
  if (minAuth === 'none') return {}
  if (minAuth !== undefined) return { minAuth }
  return {
    ...(before.minAuth && { minAuth: before.minAuth }),
    ...(before.allowUnauthenticated && { allowUnauthenticated: true }),
  }
}

function normalName(text: string): string {
  const name = parseName(text)?.name
  if (name !== undefined) return name
  throw new TargetError('invalid-request', `name: got ${text}, wanted an iSCSI name`)
}

function normalNetwork(text: string): string {
  const network = parseNetwork(text)
  if (network !== undefined) return network
  const wanted = 'a network such as 192.0.2.0/24, or an address'
  throw new TargetError('invalid-request', `networks: got ${text}, wanted ${wanted}`)
}
