/**
 * Login redirection (RFC 7143 section 11.13.5): which hosts are sent to another address instead of
 * being let in. Kept in the state; login.ts asks for it once a host is authenticated.
 */
import { formatTargetAddress, parseName, parseTargetAddress } from '@platter/protocol/iscsi'
import { TargetError } from './admin/target-facade.ts'
import type { Redirect, StateStore } from './state.ts'

/** Stands for every host that has no redirect of its own. */
const ALL_HOSTS = '*'

export class Redirects {
  readonly #state: StateStore
  readonly #ownPortals: () => readonly string[]

  /** `ownPortals` answers with the addresses that this server listens on, as `host:port`. */
  constructor(state: StateStore, ownPortals: () => readonly string[]) {
    this.#state = state
    this.#ownPortals = ownPortals
  }

  list(): readonly Redirect[] {
    return this.#state.current.redirects ?? []
  }

  /** Where a host with this name, in its normal form, is sent. */
  of(initiatorName: string): Redirect | undefined {
    const of = (name: string) => this.list().find(({ host }) => host === name)
    return of(initiatorName) ?? of(ALL_HOSTS)
  }

  async create(wanted: Redirect): Promise<Redirect> {
    const host = normalHost(wanted.host)
    const address = this.#otherAddress(wanted.address)
    const redirect = { host, address, permanent: wanted.permanent }
    if (this.list().some((other) => other.host === host)) {
      throw new TargetError('already-exists', `there is a redirect of ${describe(host)} already`)
    }
    await this.#write([...this.list(), redirect])
    return redirect
  }

  async delete(wanted: string): Promise<void> {
    const host = normalHost(wanted)
    const others = this.list().filter((redirect) => redirect.host !== host)
    if (others.length === this.list().length) {
      throw new TargetError('not-found', `there is no redirect of ${describe(host)}`)
    }
    await this.#write(others)
  }

  #write(redirects: Redirect[]): Promise<void> {
    return this.#state.replace({ ...this.#state.current, redirects })
  }

  #otherAddress(text: string): string {
    const address = parseTargetAddress(text)
    if (address === undefined || address.targetPortalGroupTag !== undefined) {
      throw new TargetError('invalid-request', `address: got ${text}, wanted HOST or HOST:PORT`)
    }
    const normal = formatTargetAddress(address)
    if (this.#ownPortals().includes(normal)) {
      throw new TargetError(
        'invalid-request',
        `address: ${normal} is this server itself, which would send its hosts round in circles`,
      )
    }
    return normal
  }
}

function normalHost(text: string): string {
  const host = text === ALL_HOSTS ? text : parseName(text)?.name
  if (host !== undefined) return host
  throw new TargetError('invalid-request', `host: got ${text}, wanted an iSCSI name`)
}

function describe(host: string): string {
  return host === ALL_HOSTS ? 'all hosts' : host
}
