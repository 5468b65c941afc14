/**
 * The PDUs of a connection that has not logged in yet: gathers Login Requests, lets login.ts decide,
 * and writes the Login Responses (RFC 7143 sections 11.12 and 11.13).
 */
import {
  BHS_LENGTH,
  type FramerHandler,
  LoginRequest,
  LoginResponse,
  LoginStatus,
  Opcode,
  opcodeName,
  ProtocolError,
  type SessionParameters,
  serialAdd,
} from '@platter/protocol/iscsi'
import type { LocalEnd } from './data-port-policy.ts'
import { type LoginAnswer, type LoginResponseFields, TargetLogin } from './login.ts'
import type { LoginIdentity, LoginRefusal } from './login-policy.ts'
import type { Responder } from './responder.ts'
import { Session } from './session.ts'
import type { TargetNode } from './target-node.ts'

/** Text that one login may send, over all its PDUs, in bytes. */
const TEXT_LIMIT = 65536

/** The answer to whatever is no Login Request in the midst of a login. */
const outOfPlace: LoginResponseFields = {
  status: LoginStatus.InvalidDuringLogin,
  transit: false,
  continued: false,
  currentStage: 0,
  nextStage: 0,
  versionMax: 0,
  versionActive: 0,
  text: Buffer.alloc(0),
}

export interface LoginPhasePort {
  readonly node: TargetNode
  readonly responder: Responder
  /** Where the host comes from, and where to, and the time. */
  readonly remoteHost: string
  readonly local: LocalEnd
  nowMs(): number
  /** The portal that the connection came by, as `host:port`. */
  readonly portal: string
  /** Login is over: the connection is in full feature phase from the next PDU on. */
  entered(identity: LoginIdentity, parameters: SessionParameters, session: Session): void
  /** Login has failed, and its response is queued. */
  failed(detail: string): void
  /** False when the connection is over: then nothing more may be sent on it. */
  isOpen(): boolean
  /** Stops or goes on taking in PDUs. */
  setPaused(paused: boolean): void
}

export class LoginPhase implements FramerHandler {
  readonly #port: LoginPhasePort
  readonly #login: TargetLogin
  readonly #header = Buffer.alloc(BHS_LENGTH)
  #text: Buffer = Buffer.alloc(0)
  /** A Login Request has come; `#header` is that of the last. */
  #begun = false
  /** When the first is taken up, if its address has to wait. */
  #dueMs: number | null = null

  constructor(port: LoginPhasePort) {
    this.#port = port
    const { limits, ...policy } = port.node.options
    this.#login = new TargetLogin({
      ...policy,
      portal: port.portal,
      challenges: port.node.challenges,
      requirementOf: (initiatorName) => port.node.requirementOf(initiatorName),
      loginRequestsMax: limits.loginRequestsMax,
      textBytesMax: TEXT_LIMIT,
      admit: (identity) =>
        policy.dataPorts?.refusalAt(identity, port.local) ?? port.node.admit(identity),
      maxConnections: (initiatorName) =>
        port.node.options.maxConnections?.(initiatorName) ??
        port.node.options.negotiation.maxConnections,
      isFor: (initiatorName) => port.node.isFor(initiatorName, port.remoteHost),
      redirect: (initiatorName) => port.node.options.redirect?.(initiatorName),
    })
  }

  onHeader(buffer: Buffer, base: number): void {
    const opcode = (buffer[base] as number) & 0x3f
    if (opcode !== Opcode.LoginRequest) {
      // Only a login that has begun is owed an answer (RFC 7143 section 6.3).
      if (this.#begun) this.#respond(new LoginRequest().at(this.#header, 0), outOfPlace, 0)
      throw new ProtocolError('login', `${opcodeName(opcode)} before login`, { kind: 'drop' })
    }
    buffer.copy(this.#header, 0, base, base + BHS_LENGTH)
    this.#text = Buffer.alloc(buffer.readUIntBE(base + 5, 3))
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    buffer.copy(this.#text, offset, position, position + length)
  }

  onEnd(): void {
    const first = !this.#begun
    this.#begun = true
    if (first && !this.#mayGoOn()) return
    this.#take()
  }

  /** Takes up a login that had to wait. */
  onTimer(nowMs: number): void {
    if (this.#dueMs === null || nowMs < this.#dueMs) return
    this.#dueMs = null
    this.#port.setPaused(false)
    this.#take()
  }

  /** Whether a login may go on at once. Others wait, or are refused if too many do already. */
  #mayGoOn(): boolean {
    const { node, remoteHost, nowMs, failed, setPaused } = this.#port
    const waitMs = node.loginFailures.begin(remoteHost, nowMs())
    if (waitMs === 0) return true
    if (waitMs === undefined) {
      const status = LoginStatus.ServiceUnavailable
      this.#respond(new LoginRequest().at(this.#header, 0), { ...outOfPlace, status }, 0)
      failed('too many logins of an address that has failed to authenticate')
    } else {
      this.#dueMs = nowMs() + waitMs
      setPaused(true)
    }
    return false
  }

  #take(): void {
    const request = new LoginRequest().at(this.#header, 0)
    const answer = this.#login.receive(request, this.#text)
    if (answer.outcome === 'failed') {
      this.#respond(request, answer, 0)
      this.#fail(answer.status, answer.detail)
      return
    }
    if (answer.outcome === 'continue') {
      this.#respond(request, answer, request.tsih)
      return
    }
    // While it waits, and the initiator for its response, nothing more is taken in.
    this.#port.setPaused(true)
    this.#preparePorts(answer.identity, (refusal) => {
      if (!this.#port.isOpen()) return
      if (refusal !== undefined) {
        this.#refuse(request, answer, refusal)
        return
      }
      this.#port.node.makeWay(answer.identity, () => {
        if (this.#port.isOpen()) this.#enter(request, answer)
      })
    })
  }

  /** A host that is told of no target needs no port. */
  #preparePorts(
    { sessionType, initiatorName }: LoginIdentity,
    done: (refusal?: LoginRefusal) => void,
  ): void {
    const { node, remoteHost, local } = this.#port
    const { dataPorts } = node.options
    const isTold = sessionType === 'Discovery' && node.isFor(initiatorName, remoteHost)
    if (dataPorts === undefined || !isTold) done()
    else dataPorts.prepare(initiatorName, local, done)
  }

  /** Of a login that had succeeded but for this. */
  #refuse(request: LoginRequest, answer: LoginAnswer, { status, detail }: LoginRefusal): void {
    this.#respond(request, { ...answer, transit: false, status, text: Buffer.alloc(0) }, 0)
    this.#fail(status, detail)
  }

  #fail(status: LoginStatus, detail: string): void {
    const { node, remoteHost, nowMs, failed } = this.#port
    const said = `login refused with status 0x${status.toString(16)}: ${detail}`
    if (status !== LoginStatus.AuthenticationFailure) {
      failed(said)
      return
    }
    const count = node.loginFailures.failed(remoteHost, nowMs(), detail)
    const slow = node.loginFailures.slowsDown(remoteHost) ? ', whose logins are slowed down' : ''
    failed(`${said} (failure ${count} of this address${slow})`)
  }

  #enter(request: LoginRequest, answer: LoginAnswer & { outcome: 'full-feature' }): void {
    const port = this.#port
    const session = port.node.enter(answer.identity, answer.parameters, request.cmdSN)
    if (!(session instanceof Session)) {
      this.#refuse(request, answer, session)
      return
    }
    port.responder.window = session.window
    this.#respond(request, answer, session.identity.tsih)
    port.entered(answer.identity, answer.parameters, session)
    port.setPaused(false)
  }

  /** Digests are not in force before full feature phase. */
  onDataDigestError(): void {
    throw new Error('a digest was checked during login')
  }

  /**
   * What is safe to tell of a window before the peer has shown who it is. Who joins a session has the
   * CmdSN of its next command, and those before may still be on their way, as many as the window has:
   * ExpCmdSN is not ahead of the session's, and says nothing of it. An initiator keeps the later of what it
   * is told (RFC 7143 section 4.2.2.1).
   */
  #knownCmdSN({ tsih, cmdSN }: LoginRequest): number {
    return tsih === 0 ? cmdSN : serialAdd(cmdSN, -this.#port.node.options.limits.commandWindow)
  }

  #respond(request: LoginRequest, answer: LoginResponseFields, tsih: number): void {
    const { responder } = this.#port
    const { text } = answer
    const base = responder.reserve(text.length)
    const pdu = new LoginResponse().init(responder.sink.slab, base)
    pdu.transit = answer.transit
    pdu.continued = answer.continued
    pdu.currentStage = answer.currentStage
    pdu.nextStage = answer.nextStage
    pdu.versionMax = answer.versionMax
    pdu.versionActive = answer.versionActive
    this.#header.copy(responder.sink.slab, pdu.isidPosition, 8, 14)
    pdu.tsih = tsih
    pdu.initiatorTaskTag = request.initiatorTaskTag
    pdu.statusClass = answer.status >> 8
    pdu.statusDetail = answer.status & 0xff
    pdu.dataSegmentLength = text.length
    pdu.expCmdSN = this.#knownCmdSN(request)
    pdu.maxCmdSN = pdu.expCmdSN
    // A response with another status carries no StatSN (RFC 7143 section 11.13.4).
    responder.stamp(pdu, answer.status === LoginStatus.Success)
    text.copy(responder.sink.slab, base + BHS_LENGTH)
    responder.send(base, text.length)
  }
}
