/**
 * The secrets of CHAP: what hosts authenticate with, and what this server authenticates to them with.
 * Kept in the state, whose file only its owner may read; nothing here ever shows one.
 */
import { CHAP_SECRET_BYTES_MAX, CHAP_SECRET_BYTES_MIN, parseName } from '@platter/protocol/iscsi'
import type { ShownSecret } from './admin/model.ts'
import { type NewSecret, TargetError } from './admin/target-facade.ts'
import type { HostCredentials } from './session/authentication.ts'
import type { HostSecret, StateStore } from './state.ts'

/** Stands for every host that has no secret of its own. */
const ALL_HOSTS = '*'

export class Secrets {
  readonly #state: StateStore

  constructor(state: StateStore) {
    this.#state = state
  }

  list(): ShownSecret[] {
    return this.#all.map((it) => this.#show(it))
  }

  /** What the host with this name, in its normal form, must show; undefined if it must show nothing. */
  credentialsOf(initiatorName: string): HostCredentials | undefined {
    const found = this.#find(initiatorName) ?? this.#find(ALL_HOSTS)
    if (found === undefined) return undefined
    const { user, secret, target } = found
    return {
      host: { user: user ?? initiatorName, secret: Buffer.from(secret) },
      target: target && {
        user: target.user ?? this.#state.current.targetName,
        secret: Buffer.from(target.secret),
      },
    }
  }

  /** Whether there is a secret for the host with this name, in its normal form, and not just for all. */
  hasOwn(initiatorName: string): boolean {
    return this.#find(initiatorName) !== undefined
  }

  /**
   * Sets or replaces one direction. What a host authenticates with may not be what the server does, to
   * this host or another; that two hosts share a secret is told, and no error (RFC 7143 section 9.2.1).
   */
  async set({ host: wanted, user, secret, mutual }: NewSecret): Promise<ShownSecret> {
    const host = normalHost(wanted)
    checkLength(secret)
    const before = this.#find(host)
    if (mutual && before === undefined) {
      throw new TargetError('not-found', `${host} has no secret yet: set its own first`)
    }
    const one = { user, secret }
    const clash = this.#all.find((it) => secret === (mutual ? it.secret : it.target?.secret))
    if (clash !== undefined) {
      const whose = clash.host === host ? 'both directions have' : `${clash.host} has`
      const where = clash.host === host ? '' : ' in the other direction'
      throw new TargetError('invalid-request', `${whose} the same secret${where}`)
    }
    const next = { ...(before ?? { host }), ...(mutual ? { target: one } : one) } as HostSecret
    await this.#write([...this.#all.filter((it) => it.host !== host), next])
    return this.#show(next)
  }

  async delete(wanted: string): Promise<void> {
    const host = normalHost(wanted)
    if (this.#find(host) === undefined) {
      throw new TargetError('not-found', `${host} has no secret`)
    }
    await this.#write(this.#all.filter((it) => it.host !== host))
  }

  #show({ host, user, secret, target }: HostSecret): ShownSecret {
    const sharedWith = this.#all
      .filter((it) => it.host !== host)
      .filter((it) => it.secret === secret || (target && it.target?.secret === target.secret))
      .map((it) => it.host)
    return { host, user, mutual: target !== undefined, sharedWith }
  }

  get #all(): readonly HostSecret[] {
    return this.#state.current.secrets ?? []
  }

  #find(name: string): HostSecret | undefined {
    return this.#all.find(({ host }) => host === name)
  }

  #write(secrets: HostSecret[]): Promise<void> {
    return this.#state.replace({ ...this.#state.current, secrets })
  }
}

function normalHost(text: string): string {
  const host = text === ALL_HOSTS ? text : parseName(text)?.name
  if (host !== undefined) return host
  throw new TargetError('invalid-request', `host: got ${text}, wanted an iSCSI name`)
}

function checkLength(secret: string): void {
  const length = Buffer.byteLength(secret)
  if (length >= CHAP_SECRET_BYTES_MIN && length <= CHAP_SECRET_BYTES_MAX) return
  throw new TargetError(
    'invalid-request',
    `a secret has ${CHAP_SECRET_BYTES_MIN} to ${CHAP_SECRET_BYTES_MAX} bytes; this one has ${length}`,
  )
}
