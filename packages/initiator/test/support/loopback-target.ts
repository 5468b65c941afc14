/**
 * A small target behind a real socket: it logs everybody in, keeps what is written, and reads it
 * back. What else it does is set by the test. One LUN of one array of bytes, CDBs of READ(10) and
 * WRITE(10) with blocks of 512 bytes.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import {
  type BasicHeader,
  BHS_LENGTH,
  DataIn,
  decodeText,
  encodeText,
  Framer,
  type FramerHandler,
  LoginRequest,
  LoginResponse,
  LogoutResponse,
  Negotiation,
  type NegotiationPolicy,
  Opcode,
  pduLength,
  RESERVED_TAG,
  ScsiResponse,
  sealPdu,
  standardPolicy,
  type TextPair,
  TextResponse,
} from '@platter/protocol/iscsi'
import type { Test } from 'tap'
import type { Fields } from './scripted-target.ts'

const BLOCK = 512
const SEGMENT = 256 * 1024
const NO_DATA = Buffer.alloc(0)

/** All data of a write go unsolicited. */
export const loopbackPolicy: NegotiationPolicy = {
  ...standardPolicy,
  initialR2T: false,
  firstBurstLength: 1024 * 1024,
  maxBurstLength: 1024 * 1024,
  maxRecvDataSegmentLength: SEGMENT,
}

export class LoopbackTarget {
  readonly endpoint = { host: '127.0.0.1', port: 0 }
  readonly disk = Buffer.alloc(4 * 1024 * 1024)
  readonly peers: LoopbackPeer[] = []
  /** What SendTargets answers. */
  targets: TextPair[] = []
  /** What a Text Request is answered, unless a test says otherwise. */
  answerText: (asked: readonly TextPair[]) => TextPair[] = () => this.targets
  /** Status-Class and Status-Detail for logins; 0 takes them in. */
  loginStatus = 0
  /** What it grants of the connections that a session asks for. */
  maxConnections = 1
  portalGroupTag = 1
  /** Opcodes of requests that are not answered. */
  readonly ignored = new Set<number>()
  readonly #server: Server

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.peers.push(new LoopbackPeer(this, socket))
      this.#server.emit('peer')
    })
  }

  /** Listens until the test is over. */
  static async listen(t: Test): Promise<LoopbackTarget> {
    const target = new LoopbackTarget()
    await target.start()
    t.teardown(() => target.stop())
    return target
  }

  /** Listens, on the port that it had before if it was stopped. */
  async start(): Promise<void> {
    this.#server.listen(this.endpoint.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.endpoint.port = (this.#server.address() as AddressInfo).port
  }

  /** The connections that are logged in. */
  get open(): LoopbackPeer[] {
    return this.peers.filter(
      ({ login, socket }) => login !== null && !socket.destroyed && !socket.readableEnded,
    )
  }

  /** The next connection that comes. */
  async nextPeer(): Promise<LoopbackPeer> {
    await once(this.#server, 'peer')
    return this.peers.at(-1) as LoopbackPeer
  }

  /** Takes no connection any more, and drops those there are. */
  stop(): void {
    this.#server.close()
    for (const peer of this.peers) peer.socket.destroy()
  }
}

/** The target's end of one connection. */
export class LoopbackPeer implements FramerHandler {
  readonly socket: Socket
  /** Whose login it was, once there was one. */
  login: { readonly isid: string; readonly leading: boolean } | null = null
  /** How many commands it has got. */
  commands = 0
  /** Called for each request that is not answered. */
  onIgnored: () => void = () => {}
  readonly #target: LoopbackTarget
  readonly #framer = new Framer(this, SEGMENT)
  #discovery = false
  readonly #header = Buffer.alloc(BHS_LENGTH)
  #data: Buffer = NO_DATA
  /** Where the data of a write go, by its tag. */
  readonly #writes = new Map<number, number>()
  #statSN = 1

  constructor(target: LoopbackTarget, socket: Socket) {
    this.#target = target
    this.socket = socket
    socket.on('data', (bytes) => this.#framer.push(bytes, 0, bytes.length))
    // What the initiator does to the connection is the test's matter.
    socket.on('error', () => {})
  }

  onHeader(buffer: Buffer, base: number): void {
    buffer.copy(this.#header, 0, base, base + BHS_LENGTH)
    this.#data = Buffer.alloc(this.#header.readUIntBE(5, 3))
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    buffer.copy(this.#data, offset, position, position + length)
  }

  onDataDigestError(): void {
    throw new Error('no digests were agreed on')
  }

  onEnd(): void {
    const opcode = (this.#header[0] as number) & 0x3f
    const initiatorTaskTag = this.#header.readUInt32BE(16)
    if (this.#target.ignored.has(opcode)) {
      this.onIgnored()
      return
    }
    if (opcode === Opcode.LoginRequest) this.#onLogin(new LoginRequest().at(this.#header, 0))
    else if (opcode === Opcode.ScsiCommand) this.#onCommand(initiatorTaskTag)
    else if (opcode === Opcode.DataOut) this.#onDataOut(initiatorTaskTag)
    else if (opcode === Opcode.TextRequest) {
      const last = { initiatorTaskTag, final: true, targetTransferTag: RESERVED_TAG }
      this.send(
        new TextResponse(),
        last,
        encodeText(this.#target.answerText(decodeText(this.#data))),
      )
    } else if (opcode === Opcode.LogoutRequest) {
      this.send(new LogoutResponse(), { initiatorTaskTag })
      this.socket.end()
    }
  }

  /** Sends a PDU with an open window, and the next StatSN if `fields` has none. */
  send<P extends BasicHeader>(view: P, fields: Fields<P>, data?: Buffer): void {
    this.socket.write(this.#encode(view, fields, data))
  }

  #encode<P extends BasicHeader>(view: P, fields: Fields<P>, data: Buffer = NO_DATA): Buffer {
    const bytes = Buffer.alloc(pduLength(0, data.length, false, false))
    view.init(bytes, 0)
    const statSN = 'statSN' in fields ? 0 : this.#statSN++
    const window = { statSN, expCmdSN: 0, maxCmdSN: 200 }
    Object.assign(view, { ...window, dataSegmentLength: data.length }, fields)
    data.copy(bytes, BHS_LENGTH)
    sealPdu(bytes, 0, data.length, false, false)
    return bytes
  }

  #onLogin(request: LoginRequest): void {
    const { currentStage, nextStage, initiatorTaskTag, isidPosition } = request
    const asked = decodeText(this.#data)
    if (currentStage === 0) {
      this.#discovery = asked.some(([key, value]) => key === 'SessionType' && value === 'Discovery')
    }
    const group: TextPair[] = [['TargetPortalGroupTag', `${this.#target.portalGroupTag}`]]
    const leading = request.tsih === 0
    const text = encodeText(currentStage === 0 ? group : this.#negotiate(asked, leading))
    this.login = { isid: request.buffer.toString('hex', isidPosition, isidPosition + 6), leading }
    const { loginStatus } = this.#target
    const status = { statusClass: loginStatus >> 8, statusDetail: loginStatus & 0xff }
    const fields = { transit: true, currentStage, nextStage, initiatorTaskTag, tsih: 1, ...status }
    const bytes = this.#encode(new LoginResponse(), fields, text)
    request.buffer.copy(bytes, isidPosition, isidPosition, isidPosition + 6)
    this.socket.write(bytes)
  }

  #negotiate(asked: readonly TextPair[], leading: boolean): TextPair[] {
    const sessionType = this.#discovery ? 'Discovery' : 'Normal'
    const { maxConnections } = this.#target
    const policy = { ...loopbackPolicy, maxConnections }
    const options = { role: 'target', policy, sessionType, leading } as const
    const negotiation = new Negotiation(options)
    const answers = asked.map(([key, value]) => negotiation.receive(key, value, 'operational'))
    return [...answers.filter((answer) => answer !== undefined), ...negotiation.offer()]
  }

  #onCommand(initiatorTaskTag: number): void {
    this.commands += 1
    const offset = this.#header.readUInt32BE(34) * BLOCK
    const length = this.#header.readUInt32BE(20)
    const flags = this.#header[1] as number
    if ((flags & 0x40) !== 0) this.#read(initiatorTaskTag, offset, length)
    else {
      this.#data.copy(this.#target.disk, offset)
      this.#writes.set(initiatorTaskTag, offset)
      if ((flags & 0x80) !== 0) this.send(new ScsiResponse(), { initiatorTaskTag })
    }
  }

  #onDataOut(initiatorTaskTag: number): void {
    const offset = this.#writes.get(initiatorTaskTag) as number
    this.#data.copy(this.#target.disk, offset + this.#header.readUInt32BE(40))
    const final = ((this.#header[1] as number) & 0x80) !== 0
    if (final) this.send(new ScsiResponse(), { initiatorTaskTag })
  }

  #read(initiatorTaskTag: number, offset: number, length: number): void {
    let dataSN = 0
    for (let at = 0; at < length; at += SEGMENT, dataSN++) {
      const end = Math.min(at + SEGMENT, length)
      const last = end === length
      const data = Buffer.from(this.#target.disk.subarray(offset + at, offset + end))
      const fields = { initiatorTaskTag, dataSN, bufferOffset: at, final: last, hasStatus: last }
      this.send(new DataIn(), last ? fields : { ...fields, statSN: 0 }, data)
    }
  }
}
