/** What the server has been told of single hosts, by their iSCSI names. Kept in the state. */
import { parseName } from '@platter/protocol/iscsi'
import { TargetError } from './admin/target-facade.ts'
import type { Host, StateStore } from './state.ts'

export class Hosts {
  readonly #state: StateStore
  readonly #maxConnections: number

  /** `maxConnections` is for hosts of which nothing else has been told. */
  constructor(state: StateStore, maxConnections: number) {
    this.#state = state
    this.#maxConnections = maxConnections
  }

  list(): readonly Host[] {
    return this.#state.current.hosts ?? []
  }

  /** How many connections a session of the host with this name, in its normal form, may have. */
  maxConnections(name: string): number {
    return this.list().find((host) => host.name === name)?.maxConnections ?? this.#maxConnections
  }

  /** Takes the place of what was told of that host before. */
  async set(wanted: Host): Promise<Host> {
    const host = { ...wanted, name: normalName(wanted.name) }
    await this.#write([...this.list().filter(({ name }) => name !== host.name), host])
    return host
  }

  async delete(wanted: string): Promise<void> {
    const name = normalName(wanted)
    const others = this.list().filter((host) => host.name !== name)
    if (others.length === this.list().length) {
      throw new TargetError('not-found', `nothing has been set for host ${name}`)
    }
    await this.#write(others)
  }

  #write(hosts: Host[]): Promise<void> {
    return this.#state.replace({ ...this.#state.current, hosts })
  }
}

function normalName(text: string): string {
  const name = parseName(text)?.name
  if (name !== undefined) return name
  throw new TargetError('invalid-request', `name: got ${text}, wanted an iSCSI name`)
}
