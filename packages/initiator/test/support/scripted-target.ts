/**
 * A target for tests of the session layer: it agrees on parameters as a real one would, and then
 * sends exactly the PDUs that it is told to. The session that it talks to is part of it.
 */
import {
  type BasicHeader,
  BHS_LENGTH,
  Challenges,
  chapAlgorithms,
  DataIn,
  dataPosition,
  decodeText,
  encodeText,
  LoginRequest,
  LoginResponse,
  Negotiation,
  type NegotiationPolicy,
  Opcode,
  opcodeName,
  pduLength,
  RESERVED_TAG,
  ReadyToTransfer,
  ScsiResponse,
  type SessionParameters,
  sealPdu,
  standardPolicy,
  type TextPair,
} from '@platter/protocol/iscsi'
import type { AuthenticationPolicy } from '../../src/session/authentication.ts'
import type { Connection } from '../../src/session/connection.ts'
import type { LoginIdentity, SessionType } from '../../src/session/login.ts'
import type { PlacementPolicy } from '../../src/session/placement.ts'
import { Session } from '../../src/session/session.ts'
import { Direction, ScsiTask } from '../../src/session/task.ts'
import { FakeSink, type SentPdu } from './fake-sink.ts'

export const TARGET_NAME = 'iqn.2026-11.org.platter:test'
export const INITIATOR_NAME = 'iqn.2026-11.org.platter:host'
export const ISID = '400000010000'

/** What both sides would like, where a test does not say otherwise. */
export const policy: NegotiationPolicy = {
  ...standardPolicy,
  initialR2T: false,
  maxRecvDataSegmentLength: 65536,
  headerDigest: ['None', 'CRC32C'],
  dataDigest: ['None', 'CRC32C'],
}

/** Who shows nothing, and asks for nothing. */
export const noAuthentication: AuthenticationPolicy = {
  floor: 'none',
  chapAlgorithms,
  challenges: new Challenges(),
}

export function identity(
  wishes: Partial<NegotiationPolicy> = {},
  sessionType: SessionType = 'Normal',
): LoginIdentity {
  return {
    initiatorName: INITIATOR_NAME,
    targetName: sessionType === 'Normal' ? TARGET_NAME : undefined,
    sessionType,
    isid: Buffer.from(ISID, 'hex'),
    policy: { ...policy, ...wishes },
    authentication: noAuthentication,
  }
}

export interface Script {
  /** What the target would like. */
  readonly policy?: Partial<NegotiationPolicy>
  /** What the initiator would like. */
  readonly wishes?: Partial<NegotiationPolicy>
  readonly sessionType?: SessionType
  readonly cmdSN?: number
  readonly statSN?: number
  /** Commands that the target takes at once. */
  readonly windowSize?: number
  readonly pathTimeoutMs?: number
  readonly place?: PlacementPolicy
  /** The target of the leading connection, for one that joins its session. */
  readonly of?: ScriptedTarget
  readonly onLoggedIn?: (session: Session) => void
  readonly onEnded?: (session: Session) => void
}

export type Fields<P> = Partial<{ [K in keyof P]: P[K] extends number | boolean ? P[K] : never }>

export class ScriptedTarget {
  readonly sink = new FakeSink()
  readonly session: Session
  readonly connection: Connection
  readonly negotiation: Negotiation
  /** Set at the end of `login`. */
  parameters!: SessionParameters
  loggedIn = 0
  /** What the session's owner was told of its end; once, or `endings` says so. */
  scsiEvents = 0
  /** Commands of this connection that have an outcome. */
  readonly commandsEnded: ScsiTask[] = []
  ended: { error: Error | null; unanswered: readonly ScsiTask[] } | null = null
  endings = 0
  /** What became of connections that were to join, or were closed alone. */
  readonly joined: Connection[] = []
  readonly left: { connection: Connection; error: Error | null }[] = []
  statSN: number
  windowSize: number
  /** Of the Login Request that was taken last. */
  loginTag = 0
  readonly #window: { expCmdSN: number }
  readonly #digests = { header: false, data: false }

  constructor(script: Script = {}) {
    const sessionType = script.sessionType ?? 'Normal'
    this.statSN = script.statSN ?? 1000
    this.#window = script.of ? script.of.#window : { expCmdSN: script.cmdSN ?? 1 }
    this.windowSize = script.windowSize ?? 64
    this.negotiation = new Negotiation({
      role: 'target',
      policy: { ...policy, ...script.policy },
      sessionType,
      leading: script.of === undefined,
    })
    this.session = script.of?.session ?? this.#newSession(script, sessionType)
    this.connection = this.session.connect(this.sink, {
      weight: 1,
      rank: 0,
      commandEnded: (task) => this.commandsEnded.push(task),
    })
  }

  #newSession(script: Script, sessionType: SessionType): Session {
    return new Session({
      identity: identity(script.wishes, sessionType),
      cmdSN: this.expCmdSN,
      nowMs: 0,
      pathTimeoutMs: script.pathTimeoutMs ?? 20_000,
      ...(script.place && { place: script.place }),
      joined: (connection) => this.joined.push(connection),
      left: (connection, error) => this.left.push({ connection, error }),
      loggedIn: () => {
        this.loggedIn += 1
        script.onLoggedIn?.(this.session)
      },
      scsiEvent: () => {
        this.scsiEvents += 1
      },
      ended: (error, unanswered) => {
        this.ended = { error, unanswered }
        this.endings += 1
        script.onEnded?.(this.session)
      },
    })
  }

  get expCmdSN(): number {
    return this.#window.expCmdSN
  }
  set expCmdSN(value: number) {
    this.#window.expCmdSN = value
  }

  get maxCmdSN(): number {
    return (this.expCmdSN + this.windowSize - 1) >>> 0
  }

  // What the initiator sends.

  /** All PDUs sent since the last call; commands among them move the window on. */
  receive(): SentPdu[] {
    const pdus = this.sink.take(this.#digests)
    for (const { header } of pdus) {
      if (((header[0] as number) & 0x7f) === Opcode.ScsiCommand) {
        this.expCmdSN = (this.expCmdSN + 1) >>> 0
      }
    }
    return pdus
  }

  /** The one PDU that was sent since the last call, looked at through `view`. */
  only<P extends BasicHeader>(view: P): P & { readonly data: Buffer } {
    const pdus = this.receive()
    const opcode = view.init(Buffer.alloc(BHS_LENGTH), 0).opcode
    const names = pdus.map(({ header }) => opcodeName((header[0] as number) & 0x3f))
    const [pdu] = pdus
    if (pdu === undefined || pdus.length > 1 || names[0] !== opcodeName(opcode)) {
      throw new Error(`got [${names.join(', ')}], wanted one ${opcodeName(opcode)}`)
    }
    return Object.assign(view.at(pdu.header, 0), { data: pdu.data })
  }

  // What the target sends.

  send(bytes: Buffer): void {
    this.connection.receive(Buffer.from(bytes), 0, bytes.length)
  }

  /** The bytes of one PDU: `fields` go to a view on a zeroed header, with the window in it. */
  encode<P extends BasicHeader>(
    view: P,
    fields: Fields<P>,
    data: Buffer = Buffer.alloc(0),
  ): Buffer {
    const { header, data: withData } = this.#digests
    const bytes = Buffer.alloc(pduLength(0, data.length, header, withData))
    view.init(bytes, 0)
    const { statSN, expCmdSN, maxCmdSN } = this
    Object.assign(view, { statSN, expCmdSN, maxCmdSN, dataSegmentLength: data.length }, fields)
    data.copy(bytes, dataPosition(0, 0, header))
    sealPdu(bytes, 0, view.dataSegmentLength, header, withData)
    return bytes
  }

  /** Sends a PDU that has no status. */
  sendPdu<P extends BasicHeader>(view: P, fields: Fields<P>, data?: Buffer): void {
    this.send(this.encode(view, fields, data))
  }

  /** Sends a PDU that has one, and so uses up a StatSN. */
  sendStatus<P extends BasicHeader>(view: P, fields: Fields<P>, data?: Buffer): void {
    const bytes = this.encode(view, fields, data)
    this.statSN = (this.statSN + 1) >>> 0
    this.send(bytes)
  }

  /** Data-In; with `status` it is the last. */
  dataIn(tag: number, fields: Fields<DataIn>, data?: Buffer): void {
    const common = { initiatorTaskTag: tag, targetTransferTag: RESERVED_TAG, ...fields }
    if (fields.status === undefined) {
      this.sendPdu(new DataIn(), { ...common, statSN: 0 }, data)
    } else {
      this.sendStatus(new DataIn(), { final: true, hasStatus: true, ...common }, data)
    }
  }

  response(tag: number, fields: Fields<ScsiResponse> = {}, data?: Buffer): void {
    this.sendStatus(new ScsiResponse(), { initiatorTaskTag: tag, ...fields }, data)
  }

  readyToTransfer(tag: number, fields: Fields<ReadyToTransfer>): void {
    this.sendPdu(new ReadyToTransfer(), { initiatorTaskTag: tag, ...fields })
  }

  // Login.

  /** Answers the Login Request that was sent; `pairs` and `fields` as given. */
  loginResponse(fields: Fields<LoginResponse>, pairs: readonly TextPair[] = []): void {
    const view = new LoginResponse()
    const text = encodeText(pairs)
    const bytes = this.encode(view, { initiatorTaskTag: this.loginTag, ...fields }, text)
    Buffer.from(ISID, 'hex').copy(bytes, view.isidPosition)
    this.statSN = (this.statSN + 1) >>> 0
    this.send(bytes)
  }

  /** The Login Request that was sent, and its text. */
  loginRequest(): LoginRequest & { readonly pairs: TextPair[] } {
    const request = this.only(new LoginRequest())
    this.loginTag = request.initiatorTaskTag
    return Object.assign(request, { pairs: decodeText(request.data) })
  }

  /** Takes a normal login through both of its stages. */
  login(): this {
    this.connection.start()
    this.loginRequest()
    this.loginResponse({ transit: true, currentStage: 0, nextStage: 1 }, [
      ['TargetPortalGroupTag', '1'],
      ['AuthMethod', 'None'],
    ])
    const answers = this.negotiate(this.loginRequest().pairs)
    this.loginResponse({ transit: true, currentStage: 1, nextStage: 3, tsih: 7 }, answers)
    this.parameters = this.negotiation.result()
    this.#digests.header = this.parameters.headerDigest === 'CRC32C'
    this.#digests.data = this.parameters.dataDigest === 'CRC32C'
    return this
  }

  /** What a target answers to `pairs` in the operational stage, and says on its own account. */
  negotiate(pairs: readonly TextPair[]): TextPair[] {
    const answers: TextPair[] = []
    for (const [key, value] of pairs) {
      const answer = this.negotiation.receive(key, value, 'operational')
      if (answer !== undefined) answers.push(answer)
    }
    answers.push(...this.negotiation.offer())
    return answers
  }
}

/** Logs in by `script`. */
export function loggedIn(script: Script = {}): ScriptedTarget {
  return new ScriptedTarget(script).login()
}

/** A task, and how often it was done. */
export class WatchedTask extends ScsiTask {
  times = 0
  override done = (): void => {
    this.times += 1
  }
}

/** A read of `length` bytes into the midst of a buffer that is all 0xee. */
export function readTask(length: number): WatchedTask {
  const task = new WatchedTask()
  task.cdb[0] = 0x28
  task.direction = Direction.Read
  task.buffer = Buffer.alloc(length + 64, 0xee)
  task.position = 32
  task.length = length
  return task
}

/** A write of `data`, which lies in the midst of a buffer. */
export function writeTask(data: Buffer): WatchedTask {
  const task = new WatchedTask()
  task.cdb[0] = 0x2a
  task.lun.writeUInt16BE(3, 0)
  task.direction = Direction.Write
  task.buffer = Buffer.concat([Buffer.alloc(16, 0xee), data, Buffer.alloc(16, 0xee)])
  task.position = 16
  task.length = data.length
  return task
}

/** Bytes that tell where they are. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at++) bytes[at] = at * 7 + (at >> 8) + seed
  return bytes
}
