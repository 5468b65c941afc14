/** An initiator for tests of the session layer: it logs in, and then sends exactly the PDUs it is told. */
import {
  BHS_LENGTH,
  crc32c,
  DataOut,
  dataPosition,
  decodeText,
  encodeText,
  LoginRequest,
  type NegotiationPolicy,
  NopOut,
  pduLength,
  ScsiCommand,
  sealPdu,
  standardPolicy,
} from '@platter/protocol/iscsi'
import { TargetConnection } from '../../src/session/connection.ts'
import { defaultLimits, type SessionLimits, TargetNode } from '../../src/session/target-node.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { BlockExecutor } from './block-executor.ts'
import { FakeSink, type SentPdu } from './fake-sink.ts'

export const TARGET_NAME = 'iqn.2026-11.org.platter:test'
export const INITIATOR_NAME = 'iqn.2026-11.org.platter:host'

/** A target node with a small SCSI layer over `volume`. */
export function makeNode(
  volume: Volume,
  policy: Partial<NegotiationPolicy> = {},
  limits: Partial<SessionLimits> = {},
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
  #digests = { header: false, data: false }
  #nextTag = 1

  constructor(node: TargetNode, nowMs = 0) {
    this.connection = new TargetConnection({
      sink: this.sink,
      node,
      addresses: { localHost: '192.0.2.1', localPort: 3260, remote: '192.0.2.9:40000' },
      nowMs,
    })
  }

  /** Sends bytes as they are; returns what the connection took of them. */
  send(bytes: Buffer): number {
    return this.connection.receive(Buffer.from(bytes), 0, bytes.length)
  }

  /** Sends one PDU: `fill` sets the fields of a view on a zeroed header. */
  sendPdu<P extends { init(buffer: Buffer, base: number): P; dataSegmentLength: number }>(
    view: P,
    fill: (pdu: P) => void,
    data: Buffer = Buffer.alloc(0),
  ): void {
    const { header, data: withData } = this.#digests
    const bytes = Buffer.alloc(pduLength(0, data.length, header, withData))
    const pdu = view.init(bytes, 0)
    pdu.dataSegmentLength = data.length
    fill(pdu)
    data.copy(bytes, dataPosition(0, 0, header))
    sealPdu(bytes, 0, data.length, header, withData)
    this.send(bytes)
  }

  /** What the target has sent since the last call. */
  receive(): SentPdu[] {
    return this.sink.take(this.#digests)
  }

  /** Goes straight to full feature phase, in one exchange. */
  login(wish: LoginWish = {}): void {
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
      cmdSN?: number
      tag?: number
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
        pdu.attribute = 1
        pdu.initiatorTaskTag = tag
        pdu.expectedDataTransferLength = options.expected ?? (options.blocks ?? 0) * 512
        pdu.cmdSN = options.cmdSN ?? this.cmdSN
        if (!pdu.immediate && options.cmdSN === undefined) this.cmdSN = (this.cmdSN + 1) >>> 0
        const cdb = pdu.cdbPosition
        pdu.buffer[cdb] = options.opcode
        pdu.buffer.writeUInt32BE(options.lba ?? 0, cdb + 2)
        pdu.buffer.writeUInt16BE(options.blocks ?? 0, cdb + 7)
        if (options.opcode === 0x12) pdu.buffer[cdb + 4] = options.blocks ?? 0
      },
      data,
    )
    return tag
  }

  dataOut(
    fields: { tag: number; ttt?: number; dataSN?: number; offset: number; final?: boolean },
    data: Buffer,
  ): void {
    this.sendPdu(
      new DataOut(),
      (pdu) => {
        pdu.initiatorTaskTag = fields.tag
        pdu.targetTransferTag = fields.ttt ?? 0xffffffff
        pdu.dataSN = fields.dataSN ?? 0
        pdu.bufferOffset = fields.offset
        pdu.final = fields.final ?? true
      },
      data,
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
}

export { BHS_LENGTH, crc32c }
