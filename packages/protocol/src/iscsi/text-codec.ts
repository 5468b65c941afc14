/**
 * The text of Login and Text PDUs, `key=value` pairs each ended by a zero byte, to and from bytes
 * (RFC 7143 section 6.1), also when it goes on over several PDUs (their C bit).
 */
import { isUtf8 } from 'node:buffer'
import { ProtocolError } from './errors.ts'
import { valueBytesMax } from './keys.ts'
import { RejectReason } from './status.ts'

export type TextPair = readonly [key: string, value: string]

export const KEY_BYTES_MAX = 63

/** Letters, digits and `.-+@_`, with the `#` of X# keys. */
const keyPattern = /^[A-Za-z][A-Za-z0-9.\-+@_#]*$/

/** The bytes of `pairs`, in a new buffer. Throws a RangeError for what could not be decoded again. */
export function encodeText(pairs: Iterable<TextPair>): Buffer {
  let text = ''
  for (const [key, value] of pairs) {
    if (!keyPattern.test(key) || key.length > KEY_BYTES_MAX) {
      throw new RangeError(`text key ${JSON.stringify(key)} is not a valid key name`)
    }
    if (value.includes('\0')) throw new RangeError(`value of text key ${key} holds a zero byte`)
    text += `${key}=${value}\0`
  }
  return Buffer.from(text, 'utf8')
}

/**
 * The pairs in `data`, in their order, repeated keys included. Throws a ProtocolError when `data` is
 * not well-formed; what values mean is not looked at, but their length is.
 */
export function decodeText(data: Buffer): TextPair[] {
  const pairs: TextPair[] = []
  let start = 0
  while (start < data.length) {
    const end = data.indexOf(0, start)
    if (end === -1) throw malformed(`text at byte ${start} is not ended by a zero byte`)
    // More than one zero byte may follow a pair.
    if (end > start) pairs.push(decodePair(data.subarray(start, end), start))
    start = end + 1
  }
  return pairs
}

function decodePair(bytes: Buffer, position: number): TextPair {
  if (!isUtf8(bytes)) throw malformed(`text at byte ${position} is not UTF-8`)
  const text = bytes.toString('utf8')
  const equals = text.indexOf('=')
  if (equals === -1) throw malformed(`text at byte ${position} has no "="`)
  const key = text.slice(0, equals)
  const value = text.slice(equals + 1)
  if (!keyPattern.test(key) || key.length > KEY_BYTES_MAX) {
    throw malformed(`text at byte ${position} does not begin with a valid key name`)
  }
  const limit = valueBytesMax(key)
  const longest = longestElement(bytes, equals + 1)
  if (longest > limit) {
    throw malformed(
      `value of text key ${key} is ${longest} bytes long; at most ${limit} are allowed`,
    )
  }
  return [key, value]
}

/** The longest run between commas from `start` on, in bytes: the limit is on simple values. */
function longestElement(bytes: Buffer, start: number): number {
  let longest = 0
  let elementStart = start
  while (elementStart <= bytes.length) {
    const comma = bytes.indexOf(0x2c, elementStart)
    const elementEnd = comma === -1 ? bytes.length : comma
    longest = Math.max(longest, elementEnd - elementStart)
    elementStart = elementEnd + 1
  }
  return longest
}

/** Gathers a text that comes in pieces, which may be cut anywhere, up to a limit. */
export class TextAssembler {
  readonly #limitBytes: number
  #data = Buffer.alloc(0)

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Bytes gathered so far. */
  get lengthBytes(): number {
    return this.#data.length
  }

  /** Copies `length` bytes of `buffer`. Throws a ProtocolError when the limit is exceeded. */
  append(buffer: Buffer, position: number, length: number): void {
    const total = this.#data.length + length
    if (total > this.#limitBytes) {
      throw malformed(`text of ${total} bytes exceeds the limit of ${this.#limitBytes}`)
    }
    this.#data = Buffer.concat([this.#data, buffer.subarray(position, position + length)])
  }

  /** Decodes what was gathered, and is empty again. Throws as `decodeText` does. */
  take(): TextPair[] {
    const data = this.#data
    this.#data = Buffer.alloc(0)
    return decodeText(data)
  }
}

/** Cuts `data` for PDUs of at most `segmentLength` bytes: views of it, at least one, all but the last full. */
export function splitText(data: Buffer, segmentLength: number): Buffer[] {
  const pieces = [data.subarray(0, segmentLength)]
  for (let start = segmentLength; start < data.length; start += segmentLength) {
    pieces.push(data.subarray(start, start + segmentLength))
  }
  return pieces
}

function malformed(message: string): ProtocolError {
  return new ProtocolError('text', message, { kind: 'reject', reason: RejectReason.ProtocolError })
}
