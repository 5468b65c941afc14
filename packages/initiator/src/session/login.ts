/**
 * The login of one connection: what to say in each stage, and whether the target's answers can be
 * believed (RFC 7143 sections 6.3 and 11.13). The authentication is in authentication.ts.
 */
import {
  decodeText,
  encodeText,
  keyDefinition,
  type LoginResponse,
  LoginStatus,
  Negotiation,
  type NegotiationPolicy,
  ProtocolError,
  type SessionParameters,
  TextAssembler,
  type TextPair,
} from '@platter/protocol/iscsi'
import { type AuthenticationPolicy, InitiatorAuthentication } from './authentication.ts'
import { LoginError, PortalGroupError } from './errors.ts'

/** CSG and NSG of the Login PDUs (RFC 7143 section 11.12.3). */
const LoginStage = { Security: 0, Operational: 1, FullFeature: 3 } as const
type LoginStage = (typeof LoginStage)[keyof typeof LoginStage]

/** A login that takes more exchanges than this is going nowhere. */
const EXCHANGES_MAX = 32
const TEXT_BYTES_MAX = 64 * 1024
/** Login text goes in segments of at most this, before anything else is declared (section 13.12). */
const SEGMENT_BYTES_MAX = 8192

/** What this side can do in one way only, whatever the policy says. */
const fixed = {
  maxOutstandingR2T: 1,
  dataPDUInOrder: true,
  dataSequenceInOrder: true,
  errorRecoveryLevel: 0,
  taskReporting: ['RFC3720'],
} as const satisfies Partial<NegotiationPolicy>

export type SessionType = 'Normal' | 'Discovery'

/** Who logs in, to what, and how. */
export interface LoginIdentity {
  readonly initiatorName: string
  /** Undefined for discovery sessions only. */
  readonly targetName: string | undefined
  readonly sessionType: SessionType
  /** Six bytes (RFC 7143 section 11.12.5). Sessions at the same time need different ones. */
  readonly isid: Buffer
  /** Where the session has been before: a login elsewhere is given up. Undefined at its first. */
  readonly portalGroupTag?: number | undefined
  /** What to ask for. Orders of data, R2Ts at once and recovery are what this package can do. */
  readonly policy: NegotiationPolicy
  readonly authentication: AuthenticationPolicy
}

/** One Login Request to be sent; the rest of its fields belong to the connection. */
export interface LoginStep {
  readonly currentStage: number
  readonly transit: boolean
  readonly nextStage: number
  readonly text: Buffer
}

export interface LoginOutcome {
  readonly parameters: SessionParameters
  readonly tsih: number
  /** As the target tells it; undefined when it does not. */
  readonly portalGroupTag: number | undefined
}

export class Login {
  readonly #identity: LoginIdentity
  readonly #tsih: number
  readonly #negotiation: Negotiation
  readonly #authentication: InitiatorAuthentication
  readonly #assembler = new TextAssembler(TEXT_BYTES_MAX)
  #stage: LoginStage = LoginStage.Security
  #transit = false
  #exchanges = 0

  /** `tsih` is 0 for the leading connection. Throws a RangeError for policies that cannot be kept. */
  constructor(identity: LoginIdentity, tsih: number) {
    this.#identity = identity
    this.#tsih = tsih
    this.#authentication = new InitiatorAuthentication(identity.authentication)
    this.#negotiation = new Negotiation({
      role: 'initiator',
      policy: { ...identity.policy, ...fixed },
      sessionType: identity.sessionType,
      leading: tsih === 0,
    })
  }

  /** The first request: who we are, and what we want. */
  start(): LoginStep {
    const { initiatorName, targetName, sessionType } = this.#identity
    const pairs: TextPair[] = [this.#negotiation.declare('InitiatorName', initiatorName)]
    if (targetName !== undefined) pairs.push(this.#negotiation.declare('TargetName', targetName))
    pairs.push(this.#negotiation.declare('SessionType', sessionType))
    pairs.push(this.#negotiation.declare(...this.#authentication.offer()))
    return this.#step(pairs)
  }

  /**
   * Takes one Login Response and its text; returns the next request, or the outcome.
   * @throws LoginError when the target refuses, AuthenticationError when it is not to be trusted,
   * PortalGroupError when it is not where we want to be,
   * ProtocolError when its answer is not a valid one.
   */
  receive(response: LoginResponse, data: Buffer): LoginStep | LoginOutcome {
    const status = response.statusClass * 256 + response.statusDetail
    if (status !== LoginStatus.Success) throw this.#refusal(status, data)
    this.#check(response)
    this.#assembler.append(data, 0, data.length)
    if (response.continued) return this.#wait()
    const answers = this.#answer(this.#assembler.take())
    this.#checkPortalGroup()
    if (!response.transit) return this.#step(answers)
    if (answers.length > 0) {
      throw broken(`stage ${this.#stage} was ended with ${answers[0]?.[0]} still to be answered`)
    }
    return this.#advance(response)
  }

  #check(response: LoginResponse): void {
    this.#exchanges += 1
    if (this.#exchanges > EXCHANGES_MAX) throw broken(`no end after ${EXCHANGES_MAX} exchanges`)
    const { isid } = this.#identity
    const at = response.isidPosition
    if (isid.compare(response.buffer, at, at + isid.length) !== 0) {
      const got = response.buffer.toString('hex', at, at + isid.length)
      throw broken(`ISID is ${got}, wanted ${isid.toString('hex')}`)
    }
    if (response.versionActive !== 0) {
      throw broken(`Version-active is ${response.versionActive}, wanted 0`)
    }
    if (response.currentStage !== this.#stage) {
      throw broken(`CSG is ${response.currentStage}, wanted ${this.#stage}`)
    }
    if (response.transit && response.continued) throw broken('T and C are both set')
    if (!response.transit) return
    if (!this.#transit) throw broken('T is set, which the request had not asked for')
    if (response.nextStage !== this.#nextStage) {
      throw broken(`NSG is ${response.nextStage}, wanted ${this.#nextStage}`)
    }
  }

  get #nextStage(): LoginStage {
    return this.#stage === LoginStage.Security ? LoginStage.Operational : LoginStage.FullFeature
  }

  /** What is due to the target's keys. */
  #answer(pairs: TextPair[]): TextPair[] {
    const stage = this.#stage === LoginStage.Security ? 'security' : 'operational'
    const answers: TextPair[] = []
    const shown: TextPair[] = []
    for (const [key, value] of pairs) {
      const answer = this.#negotiation.receive(key, value, stage)
      if (answer !== undefined) answers.push(answer)
      if (keyDefinition(key)?.rule.kind === 'authentication') shown.push([key, value])
    }
    if (stage === 'security') answers.push(...this.#authentication.receive(shown))
    return answers
  }

  #advance(response: LoginResponse): LoginStep | LoginOutcome {
    if (!this.#authentication.done) throw broken('the security stage was ended too early')
    this.#stage = this.#nextStage
    if (this.#stage === LoginStage.Operational) return this.#step(this.#negotiation.offer())
    if (this.#negotiation.outstanding) throw broken('it ended before all keys were answered')
    const { tsih } = response
    if (tsih === 0 || (this.#tsih !== 0 && tsih !== this.#tsih)) {
      throw broken(`TSIH is ${tsih}, wanted ${this.#tsih === 0 ? 'any but 0' : this.#tsih}`)
    }
    const portalGroupTag = this.#portalGroupTag
    return { parameters: this.#negotiation.result(), tsih, portalGroupTag }
  }

  #checkPortalGroup(): void {
    const wanted = this.#identity.portalGroupTag
    const got = this.#portalGroupTag
    if (wanted === undefined || got === undefined || got === wanted) return
    throw new PortalGroupError(got, wanted)
  }

  get #portalGroupTag(): number | undefined {
    const told = this.#negotiation.received('TargetPortalGroupTag')
    return told === undefined ? undefined : Number(told)
  }

  #step(pairs: TextPair[]): LoginStep {
    const text = encodeText(pairs)
    if (text.length > SEGMENT_BYTES_MAX) {
      throw broken(`it asks for ${text.length} bytes of answers, at most ${SEGMENT_BYTES_MAX} fit`)
    }
    this.#transit = this.#stage !== LoginStage.Security || this.#authentication.mayEnd
    const nextStage = this.#transit ? this.#nextStage : 0
    return { currentStage: this.#stage, transit: this.#transit, nextStage, text }
  }

  /** An empty request, for the rest of a text that the target has not finished. */
  #wait(): LoginStep {
    this.#transit = false
    return { currentStage: this.#stage, transit: false, nextStage: 0, text: Buffer.alloc(0) }
  }

  #refusal(status: number, data: Buffer): LoginError {
    const moved = status >> 8 === 1
    const address = moved ? decodeText(data).find(([key]) => key === 'TargetAddress') : undefined
    return new LoginError(status, address?.[1])
  }
}

function broken(message: string): ProtocolError {
  return new ProtocolError('login', `login response: ${message}`, { kind: 'drop' })
}
