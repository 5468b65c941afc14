/**
 * The target's side of the login of one connection (RFC 7143 sections 6.3, 11.12 and 11.13): requests
 * in, what to respond out. It knows neither sockets nor sessions; whether a login may make or join a
 * session is asked of the policy.
 */
import {
  encodeText,
  keyDefinition,
  type LoginRequest,
  LoginStatus,
  Negotiation,
  NODE_ARCHITECTURE,
  ProtocolError,
  type SessionParameters,
  splitText,
  TextAssembler,
  type TextPair,
} from '@platter/protocol/iscsi'
import { Authentication } from './authentication.ts'
import type { LoginIdentity, LoginPolicy, LoginRedirect } from './login-policy.ts'
import {
  checkTransit,
  checkUnchanged,
  headerOf,
  type LoginHeader,
  type LoginNames,
  laterPairs,
  namesOf,
  refused,
  StageNumber,
} from './login-request.ts'
import { type ProtocolVersion, protocolVersions, selectVersion } from './version.ts'

/** What a Login Response is to say; sequence numbers and the TSIH are for the connection to add. */
export interface LoginResponseFields {
  readonly status: LoginStatus
  readonly transit: boolean
  readonly continued: boolean
  readonly currentStage: number
  readonly nextStage: number
  readonly versionMax: number
  readonly versionActive: number
  /** The data segment. */
  readonly text: Buffer
}

/** After `full-feature` and `failed` the login is over, and `receive` must not be called again. */
export type LoginAnswer = LoginResponseFields &
  (
    | { readonly outcome: 'continue' }
    | {
        readonly outcome: 'full-feature'
        readonly identity: LoginIdentity
        readonly parameters: SessionParameters
      }
    | { readonly outcome: 'failed'; readonly detail: string }
  )

/** The longest data segment a login PDU may have, in bytes (RFC 7143 section 13.12). */
const LOGIN_SEGMENT_MAX = 8192
const NO_TEXT = Buffer.alloc(0)

interface Identified {
  readonly header: LoginHeader
  readonly names: LoginNames
  readonly negotiation: Negotiation
  readonly authentication: Authentication
}

type LoginStage =
  /** No request has come. */
  | { readonly name: 'unheard' }
  /** The text of the first request is not complete; it belongs to stage `currentStage`. */
  | {
      readonly name: 'identification'
      readonly header: LoginHeader
      readonly currentStage: number
    }
  | (Identified & { readonly name: 'security' })
  | (Identified & { readonly name: 'operational' })
  | { readonly name: 'over' }

type NegotiatingStage = Extract<LoginStage, Identified>

/** What a stage made of a request: what to answer, and whether it could end now. */
interface StageResult {
  readonly stage: NegotiatingStage
  readonly answers: readonly TextPair[]
  readonly ready: boolean
}

export class TargetLogin {
  readonly #policy: LoginPolicy
  readonly #text: TextAssembler
  #stage: LoginStage = { name: 'unheard' }
  /** The one selected, or the oldest when none can be (RFC 7143 section 11.13.3). */
  #version = protocolVersions[0] as ProtocolVersion
  #requests = 0
  #textBytes = 0
  /** What remains of an answer that is longer than a segment, and whether the stage could end then. */
  #unsent: Buffer[] = []
  #ready = false

  constructor(policy: LoginPolicy) {
    this.#policy = policy
    this.#text = new TextAssembler(policy.textBytesMax)
  }

  /** Takes a Login Request with its data segment; neither is kept. Never throws for what a peer sends. */
  receive(request: LoginRequest, data: Buffer): LoginAnswer {
    try {
      return this.#receive(request, data)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const { answer, message } = error
      if (answer.kind !== 'login') return this.#fail(request, LoginStatus.InitiatorError, message)
      return this.#fail(request, answer.status, message, answer.pairs)
    }
  }

  #receive(request: LoginRequest, data: Buffer): LoginAnswer {
    this.#checkBounds(data)
    this.#checkHeader(request)
    if (this.#unsent.length > 0) {
      if (data.length > 0)
        throw refused('text came before the whole answer to the last was fetched')
      return this.#answer(request)
    }
    this.#text.append(data, 0, data.length)
    if (request.continued) return { ...this.#fields(request, NO_TEXT), outcome: 'continue' }
    const { stage, answers, ready } = this.#negotiate(request, this.#text.take())
    if (stage.name === 'operational' || ready) {
      this.#checkTarget(stage.names)
      const elsewhere = this.#redirect(stage)
      if (elsewhere !== undefined) return this.#send(request, elsewhere)
    }
    this.#stage = stage
    this.#ready = ready
    const { peerMaxRecvDataSegmentLength } = stage.negotiation.result()
    const segmentLength = Math.min(peerMaxRecvDataSegmentLength, LOGIN_SEGMENT_MAX)
    this.#unsent = splitText(encodeText(answers), segmentLength)
    return this.#answer(request)
  }

  #checkBounds(data: Buffer): void {
    const { loginRequestsMax, textBytesMax } = this.#policy
    this.#requests++
    if (this.#requests > loginRequestsMax) {
      throw refused(`more than ${loginRequestsMax} requests in one login`)
    }
    this.#textBytes += data.length
    if (this.#textBytes > textBytesMax) {
      throw refused(`more than ${textBytesMax} bytes of text in one login`)
    }
  }

  #checkHeader(request: LoginRequest): void {
    const stage = this.#stage
    if (stage.name === 'over') throw refused('a Login Request after the end of the login')
    if (stage.name === 'unheard') {
      this.#version = this.#checkFirst(request)
      const { currentStage } = request
      this.#stage = { name: 'identification', header: headerOf(request), currentStage }
    } else {
      checkUnchanged(stage.header, headerOf(request))
      if (request.currentStage !== stageNumber(stage)) {
        throw refused(`CSG is ${request.currentStage} in stage ${stageNumber(stage)}`)
      }
    }
    checkTransit(request)
  }

  #checkFirst(request: LoginRequest): ProtocolVersion {
    const { versionMin, versionMax, currentStage } = request
    const version = selectVersion(request)
    if (version === undefined) {
      const message = `none of the versions ${versionMin} to ${versionMax} is known here`
      throw refused(message, LoginStatus.UnsupportedVersion)
    }
    if (currentStage !== StageNumber.Security && currentStage !== StageNumber.Operational) {
      throw refused(`CSG is ${currentStage} in the first request`)
    }
    return version
  }

  #negotiate(request: LoginRequest, pairs: readonly TextPair[]): StageResult {
    const stage = this.#stage
    switch (stage.name) {
      case 'identification':
        return this.#identify(stage, request, pairs)
      case 'security':
        return this.#security(stage, request, laterPairs(pairs))
      case 'operational':
        return this.#operational(stage, request, this.#take(stage, laterPairs(pairs)))
      case 'unheard':
      case 'over':
        throw new Error(`no request is taken in when a login is ${stage.name}`)
    }
  }

  /** The first request tells who is there; then it is like any other of its stage. */
  #identify(
    { header, currentStage }: Extract<LoginStage, { name: 'identification' }>,
    request: LoginRequest,
    pairs: readonly TextPair[],
  ): StageResult {
    const { targetAlias, targetPortalGroupTag } = this.#policy
    const names = namesOf(pairs)
    const { sessionType } = names
    const leading = header.tsih === 0
    const maxConnections = this.#policy.maxConnections(names.initiatorName)
    const policy = { ...this.#policy.negotiation, maxConnections }
    const negotiation = new Negotiation({ role: 'target', policy, sessionType, leading })
    const authentication = new Authentication(this.#policy, names.initiatorName, this.#version)
    const identified = { header, names, negotiation, authentication }
    const own: TextPair[] = []
    // Who names no target asks for the portal group of none (RFC 7143 section 13.9).
    if (names.targetName !== undefined) {
      own.push(negotiation.declare('TargetPortalGroupTag', `${targetPortalGroupTag}`))
    }
    if (sessionType === 'Normal' && targetAlias !== undefined) {
      own.push(negotiation.declare('TargetAlias', targetAlias))
    }
    if (currentStage === StageNumber.Security) {
      const stage = { ...identified, name: 'security' } as const
      return this.#security(stage, request, pairs, own)
    }
    if (!authentication.mayBeLeftOut) {
      throw refused('the initiator must authenticate first', LoginStatus.AuthenticationFailure)
    }
    const stage = { ...identified, name: 'operational' } as const
    return this.#operational(stage, request, [...own, ...this.#take(stage, pairs)])
  }

  /** Gives each pair to the negotiation, and returns what it answers. */
  #take({ negotiation, name }: NegotiatingStage, pairs: readonly TextPair[]): TextPair[] {
    const { nodeArchitecture } = this.#policy
    const answers: TextPair[] = []
    for (const [key, value] of pairs.toSorted(maxBurstLengthFirst)) {
      const answer = negotiation.receive(key, value, name)
      if (answer !== undefined) answers.push(answer)
      // open-iscsi gives up a login for a key that it does not know: who sends this one knows it.
      if (key === NODE_ARCHITECTURE && nodeArchitecture !== undefined) {
        answers.push(negotiation.declare(key, nodeArchitecture))
      }
    }
    return answers
  }

  #security(
    stage: Extract<LoginStage, { name: 'security' }>,
    { transit }: LoginRequest,
    pairs: readonly TextPair[],
    own: readonly TextPair[] = [],
  ): StageResult {
    const { authentication } = stage
    const negotiated = this.#take(stage, pairs)
    const keys = pairs.filter(([key]) => keyDefinition(key)?.rule.kind === 'authentication')
    const answers = [...own, ...negotiated, ...authentication.receive(keys, transit)]
    return { stage, answers, ready: authentication.done }
  }

  #operational(
    stage: Extract<LoginStage, { name: 'operational' }>,
    { transit }: LoginRequest,
    answers: readonly TextPair[],
  ): StageResult {
    // What we want to say ourselves we say when the initiator has said all, so as not to ask first.
    const offers = transit ? stage.negotiation.offer() : []
    return { stage, answers: [...answers, ...offers], ready: !stage.negotiation.outstanding }
  }

  /** Whether a name is that of a target here, only an authenticated host learns. */
  #checkTarget({ initiatorName, targetName }: LoginNames): void {
    if (targetName === undefined) return
    if (!this.#policy.isFor(initiatorName)) {
      // The same answer whatever it names, so that it does not learn what there is.
      throw refused('nothing here is for this initiator', LoginStatus.AuthorizationFailure)
    }
    if (targetName !== this.#policy.targetName) {
      throw refused(`there is no target ${targetName} here`, LoginStatus.NotFound)
    }
  }

  /** Only a new session can be had elsewhere, and only an authenticated host learns where. */
  #redirect({ header, names }: NegotiatingStage): LoginRedirect | undefined {
    if (names.sessionType !== 'Normal' || header.tsih !== 0) return undefined
    return this.#policy.redirect(names.initiatorName)
  }

  #send(request: LoginRequest, { address, permanent }: LoginRedirect): LoginAnswer {
    this.#stage = { name: 'over' }
    const { TargetMovedPermanently, TargetMovedTemporarily } = LoginStatus
    return {
      ...this.#fields(request, encodeText([['TargetAddress', address]])),
      status: permanent ? TargetMovedPermanently : TargetMovedTemporarily,
      outcome: 'failed',
      detail: `sent to ${address}`,
    }
  }

  /** Responds with the next segment of the answer; the last may end the stage, if both sides want. */
  #answer(request: LoginRequest): LoginAnswer {
    const response = this.#fields(request, this.#unsent.shift() ?? NO_TEXT)
    if (this.#unsent.length > 0) return { ...response, continued: true, outcome: 'continue' }
    if (!request.transit || !this.#ready) return { ...response, outcome: 'continue' }
    const { nextStage } = request
    const ending = { ...response, transit: true, nextStage }
    const stage = this.#stage as NegotiatingStage
    if (nextStage === StageNumber.Operational) {
      this.#stage = { ...stage, name: 'operational' }
      return { ...ending, outcome: 'continue' }
    }
    const { header, names, negotiation } = stage
    const authentication = stage.authentication.shown
    const initiatorAlias = negotiation.received('InitiatorAlias')
    const nodeArchitecture = negotiation.received(NODE_ARCHITECTURE)
    const { isid, tsih, cid } = header
    const targetPort = names.targetName ?? this.#policy.portal
    const told = { authentication, initiatorAlias, nodeArchitecture }
    const identity = { ...names, ...told, targetPort, isid, tsih, cid }
    const refusal = this.#policy.admit(identity)
    if (refusal !== undefined) return this.#fail(request, refusal.status, refusal.detail)
    this.#stage = { name: 'over' }
    return { ...ending, outcome: 'full-feature', identity, parameters: negotiation.result() }
  }

  #fail(
    request: LoginRequest,
    status: LoginStatus,
    detail: string,
    pairs: readonly TextPair[] = [],
  ): LoginAnswer {
    this.#stage = { name: 'over' }
    return { ...this.#fields(request, encodeText(pairs)), status, outcome: 'failed', detail }
  }

  /** A response that agrees to nothing yet. */
  #fields({ currentStage }: LoginRequest, text: Buffer): LoginResponseFields {
    const known = Object.values<number>(StageNumber).includes(currentStage)
    return {
      status: LoginStatus.Success,
      transit: false,
      continued: false,
      // The number that no stage has is reserved, and not for us to send either.
      currentStage: known ? currentStage : StageNumber.Security,
      nextStage: 0,
      versionMax: Math.max(...protocolVersions.map(({ number }) => number)),
      versionActive: this.#version.number,
      text,
    }
  }
}

/** The CSG that requests must have. */
function stageNumber(stage: Extract<LoginStage, { header: LoginHeader }>): number {
  if (stage.name === 'identification') return stage.currentStage
  return stage.name === 'security' ? StageNumber.Security : StageNumber.Operational
}

/** What FirstBurstLength is answered depends on MaxBurstLength, in whichever order they come. */
function maxBurstLengthFirst([one]: TextPair, [other]: TextPair): number {
  return Number(other === 'MaxBurstLength') - Number(one === 'MaxBurstLength')
}
