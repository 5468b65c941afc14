/**
 * The authentication of one login, as the initiator goes through it (RFC 7143 section 12): which methods it
 * offers, CHAP step by step, and what the target must show before it is believed. A target can choose
 * from what is offered, and nothing else.
 */
import {
  type AuthenticationFloor,
  type Challenges,
  type ChapAlgorithm,
  type ChapChallenge,
  type ChapIdentity,
  chapResponse,
  formatHex,
  isSameResponse,
  ProtocolError,
  parseBinary,
  parseChapChallenge,
  parseNumber,
  type TextPair,
} from '@platter/protocol/iscsi'
import { AuthenticationError } from './errors.ts'

/** What the target must show; `user` is undefined when it may have any name. */
export interface TargetCredentials {
  readonly user: string | undefined
  readonly secret: Buffer
}

export interface AuthenticationPolicy {
  /** The least that the login must come to. */
  readonly floor: AuthenticationFloor
  /** Those offered, in the order of preference. */
  readonly chapAlgorithms: readonly ChapAlgorithm[]
  /** How we show who we are; without it CHAP is not offered. */
  readonly host?: ChapIdentity | undefined
  /** With it, every target that we authenticate to must authenticate to us as well. */
  readonly target?: TargetCredentials | undefined
  /** Shared by all logins, so that none of our challenges is answered for another connection. */
  readonly challenges: Challenges
}

/** What is wrong with a policy that no login could keep, or that gives its secrets away; undefined if nothing. */
export function faultOf(policy: Omit<AuthenticationPolicy, 'challenges'>): string | undefined {
  const { floor, host, target, chapAlgorithms } = policy
  if (chapAlgorithms.length === 0) return 'no CHAP algorithm is allowed'
  if (target !== undefined && host === undefined) {
    return 'a target authenticates only to who authenticates to it: the own secret is missing'
  }
  if (floor !== 'none' && host === undefined) return `${floor} takes a secret, and there is none`
  if (floor === 'chap-mutual' && target === undefined) {
    return `${floor} takes a secret of the target, and there is none`
  }
  if (host !== undefined && target !== undefined && host.secret.equals(target.secret)) {
    return 'both directions have the same secret: who has seen one login could answer another'
  }
  return undefined
}

type State =
  | { readonly expects: 'AuthMethod' }
  | { readonly expects: 'CHAP_C' }
  | { readonly expects: 'CHAP_R'; readonly algorithm: ChapAlgorithm; readonly asked: ChapChallenge }
  | { readonly expects: 'nothing' }

export class InitiatorAuthentication {
  readonly #policy: AuthenticationPolicy
  #state: State = { expects: 'AuthMethod' }

  /** Throws a RangeError for a policy that has a fault. */
  constructor(policy: AuthenticationPolicy) {
    const fault = faultOf(policy)
    if (fault !== undefined) throw new RangeError(fault)
    this.#policy = policy
  }

  /** All has been shown that the policy wants. */
  get done(): boolean {
    return this.#state.expects === 'nothing'
  }

  /** Whether the stage may end with the target's answer to what was sent last. */
  get mayEnd(): boolean {
    const { expects } = this.#state
    return (
      expects === 'CHAP_R' ||
      expects === 'nothing' ||
      (this.#methods.length === 1 && this.#methods[0] === 'None')
    )
  }

  get #methods(): readonly string[] {
    const { floor, host } = this.#policy
    if (host === undefined) return ['None']
    return floor === 'none' ? ['CHAP', 'None'] : ['CHAP']
  }

  /** AuthMethod, for the first request. */
  offer(): TextPair {
    return ['AuthMethod', this.#methods.join(',')]
  }

  /**
   * Takes the keys of one answer that are for the authentication; returns what to send next.
   * @throws AuthenticationError when the target has not shown what it must, ProtocolError when it breaks
   * the rules.
   */
  receive(pairs: readonly TextPair[]): TextPair[] {
    const keys = new Map(pairs)
    const state = this.#state
    switch (state.expects) {
      case 'AuthMethod':
        return this.#begin(keys)
      case 'CHAP_C':
        return this.#respond(keys)
      case 'CHAP_R':
        return this.#verify(keys, state)
      case 'nothing':
        expectKeys(keys, [])
        return []
    }
  }

  #begin(keys: Map<string, string>): TextPair[] {
    const methods = this.#methods
    // A target that says nothing of the only method that it was offered has taken it.
    if (keys.size === 0 && this.mayEnd) {
      this.#state = { expects: 'nothing' }
      return []
    }
    expectKeys(keys, ['AuthMethod'])
    const method = keys.get('AuthMethod') as string
    if (!methods.includes(method)) {
      throw new AuthenticationError(`it answers AuthMethod=${method} to an offer of ${methods}`)
    }
    if (method === 'None') {
      this.#state = { expects: 'nothing' }
      return []
    }
    this.#state = { expects: 'CHAP_C' }
    return [['CHAP_A', this.#policy.chapAlgorithms.join(',')]]
  }

  #respond(keys: Map<string, string>): TextPair[] {
    expectKeys(keys, ['CHAP_A', 'CHAP_I', 'CHAP_C'])
    const { chapAlgorithms, challenges, host, target } = this.#policy
    const chosen = keys.get('CHAP_A') as string
    const algorithm = chapAlgorithms.find((allowed) => allowed === parseNumber(chosen))
    if (algorithm === undefined) {
      throw new AuthenticationError(`it answers CHAP_A=${chosen} to an offer of ${chapAlgorithms}`)
    }
    const challenge = parseChapChallenge(keys, broken)
    if (challenges.isOurs(challenge.bytes)) {
      throw new AuthenticationError('its challenge is one of ours, sent back')
    }
    const { user, secret } = host as ChapIdentity
    const answer: TextPair[] = [
      ['CHAP_N', user],
      ['CHAP_R', formatHex(chapResponse(algorithm, challenge, secret))],
    ]
    if (target === undefined) {
      this.#state = { expects: 'nothing' }
      return answer
    }
    const asked = challenges.issue()
    this.#state = { expects: 'CHAP_R', algorithm, asked }
    answer.push(['CHAP_I', `${asked.identifier}`], ['CHAP_C', formatHex(asked.bytes)])
    return answer
  }

  #verify(
    keys: Map<string, string>,
    { algorithm, asked }: Extract<State, { expects: 'CHAP_R' }>,
  ): TextPair[] {
    if (keys.size === 0) throw new AuthenticationError('it has not answered who it is')
    expectKeys(keys, ['CHAP_N', 'CHAP_R'])
    const { user, secret } = this.#policy.target as TargetCredentials
    const expected = chapResponse(algorithm, asked, secret)
    const got = parseBinary(keys.get('CHAP_R') as string) ?? Buffer.alloc(0)
    const sameUser = user === undefined || keys.get('CHAP_N') === user
    if (!isSameResponse(expected, got) || !sameUser) {
      throw new AuthenticationError('its CHAP_N and CHAP_R are not those of this target')
    }
    this.#state = { expects: 'nothing' }
    return []
  }
}

/** Throws a ProtocolError unless just these came. */
function expectKeys(keys: Map<string, string>, wanted: readonly string[]): void {
  const missing = wanted.find((name) => !keys.has(name))
  if (missing !== undefined) throw broken(`${missing} is missing beside [${[...keys.keys()]}]`)
  const other = [...keys.keys()].find((name) => !wanted.includes(name))
  if (other !== undefined) throw broken(`${other} came where [${wanted}] was due`)
}

function broken(message: string): ProtocolError {
  return new ProtocolError('login', `login response: ${message}`, { kind: 'drop' })
}
