/** Capture files in pcap's classic format, and the segments and datagrams in them, by IPv4 or IPv6. */

/** Little-endian, microseconds: what dumpcap -P writes on the machines that we test on. */
const MAGIC = 0xa1b2c3d4
const FILE_HEADER_LENGTH = 24
const RECORD_HEADER_LENGTH = 16
/** Linux's "cooked" frames, which dumpcap has of any interface: 16 bytes, the EtherType last. */
const LINUX_SLL = 113
const FRAME_HEADER_LENGTH = 16

const EtherType = { IPv4: 0x0800, IPv6: 0x86dd } as const
const Protocol = { Tcp: 6, Udp: 17 } as const

/** A pcap file that comes in pieces, cut into its records. */
export class PcapReader {
  /** The header of the file, once it has come. */
  header: Buffer | undefined
  #pending = Buffer.alloc(0)

  /** Takes in a piece; answers with the records that are now whole, headers included: views of new memory. */
  push(piece: Buffer): Buffer[] {
    this.#pending = Buffer.concat([this.#pending, piece])
    let at = 0
    if (this.header === undefined) {
      if (this.#pending.length < FILE_HEADER_LENGTH) return []
      this.header = Buffer.from(this.#pending.subarray(0, FILE_HEADER_LENGTH))
      checkHeader(this.header)
      at = FILE_HEADER_LENGTH
    }
    const records: Buffer[] = []
    while (this.#pending.length - at >= RECORD_HEADER_LENGTH) {
      const end = at + RECORD_HEADER_LENGTH + this.#pending.readUInt32LE(at + 8)
      if (end > this.#pending.length) break
      records.push(this.#pending.subarray(at, end))
      at = end
    }
    this.#pending = this.#pending.subarray(at)
    return records
  }
}

function checkHeader(header: Buffer): void {
  const magic = header.readUInt32LE(0)
  if (magic !== MAGIC) throw new Error(`not a pcap file: it begins with ${magic.toString(16)}`)
  const link = header.readUInt32LE(20)
  if (link !== LINUX_SLL) throw new Error(`link type ${link} of a capture, wanted 113 (LINUX_SLL)`)
}

/** What one TCP segment says; `payload` is a view of its record. */
export interface Segment {
  readonly protocol: 'tcp'
  readonly from: string
  readonly to: string
  readonly fromPort: number
  readonly toPort: number
  readonly sequenceNumber: number
  /** What the sender has of the other side, if `ack`. */
  readonly acknowledgmentNumber: number
  readonly syn: boolean
  readonly ack: boolean
  readonly payload: Buffer
}

export interface Datagram {
  readonly protocol: 'udp'
  readonly payload: Buffer
}

/** The segment or datagram in a record; undefined when it holds neither. */
export function decodeRecord(record: Buffer): Segment | Datagram | undefined {
  const frame = record.subarray(RECORD_HEADER_LENGTH)
  if (frame.length < FRAME_HEADER_LENGTH + 20) return undefined
  const type = frame.readUInt16BE(FRAME_HEADER_LENGTH - 2)
  const packet = frame.subarray(FRAME_HEADER_LENGTH)
  if (type === EtherType.IPv4) {
    // The length is 0 where the segment was too long for its field, and then ends with the frame.
    const end = packet.readUInt16BE(2) || packet.length
    const body = packet.subarray(4 * (packet.readUInt8(0) & 0x0f), end)
    const address = (at: number) => packet.subarray(at, at + 4).join('.')
    return decodeTransport(packet.readUInt8(9), address(12), address(16), body)
  }
  if (type === EtherType.IPv6 && packet.length >= 40) {
    const end = 40 + (packet.readUInt16BE(4) || packet.length - 40)
    const address = (at: number) => packet.toString('hex', at, at + 16)
    return decodeTransport(packet.readUInt8(6), address(8), address(24), packet.subarray(40, end))
  }
  return undefined
}

function decodeTransport(
  protocol: number,
  from: string,
  to: string,
  body: Buffer,
): Segment | Datagram | undefined {
  if (protocol === Protocol.Udp) return { protocol: 'udp', payload: body.subarray(8) }
  if (protocol !== Protocol.Tcp || body.length < 20) return undefined
  return {
    protocol: 'tcp',
    from,
    to,
    fromPort: body.readUInt16BE(0),
    toPort: body.readUInt16BE(2),
    sequenceNumber: body.readUInt32BE(4),
    acknowledgmentNumber: body.readUInt32BE(8),
    syn: (body.readUInt8(13) & 0x02) !== 0,
    ack: (body.readUInt8(13) & 0x10) !== 0,
    payload: body.subarray(4 * (body.readUInt8(12) >> 4)),
  }
}

/** Names a connection, whichever side the segment comes from. */
export function connectionOf({ from, fromPort, to, toPort }: Segment): string {
  return [`${from}:${fromPort}`, `${to}:${toPort}`].sort().join(' ')
}
