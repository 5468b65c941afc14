/** The PDUs of captured connections as our own decoder sees them, each under the frame that its last byte is in. */
import {
  BHS_LENGTH,
  Framer,
  type FramerHandler,
  LoginResponse,
  Opcode,
  ScsiCommand,
} from '@platter/protocol/iscsi'
import { connectionOf, decodeRecord, PcapReader, type Segment } from './pcap.ts'

export type Sender = 'initiator' | 'target'

export interface CapturedPdu {
  /** The basic header with the AHS. */
  readonly header: Buffer
  /** The data segment, without padding. */
  readonly data: Buffer
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  /** Its text goes on in the next PDU, or has begun in one before. */
  readonly partOfText: boolean
  /** Of data and responses, the command that they belong to. */
  readonly command: ScsiCommand | undefined
}

/** What a frame brings to an end. */
export interface CapturedFrame {
  /** Named by its ends, and by the frame that it begins with: the same ends may have another later. */
  readonly connection: string
  readonly sender: Sender
  readonly pdus: CapturedPdu[]
  /** Something before this frame was not captured: what it holds cannot be told. */
  readonly afterGap: boolean
  /** Our decoder has taken nothing more from this sender since an earlier frame. */
  readonly afterComplaint: boolean
  /** Why our decoder takes nothing more from this sender, when it came to that in this frame. */
  readonly complaint: string | null
}

/** The longest data segment that its length field can announce. */
const dataSegmentLengthMax = 0xffffff

/** The C bit of login and text PDUs. */
const continuedBit = 0x40
const textOpcodes: readonly number[] = [
  ...[Opcode.LoginRequest, Opcode.LoginResponse, Opcode.TextRequest, Opcode.TextResponse],
]

/** One direction of a connection. */
class Direction implements FramerHandler {
  readonly framer = new Framer(this, dataSegmentLengthMax)
  readonly #connection: Connection
  nextSequenceNumber: number | undefined
  /** The PDUs that the frame at hand has brought to an end. */
  ended: CapturedPdu[] = []
  complaint: string | null = null
  #textGoesOn = false
  #header = Buffer.alloc(0)
  #data = Buffer.alloc(0)

  constructor(connection: Connection) {
    this.#connection = connection
  }

  onHeader(buffer: Buffer, base: number): void {
    const length = BHS_LENGTH + 4 * buffer.readUInt8(base + 4)
    this.#header = Buffer.from(buffer.subarray(base, base + length))
    this.#data = Buffer.alloc(this.#header.readUIntBE(5, 3))
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    buffer.copy(this.#data, offset, position, position + length)
  }

  onEnd(): void {
    const { headerDigest } = this.framer
    const dataDigest = this.framer.dataDigest && this.#data.length > 0
    const header = this.#header
    const data = this.#data
    const command = this.#connection.commandOf(header)
    const hasText = textOpcodes.includes(header.readUInt8(0) & 0x3f)
    const continued = hasText && (header.readUInt8(1) & continuedBit) !== 0
    const partOfText = hasText && (continued || this.#textGoesOn)
    if (hasText) this.#textGoesOn = continued
    this.ended.push({ header, data, headerDigest, dataDigest, partOfText, command })
    this.#connection.look(header, data)
  }

  onDataDigestError(): void {
    throw new Error('data digest is wrong')
  }

  /** Whether the other side has acknowledged what was not captured. */
  lacks({ ack, acknowledgmentNumber }: Segment): boolean {
    const next = this.nextSequenceNumber
    // A FIN counts as well, and is no data.
    return ack && next !== undefined && ((acknowledgmentNumber - next) | 0) > 1
  }

  /** Takes in what is new of a segment; false when something before it is missing. */
  take({ sequenceNumber, syn, payload }: Segment): boolean {
    if (syn) this.nextSequenceNumber = (sequenceNumber + 1) >>> 0
    if (this.nextSequenceNumber === undefined) return false
    const old = (this.nextSequenceNumber - sequenceNumber) | 0
    if (payload.length === 0 || old >= payload.length) return true
    if (old < 0) return false
    this.nextSequenceNumber = (sequenceNumber + payload.length) >>> 0
    if (this.complaint !== null) return true
    try {
      this.framer.push(payload, old, payload.length)
    } catch (error) {
      this.complaint = error instanceof Error ? error.message : String(error)
    }
    return true
  }
}

/** A connection, from its first segment on: both directions, and the digests that they agree on. */
class Connection {
  readonly name: string
  readonly initiator = new Direction(this)
  readonly target = new Direction(this)
  hasGap = false
  /** What was last said of each digest in the login: the answer comes after the offer. */
  readonly #said = new Map<string, string>()
  /** By their tags, which a later command may have again. */
  readonly #commands = new Map<number, ScsiCommand>()
  readonly #response = new LoginResponse()

  constructor(name: string) {
    this.name = name
  }

  /** The command that has the same Initiator Task Tag. */
  commandOf(header: Buffer): ScsiCommand | undefined {
    return this.#commands.get(header.readUInt32BE(16))
  }

  /** Learns from a PDU what is needed to read those after it. */
  look(header: Buffer, data: Buffer): void {
    const opcode = header.readUInt8(0) & 0x3f
    if (opcode === Opcode.ScsiCommand) {
      this.#commands.set(header.readUInt32BE(16), new ScsiCommand().at(header, 0))
    }
    if (opcode !== Opcode.LoginRequest && opcode !== Opcode.LoginResponse) return
    const said = data.toString('latin1').matchAll(/(?:^|\0)((?:Header|Data)Digest)=([^\0]*)/g)
    for (const [, key = '', value = ''] of said) this.#said.set(key, value)
    if (opcode !== Opcode.LoginResponse) return
    const { transit, nextStage, statusClass } = this.#response.at(header, 0)
    if (!transit || nextStage !== 3 || statusClass !== 0) return
    for (const { framer } of [this.initiator, this.target]) {
      framer.headerDigest = this.#said.get('HeaderDigest') === 'CRC32C'
      framer.dataDigest = this.#said.get('DataDigest') === 'CRC32C'
    }
  }
}

/**
 * The frames of a capture that carry data, by their number in it (from 1, as tshark counts).
 * @param ports where targets listen
 */
export function decodeCapture(
  file: Buffer,
  ports: ReadonlySet<number>,
): Map<number, CapturedFrame> {
  const connections = new Map<string, Connection>()
  const frames = new Map<number, CapturedFrame>()
  for (const [index, record] of new PcapReader().push(file).entries()) {
    const segment = decodeRecord(record)
    if (segment?.protocol !== 'tcp') continue
    if (!ports.has(segment.fromPort) && !ports.has(segment.toPort)) continue
    const ends = connectionOf(segment)
    let connection = connections.get(ends)
    if (connection === undefined || (segment.syn && !segment.ack)) {
      connection = new Connection(`${ends} #${index + 1}`)
      connections.set(ends, connection)
    }
    const sender = ports.has(segment.fromPort) ? 'target' : 'initiator'
    const direction = connection[sender]
    const before = direction.complaint
    const other = sender === 'target' ? connection.initiator : connection.target
    if (!direction.take(segment) || other.lacks(segment)) connection.hasGap = true
    const complaint = direction.complaint === before ? null : direction.complaint
    const pdus = direction.ended
    direction.ended = []
    if (segment.payload.length === 0) continue
    const afterGap = connection.hasGap
    const afterComplaint = before !== null
    const fate = { afterGap, afterComplaint, complaint }
    frames.set(index + 1, { connection: connection.name, sender, pdus, ...fate })
  }
  return frames
}
