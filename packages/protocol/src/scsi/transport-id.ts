/** iSCSI TransportIDs (SPC-4 section 7.6.4.6): the name of an initiator port in parameter data. */

const PROTOCOL_ISCSI = 0x05
/** TPID FORMAT 01b: the initiator port, and not only the initiator's name. */
const FORMAT_PORT = 0x40
const HEADER_LENGTH = 4
const LENGTH_MIN = 24
/** Of the name in it: 223 bytes, `,i,0x`, twelve digits, a NUL, and padding. */
const NAME_LENGTH_MAX = 244

const PORT_NAME = /^[^,]+,i,0x[0-9a-f]{12}$/

/** The TRANSPORTID PARAMETER DATA LENGTH field before a list of TransportIDs. */
export const TRANSPORT_IDS_LENGTH_BYTES = 4

/** The list of TransportIDs that follows the parameters of a REGISTER with SPEC_I_PT. */
export function encodeTransportIdList(initiatorPorts: readonly string[]): Buffer {
  const ids = Buffer.concat(initiatorPorts.map(encodeTransportId))
  const length = Buffer.alloc(TRANSPORT_IDS_LENGTH_BYTES)
  length.writeUInt32BE(ids.length)
  return Buffer.concat([length, ids])
}

/**
 * Divides a list into its TransportIDs, which alias it; what each names, `decodeTransportId` says.
 * `cut` when the list is shorter than it says; undefined when its last TransportID is.
 */
export function decodeTransportIdList(list: Buffer): Buffer[] | 'cut' | undefined {
  if (list.length < TRANSPORT_IDS_LENGTH_BYTES) return 'cut'
  const end = TRANSPORT_IDS_LENGTH_BYTES + list.readUInt32BE(0)
  if (end > list.length) return 'cut'
  const ids: Buffer[] = []
  for (let at = TRANSPORT_IDS_LENGTH_BYTES; at < end; ) {
    if (at + LENGTH_MIN > end) return undefined
    const next = at + Math.max(LENGTH_MIN, HEADER_LENGTH + list.readUInt16BE(at + 2))
    if (next > end) return undefined
    ids.push(list.subarray(at, next))
    at = next
  }
  return ids
}

/** The TransportID of `<InitiatorName>,i,0x<ISID>`, with its NUL and padding to four bytes. */
export function encodeTransportId(initiatorPort: string): Buffer {
  const name = Buffer.from(initiatorPort, 'utf8')
  const length = Math.max(LENGTH_MIN, HEADER_LENGTH + ((name.length + 4) & ~3))
  const data = Buffer.alloc(length)
  data.writeUInt8(FORMAT_PORT | PROTOCOL_ISCSI, 0)
  data.writeUInt16BE(length - HEADER_LENGTH, 2)
  name.copy(data, HEADER_LENGTH)
  return data
}

/**
 * The initiator port that the TransportID in all of `data` names, its ISID in lower case; undefined
 * when it is for another transport, names no port, or is not as long as it says.
 */
export function decodeTransportId(data: Buffer): string | undefined {
  if (data.length < LENGTH_MIN || data.readUInt8(0) !== (FORMAT_PORT | PROTOCOL_ISCSI)) {
    return undefined
  }
  const length = data.readUInt16BE(2)
  if (length > NAME_LENGTH_MAX || HEADER_LENGTH + length !== data.length) return undefined
  const end = data.indexOf(0, HEADER_LENGTH)
  const name = data.toString('utf8', HEADER_LENGTH, end < 0 ? data.length : end)
  const separator = name.indexOf(',')
  const port = separator < 0 ? name : name.slice(0, separator) + name.slice(separator).toLowerCase()
  return PORT_NAME.test(port) ? port : undefined
}
