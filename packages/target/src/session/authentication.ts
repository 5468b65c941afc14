/**
 * The authentication of one login, as the target leads it (RFC 7143 section 12): which method, and CHAP
 * step by step. A host that is not known, or has another secret, goes the same way as any other until
 * its response has been looked at.
 */
import { randomBytes } from 'node:crypto'
import {
  type AuthenticationFloor,
  type Challenges,
  type ChapAlgorithm,
  type ChapChallenge,
  type ChapIdentity,
  chapAlgorithmName,
  chapResponse,
  formatHex,
  isSameResponse,
  LoginStatus,
  type ProtocolError,
  parseBinary,
  parseChapChallenge,
  parseList,
  parseNumber,
  type TextPair,
} from '@platter/protocol/iscsi'
import { refused } from './login-request.ts'
import type { AuthMethod, ProtocolVersion } from './version.ts'

export interface HostCredentials {
  /** How the host shows that it is itself. */
  readonly host: ChapIdentity
  /** How we show the host who we are; if we can, it must ask for it. */
  readonly target?: ChapIdentity | undefined
}

/** What a host must show, at the least, and with what. */
export interface AuthenticationRequirement {
  readonly floor: AuthenticationFloor
  readonly chapAlgorithms: readonly ChapAlgorithm[]
  /** Undefined: the host has no secret here, and gets in without one or not at all. */
  readonly credentials: HostCredentials | undefined
}

export interface AuthenticationPolicy {
  readonly challenges: Challenges
  /** What the host with this iSCSI name must show, whether or not it is known. */
  requirementOf(initiatorName: string): AuthenticationRequirement
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
  readonly #challenges: Challenges
  readonly #requirement: AuthenticationRequirement
  readonly #methods: readonly AuthMethod[]
  readonly #algorithms: readonly ChapAlgorithm[]
  #state: State = { expects: 'AuthMethod' }
  #shown = 'None'

  /** Of a login that has agreed on `version`. */
  constructor(policy: AuthenticationPolicy, initiatorName: string, version: ProtocolVersion) {
    this.#challenges = policy.challenges
    this.#requirement = policy.requirementOf(initiatorName)
    const { floor, chapAlgorithms } = this.#requirement
    this.#methods = version.authMethods.filter((it) => floor === 'none' || it !== 'None')
    this.#algorithms = version.chapAlgorithms.filter((it) => chapAlgorithms.includes(it))
  }

  /** The host is who it says, or need not show it. */
  get done(): boolean {
    return this.#state.expects === 'nothing'
  }

  /** What the host has shown, for people: None, or CHAP with the algorithm, and mutual if so have we. */
  get shown(): string {
    return this.#shown
  }

  /** Whether a login may begin behind the security stage. */
  get mayBeLeftOut(): boolean {
    return this.#methods.includes('None')
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
    // CHAP leads a host without credentials nowhere: it is for hosts that offer nothing else.
    const without = this.#requirement.credentials === undefined && this.mayBeLeftOut
    const method =
      without && methods.includes('None') ? 'None' : methods.find((it) => this.#allows(it))
    if (method === undefined) {
      const message = `none of the authentication methods ${list} is acceptable`
      throw failed(message, offered === undefined ? [] : [['AuthMethod', 'Reject']])
    }
    this.#state = { expects: method === 'CHAP' ? 'CHAP_A' : 'nothing' }
    return offered === undefined ? [] : [['AuthMethod', method]]
  }

  #allows(method: string): boolean {
    return this.#methods.some((it) => it === method)
  }

  #challenge(keys: Map<string, string>): TextPair[] {
    expectKeys(keys, ['CHAP_A'])
    const list = keys.get('CHAP_A') as string
    const offered = (parseList(list) ?? []).map(parseNumber)
    const algorithm = offered
      .map((number) => this.#algorithms.find((allowed) => allowed === number))
      .find((allowed) => allowed !== undefined)
    if (algorithm === undefined) throw failed(`none of the CHAP algorithms ${list} is acceptable`)
    const challenge = this.#challenges.issue()
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
    const asked = mutual ? parseChapChallenge(keys, refused) : undefined
    if (asked !== undefined && this.#challenges.isOurs(asked.bytes)) {
      throw failed('the challenge is one of ours, sent back')
    }
    const { credentials, floor } = this.#requirement
    const { user, secret } = credentials?.host ?? nobody
    const expected = chapResponse(algorithm, challenge, secret)
    const got = parseBinary(keys.get('CHAP_R') as string) ?? Buffer.alloc(0)
    const sameUser = keys.get('CHAP_N') === user
    if (!isSameResponse(expected, got) || !sameUser) {
      throw failed('CHAP_N and CHAP_R are not those of this host')
    }
    const own = credentials?.target
    if (own === undefined && floor === 'chap-mutual') {
      throw failed('both sides must authenticate, and we have no secret to show to this host')
    }
    if ((own === undefined) !== (asked === undefined)) {
      throw failed(own ? 'the host does not ask who we are' : 'the host asks who we are')
    }
    this.#state = { expects: 'nothing' }
    this.#shown = `CHAP ${chapAlgorithmName(algorithm)}${own === undefined ? '' : ', mutual'}`
    if (own === undefined || asked === undefined) return []
    return [
      ['CHAP_N', own.user],
      ['CHAP_R', formatHex(chapResponse(algorithm, asked, own.secret))],
    ]
  }
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

function failed(message: string, pairs?: readonly TextPair[]): ProtocolError {
  return refused(message, LoginStatus.AuthenticationFailure, pairs)
}
