/** An initiator for tests of the session layer: it logs in, and then sends exactly the PDUs it is told. */
import {
  type BasicHeader,
  BHS_LENGTH,
  DataOut,
  dataPosition,
  decodeText,
  describePdu,
  encodeText,
  LoginRequest,
  LogoutRequest,
  type NegotiationPolicy,
  NopIn,
  NopOut,
  opcodeName,
  pduLength,
  RESERVED_TAG,
  ScsiCommand,
  sealPdu,
  standardPolicy,
  TaskManagementRequest,
  type TextPair,
  TextRequest,
} from '@platter/protocol/iscsi'
import { TargetConnection } from '../../src/session/connection.ts'
import { defaultLimits, type SessionLimits, TargetNode } from '../../src/session/target-node.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { BlockExecutor } from './block-executor.ts'
import { FakeSink, type SentPdu } from './fake-sink.ts'
import { SequenceNumbers } from './sequence-numbers.ts'

export const TARGET_NAME = 'iqn.2026-11.org.platter:test'
export const INITIATOR_NAME = 'iqn.2026-11.org.platter:host'

/** A target node with a small SCSI layer over `volume`. */
export function makeNode(
  volume: Volume,
  policy: Partial<NegotiationPolicy> = {},
  limits: Partial<SessionLimits> = {},
  maxConnections?: (initiatorName: string) => number,
): { node: TargetNode; executor: BlockExecutor } {
  const executor = new BlockExecutor(volume)
  const node = new TargetNode({
    targetName: TARGET_NAME,
    targetPortalGroupTag: 1,
    negotiation: {
      ...standardPolicy,
      initialR2T: false,
      maxConnections: 4,
      maxOutstandingR2T: 4,
      maxRecvDataSegmentLength: 65536,
      headerDigest: ['None', 'CRC32C'],
      dataDigest: ['None', 'CRC32C'],
      ...policy,
    },
    limits: { ...defaultLimits, ...limits },
    executor,
    ...(maxConnections === undefined ? {} : { maxConnections }),
  })
  return { node, executor }
}

export interface LoginWish {
  readonly keys?: Record<string, string>
  readonly isid?: string
  readonly tsih?: number
  readonly cid?: number
  readonly cmdSN?: number
  readonly discovery?: boolean
}

export class ScriptedInitiator {
  readonly sink = new FakeSink()
  readonly connection: TargetConnection
  cmdSN = 1
  tsih = 0
  answers = new Map<string, string>()
  /** Bytes come to the target in pieces of this length. */
  pieceBytes = Number.POSITIVE_INFINITY
  /** How much of the end of each PDU is not sent yet. */
  keepBackBytes = 0
  /** What was sent while the connection took nothing in, or was kept back. */
  untaken: Buffer = Buffer.alloc(0)
  #digests = { header: false, data: false }
  #nextTag = 1
  readonly #numbers = new SequenceNumbers()

  constructor(
    node: TargetNode,
    nowMs = 0,
    portals = [{ host: '192.0.2.1', port: 3260 }],
    firstStatSN = 1,
    localHost = '192.0.2.1',
  ) {
    this.connection = new TargetConnection({
      sink: this.sink,
      node,
      addresses: {
        localHost,
        localPort: 3260,
        remoteHost: '192.0.2.9',
        remote: '192.0.2.9:40000',
        portals: () => portals,
      },
      nowMs,
      firstStatSN,
    })
  }

  /** Sends bytes as they are; returns what the connection took of them. */
  send(bytes: Buffer): number {
    const wanted = Math.max(bytes.length - this.keepBackBytes, 0)
    for (let at = 0; at < wanted; ) {
      const end = Math.min(at + this.pieceBytes, wanted)
      // A copy, spoilt afterwards: the connection must not look at it again.
      const piece = Buffer.from(bytes.subarray(at, end))
      const taken = this.connection.receive(piece, 0, piece.length)
      piece.fill(0xdb)
      at += taken
      if (taken < piece.length) {
        this.untaken = Buffer.concat([this.untaken, bytes.subarray(at)])
        return at
      }
    }
    this.untaken = Buffer.concat([this.untaken, bytes.subarray(wanted)])
    return wanted
  }

  /** Sends what the connection has not taken. */
  resend(): void {
    const bytes = this.untaken
    this.untaken = Buffer.alloc(0)
    this.send(bytes)
  }

  /** Sends one PDU: `fill` sets the fields of a view on a zeroed header, which `ahs` goes behind. */
  sendPdu<P extends { init(buffer: Buffer, base: number): P; dataSegmentLength: number }>(
    view: P,
    fill: (pdu: P) => void,
    data: Buffer = Buffer.alloc(0),
    spoil: (bytes: Buffer) => void = () => {},
    ahs: Buffer = Buffer.alloc(0),
  ): void {
    const { header, data: withData } = this.#digests
    const bytes = Buffer.alloc(pduLength(ahs.length, data.length, header, withData))
    const pdu = view.init(bytes, 0)
    pdu.dataSegmentLength = data.length
    bytes[4] = ahs.length / 4
    ahs.copy(bytes, BHS_LENGTH)
    bytes.writeUInt32BE(this.#numbers.expStatSN, 28)
    fill(pdu)
    data.copy(bytes, dataPosition(0, ahs.length, header))
    sealPdu(bytes, 0, data.length, header, withData)
    spoil(bytes)
    this.send(bytes)
  }

  /** What the target has sent since the last call; its sequence numbers must be right. */
  receive(): SentPdu[] {
    const pdus = this.sink.take(this.#digests)
    for (const { header } of pdus) this.#numbers.check(header)
    return pdus
  }

  /** As `receive`, when all of it must be PDUs of one kind. */
  receiveAll<P extends BasicHeader>(View: new () => P): (P & { data: Buffer })[] {
    return this.receive().map(({ header, data }) => viewOf(View, header, data))
  }

  /** As `receive`, when it must be a single PDU. */
  receiveOne<P extends BasicHeader>(View: new () => P): P & { data: Buffer } {
    const [pdu, ...more] = this.receiveAll(View)
    if (pdu === undefined || more.length > 0) throw new Error(`${more.length} PDUs beside one`)
    return pdu
  }

  /** Goes straight to full feature phase, in one exchange. */
  login(wish: LoginWish = {}): void {
    this.sendLogin(wish)
    this.loggedIn()
  }

  /** The first half of `login`. */
  sendLogin(wish: LoginWish = {}): void {
    this.cmdSN = wish.cmdSN ?? 1
    const text = encodeText([
      ['InitiatorName', INITIATOR_NAME],
      ...(wish.discovery
        ? [['SessionType', 'Discovery'] as const]
        : [['TargetName', TARGET_NAME] as const]),
      ...Object.entries(wish.keys ?? {}),
    ])
    this.sendPdu(
      new LoginRequest(),
      (pdu) => {
        Buffer.from(wish.isid ?? '400000010000', 'hex').copy(pdu.buffer, pdu.isidPosition)
        pdu.tsih = wish.tsih ?? 0
        pdu.cid = wish.cid ?? 0
        pdu.cmdSN = this.cmdSN
        pdu.transit = true
        pdu.currentStage = 1
        pdu.nextStage = 3
      },
      text,
    )
  }

  /** The second half of `login`: what it was answered. */
  loggedIn(): void {
    const [response] = this.receive()
    if (response === undefined) throw new Error('no login response')
    if (response.header.readUInt16BE(36) !== 0) {
      throw new Error(`login status 0x${response.header.readUInt16BE(36).toString(16)}`)
    }
    this.tsih = response.header.readUInt16BE(14)
    this.answers = new Map(decodeText(response.data))
    this.#digests = {
      header: this.answers.get('HeaderDigest') === 'CRC32C',
      data: this.answers.get('DataDigest') === 'CRC32C',
    }
  }

  /** A SCSI command; opcodes as in block-executor.ts. Returns its Initiator Task Tag. */
  command(
    options: {
      opcode: number
      lba?: number
      blocks?: number
      expected?: number
      read?: boolean
      write?: boolean
      final?: boolean
      immediate?: boolean
      /** ATTR of RFC 7143 section 11.3.1. */
      attribute?: number
      cmdSN?: number
      tag?: number
      /** Below 256. */
      lun?: number
      spoil?: (bytes: Buffer) => void
    },
    data: Buffer = Buffer.alloc(0),
  ): number {
    const tag = options.tag ?? this.#nextTag++
    this.sendPdu(
      new ScsiCommand(),
      (pdu) => {
        pdu.immediate = options.immediate ?? false
        pdu.final = options.final ?? true
        pdu.read = options.read ?? false
        pdu.write = options.write ?? false
        pdu.attribute = options.attribute ?? 1
        pdu.initiatorTaskTag = tag
        pdu.expectedDataTransferLength = options.expected ?? (options.blocks ?? 0) * 512
        pdu.cmdSN = options.cmdSN ?? this.cmdSN
        if (!pdu.immediate && options.cmdSN === undefined) this.cmdSN = (this.cmdSN + 1) >>> 0
        pdu.buffer[pdu.lunPosition + 1] = options.lun ?? 0
        const cdb = pdu.cdbPosition
        pdu.buffer[cdb] = options.opcode
        pdu.buffer.writeUInt32BE(options.lba ?? 0, cdb + 2)
        pdu.buffer.writeUInt16BE(options.blocks ?? 0, cdb + 7)
        if (options.opcode === 0x12) pdu.buffer[cdb + 4] = options.blocks ?? 0
      },
      data,
      options.spoil,
    )
    return tag
  }

  dataOut(
    fields: {
      tag: number
      ttt?: number
      dataSN?: number
      offset: number
      final?: boolean
      /** Below 256. */
      lun?: number
      spoil?: (bytes: Buffer) => void
    },
    data: Buffer,
  ): void {
    this.sendPdu(
      new DataOut(),
      (pdu) => {
        pdu.initiatorTaskTag = fields.tag
        pdu.targetTransferTag = fields.ttt ?? 0xffffffff
        pdu.dataSN = fields.dataSN ?? 0
        pdu.bufferOffset = fields.offset
        pdu.buffer[pdu.lunPosition + 1] = fields.lun ?? 0
        pdu.final = fields.final ?? true
      },
      data,
      fields.spoil,
    )
  }

  ping(tag: number, options: { immediate?: boolean; ttt?: number } = {}, data?: Buffer): void {
    const { immediate = true } = options
    this.sendPdu(
      new NopOut(),
      (pdu) => {
        pdu.immediate = immediate
        pdu.initiatorTaskTag = tag
        pdu.targetTransferTag = options.ttt ?? 0xffffffff
        pdu.cmdSN = this.cmdSN
        if (!immediate) this.cmdSN = (this.cmdSN + 1) >>> 0
      },
      data,
    )
  }

  /** Answers a ping of the target, and so acknowledges all that has been received. */
  answerPing({ header, data }: SentPdu): void {
    this.ping(RESERVED_TAG, { ttt: viewOf(NopIn, header, data).targetTransferTag })
  }

  text(
    fields: { final?: boolean; continued?: boolean; tag?: number; ttt?: number },
    text: Buffer | readonly TextPair[] = [],
  ): void {
    this.sendPdu(
      new TextRequest(),
      (pdu) => {
        pdu.immediate = true
        pdu.final = fields.final ?? true
        pdu.continued = fields.continued ?? false
        pdu.initiatorTaskTag = fields.tag ?? 0x7e87
        pdu.targetTransferTag = fields.ttt ?? 0xffffffff
        pdu.cmdSN = this.cmdSN
      },
      Buffer.isBuffer(text) ? text : encodeText(text),
    )
  }

  /** A task management function; immediate unless told otherwise. */
  manage(fields: {
    function: number
    referencedTaskTag?: number
    refCmdSN?: number
    lun?: number
    immediate?: boolean
    tag?: number
  }): void {
    this.sendPdu(new TaskManagementRequest(), (pdu) => {
      pdu.immediate = fields.immediate ?? true
      pdu.function = fields.function
      pdu.buffer[pdu.lunPosition + 1] = fields.lun ?? 0
      pdu.initiatorTaskTag = fields.tag ?? 0x7a5c
      pdu.referencedTaskTag = fields.referencedTaskTag ?? 0xffffffff
      pdu.refCmdSN = fields.refCmdSN ?? 0
      pdu.cmdSN = this.cmdSN
      if (!pdu.immediate) this.cmdSN = (this.cmdSN + 1) >>> 0
    })
  }

  logout(reasonCode: number, cid = 0): void {
    this.sendPdu(new LogoutRequest(), (pdu) => {
      pdu.immediate = true
      pdu.reasonCode = reasonCode
      pdu.initiatorTaskTag = 0x1060
      pdu.cid = cid
      pdu.cmdSN = this.cmdSN
    })
  }
}

function viewOf<P extends BasicHeader>(
  View: new () => P,
  header: Buffer,
  data: Buffer,
): P & { data: Buffer } {
  const wanted = new View().init(Buffer.alloc(BHS_LENGTH), 0).opcode
  const view = new View().at(header, 0)
  if (view.opcode !== wanted)
    throw new Error(`wanted ${opcodeName(wanted)}, got ${describePdu(header)}`)
  return Object.assign(view, { data })
}
