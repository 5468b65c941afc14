/**
 * The authentication of one login, as the target leads it (RFC 7143 section 12): which method, and CHAP
 * step by step. A host that is not known, or has another secret, goes the same way as any other until
 * its response has been looked at.
 */
import { randomBytes } from 'node:crypto'
import {
  CHAP_CHALLENGE_BYTES_MAX,
  type Challenges,
  type ChapAlgorithm,
  type ChapChallenge,
  type ChapIdentity,
  chapResponse,
  formatHex,
  isSameResponse,
  LoginStatus,
  type ProtocolError,
  parseBinary,
  parseList,
  parseNumber,
  type TextPair,
} from '@platter/protocol/iscsi'
import { refused } from './login-request.ts'

/** Ways in which a host may get by without CHAP. */
export type AuthMethod = 'None'

export interface HostCredentials {
  /** How the host shows that it is itself. */
  readonly host: ChapIdentity
  /** How we show the host that we are; the host must ask for it, if we can. */
  readonly target?: ChapIdentity | undefined
}

export interface AuthenticationPolicy {
  /** What a host that has no credentials may use. One that has them must use CHAP. */
  readonly authMethods: readonly AuthMethod[]
  readonly chapAlgorithms: readonly ChapAlgorithm[]
  readonly challenges: Challenges
  /** What the host with this iSCSI name was given, if it was given anything. */
  credentialsOf(initiatorName: string): HostCredentials | undefined
}

/** Stands for the secret of hosts that have none. Nobody knows it. */
const nobody: ChapIdentity = { user: '', secret: randomBytes(32) }

type State =
  | { readonly expects: 'AuthMethod' }
  | { readonly expects: 'CHAP_A' }
  | {
      readonly expects: 'CHAP_R'
      readonly algorithm: ChapAlgorithm
      readonly challenge: ChapChallenge
    }
  | { readonly expects: 'nothing' }

export class Authentication {
  readonly #policy: AuthenticationPolicy
  readonly #credentials: HostCredentials | undefined
  #state: State = { expects: 'AuthMethod' }

  constructor(policy: AuthenticationPolicy, initiatorName: string) {
    this.#policy = policy
    this.#credentials = policy.credentialsOf(initiatorName)
  }

  /** The host is who it says, or need not show it. */
  get done(): boolean {
    return this.#state.expects === 'nothing'
  }

  /** Whether a login may begin behind the security stage. */
  get mayBeLeftOut(): boolean {
    return this.#withoutChap.includes('None')
  }

  get #withoutChap(): readonly AuthMethod[] {
    return this.#credentials === undefined ? this.#policy.authMethods : []
  }

  /**
   * Takes the authentication keys of one request, and whether it asks to leave the stage. Returns what
   * to answer. Throws a ProtocolError with the login status where the host has failed, or breaks off.
   */
  receive(pairs: readonly TextPair[], transit: boolean): TextPair[] {
    const keys = new Map(pairs)
    const state = this.#state
    if (state.expects !== 'AuthMethod' && keys.size === 0) return []
    switch (state.expects) {
      case 'AuthMethod':
        return this.#chooseMethod(keys, transit)
      case 'CHAP_A':
        return this.#challenge(keys)
      case 'CHAP_R':
        return this.#verify(keys, state)
      case 'nothing':
        throw refused(`${[...keys.keys()]} came after the authentication`)
    }
  }

  #chooseMethod(keys: Map<string, string>, transit: boolean): TextPair[] {
    expectKeys(keys, [], ['AuthMethod'])
    const offered = keys.get('AuthMethod')
    if (offered === undefined && !transit) return []
    // An initiator that wants to leave the stage without a word on methods wants none.
    const list = offered ?? 'None'
    const methods = parseList(list) ?? []
    // A host that has no credentials, and offers nothing but CHAP, learns in the end that it has none.
    const method =
      this.#withoutChap.find((it) => methods.includes(it)) ?? methods.find((it) => it === 'CHAP')
    if (method === undefined) {
      throw failed(`none of the authentication methods ${list} is acceptable`)
    }
    this.#state = { expects: method === 'CHAP' ? 'CHAP_A' : 'nothing' }
    return offered === undefined ? [] : [['AuthMethod', method]]
  }

  #challenge(keys: Map<string, string>): TextPair[] {
    expectKeys(keys, ['CHAP_A'])
    const list = keys.get('CHAP_A') as string
    const offered = (parseList(list) ?? []).map(parseNumber)
    const { chapAlgorithms, challenges } = this.#policy
    const algorithm = offered
      .map((number) => chapAlgorithms.find((allowed) => allowed === number))
      .find((allowed) => allowed !== undefined)
    if (algorithm === undefined) throw failed(`none of the CHAP algorithms ${list} is acceptable`)
    const challenge = challenges.issue()
    this.#state = { expects: 'CHAP_R', algorithm, challenge }
    return [
      ['CHAP_A', `${algorithm}`],
      ['CHAP_I', `${challenge.identifier}`],
      ['CHAP_C', formatHex(challenge.bytes)],
    ]
  }

  #verify(
    keys: Map<string, string>,
    { algorithm, challenge }: Extract<State, { expects: 'CHAP_R' }>,
  ): TextPair[] {
    const mutual = keys.has('CHAP_I') || keys.has('CHAP_C')
    expectKeys(keys, mutual ? ['CHAP_N', 'CHAP_R', 'CHAP_I', 'CHAP_C'] : ['CHAP_N', 'CHAP_R'])
    const asked = mutual ? challengeOf(keys) : undefined
    if (asked !== undefined && this.#policy.challenges.isOurs(asked.bytes)) {
      throw failed('the challenge is one of ours, sent back')
    }
    const { user, secret } = this.#credentials?.host ?? nobody
    const expected = chapResponse(algorithm, challenge, secret)
    const got = parseBinary(keys.get('CHAP_R') as string) ?? Buffer.alloc(0)
    const sameUser = keys.get('CHAP_N') === user
    if (!isSameResponse(expected, got) || !sameUser) {
      throw failed('CHAP_N and CHAP_R are not those of this host')
    }
    const own = this.#credentials?.target
    if ((own === undefined) !== (asked === undefined)) {
      throw failed(own ? 'the host does not ask who we are' : 'the host asks who we are')
    }
    this.#state = { expects: 'nothing' }
    if (own === undefined || asked === undefined) return []
    return [
      ['CHAP_N', own.user],
      ['CHAP_R', formatHex(chapResponse(algorithm, asked, own.secret))],
    ]
  }
}

/** The challenge that the host gives us; throws a ProtocolError if it is none. */
function challengeOf(keys: Map<string, string>): ChapChallenge {
  const identifier = parseNumber(keys.get('CHAP_I') as string)
  if (identifier === undefined || identifier > 255) {
    throw refused(`CHAP_I=${keys.get('CHAP_I')} is not in the range of 0 to 255`)
  }
  const bytes = parseBinary(keys.get('CHAP_C') as string)
  if (bytes === undefined || bytes.length === 0 || bytes.length > CHAP_CHALLENGE_BYTES_MAX) {
    throw refused(`CHAP_C is not of 1 to ${CHAP_CHALLENGE_BYTES_MAX} bytes`)
  }
  return { identifier, bytes }
}

/** Throws a ProtocolError unless all of `required` came, and beside them only some of `optional`. */
function expectKeys(
  keys: Map<string, string>,
  required: readonly string[],
  optional: readonly string[] = [],
): void {
  for (const name of required) {
    if (!keys.has(name)) throw refused(`${name} is missing beside ${[...keys.keys()]}`)
  }
  for (const name of keys.keys()) {
    if (!required.includes(name) && !optional.includes(name)) {
      throw refused(`${name} came where ${[...required, ...optional]} was due`)
    }
  }
}

function failed(message: string): ProtocolError {
  return refused(message, LoginStatus.AuthenticationFailure)
}
