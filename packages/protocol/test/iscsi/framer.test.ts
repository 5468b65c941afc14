import fc from 'fast-check'
import t from 'tap'
import { BHS_LENGTH } from '../../src/iscsi/bhs.ts'
import { crc32c } from '../../src/iscsi/digest.ts'
import { ProtocolError } from '../../src/iscsi/errors.ts'
import {
  dataPosition,
  Framer,
  type FramerHandler,
  pduLength,
  sealPdu,
} from '../../src/iscsi/framer.ts'

/** What a PDU is made of, before it is laid out. */
interface Parts {
  readonly header: Uint8Array
  readonly ahs: Uint8Array
  readonly data: Uint8Array
}

interface Digests {
  readonly headerDigest: boolean
  readonly dataDigest: boolean
}

const none: Digests = { headerDigest: false, dataDigest: false }
const both: Digests = { headerDigest: true, dataDigest: true }

/** A PDU as a sender makes it, in a buffer that held other bytes before. */
function encode({ header, ahs, data }: Parts, { headerDigest, dataDigest }: Digests): Buffer {
  const pdu = Buffer.alloc(pduLength(ahs.length, data.length, headerDigest, dataDigest), 0xee)
  pdu.set(header, 0)
  pdu[4] = ahs.length / 4
  pdu.writeUIntBE(data.length, 5, 3)
  pdu.set(ahs, BHS_LENGTH)
  pdu.set(data, dataPosition(0, ahs.length, headerDigest))
  sealPdu(pdu, 0, data.length, headerDigest, dataDigest)
  return pdu
}

/** Keeps what a framer says, and stops it after each callback when told to. */
class Recorder implements FramerHandler {
  readonly calls: string[] = []
  readonly framer: Framer
  stopAfterEach = false
  ended: (() => void) | null = null
  /** The data of the PDU at hand. */
  #data = Buffer.alloc(0)
  pieces = 0

  constructor(digests: Digests, dataSegmentLengthMax = 65536) {
    this.framer = new Framer(this, dataSegmentLengthMax)
    this.framer.headerDigest = digests.headerDigest
    this.framer.dataDigest = digests.dataDigest
  }

  onHeader(buffer: Buffer, base: number): void {
    const length = BHS_LENGTH + 4 * (buffer[base + 4] as number)
    this.calls.push(`header ${buffer.toString('hex', base, base + length)}`)
    this.#data = Buffer.alloc(0)
    this.#stop()
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    if (offset !== this.#data.length) this.calls.push(`data at ${offset}, not ${this.#data.length}`)
    this.#data = Buffer.concat([this.#data, buffer.subarray(position, position + length)])
    this.pieces++
    this.#stop()
  }

  onEnd(): void {
    this.calls.push(`end ${this.#data.toString('hex')}`)
    this.ended?.()
    this.#stop()
  }

  onDataDigestError(): void {
    this.calls.push('data digest error')
    this.#stop()
  }

  #stop(): void {
    if (this.framer.paused) this.calls.push('a callback while paused')
    if (this.stopAfterEach) this.framer.paused = true
  }

  /** Pushes all of it, in chunks that begin at an odd place of a buffer, resuming as often as it stops. */
  push(bytes: Buffer, sizes: readonly number[] = []): void {
    let start = 0
    for (const size of [...sizes, bytes.length]) {
      const chunk = Buffer.concat([Buffer.alloc(3), bytes.subarray(start, start + size)])
      start = Math.min(start + size, bytes.length)
      for (let at = 3; at < chunk.length; ) {
        at += this.framer.push(chunk, at, chunk.length)
        if (at < chunk.length && !this.framer.paused) throw new Error('stopped without a pause')
        this.framer.paused = false
      }
      // The caller's chunk is its own again: nothing may be read from it later.
      chunk.fill(0xdd)
    }
  }
}

/** What a framer is to say of these PDUs. */
function wanted(pdus: readonly Parts[]): string[] {
  return pdus.flatMap((parts) => {
    const header = encode({ ...parts }, none).subarray(0, BHS_LENGTH + parts.ahs.length)
    return [`header ${header.toString('hex')}`, `end ${Buffer.from(parts.data).toString('hex')}`]
  })
}

const parts = fc.record({
  header: fc.uint8Array({ minLength: BHS_LENGTH, maxLength: BHS_LENGTH }),
  ahs: fc.oneof(
    { weight: 3, arbitrary: fc.constant(new Uint8Array()) },
    fc.nat(255).map((words) => new Uint8Array(4 * words).fill(words)),
  ),
  data: fc.oneof(
    { weight: 2, arbitrary: fc.constant(new Uint8Array()) },
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
  ),
})
const stream = fc.array(parts, { minLength: 1, maxLength: 5 })
const digests = fc.record({ headerDigest: fc.boolean(), dataDigest: fc.boolean() })
const splits = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 20 })

function example(dataLength: number, ahsLength = 0): Parts {
  return {
    header: Uint8Array.from({ length: BHS_LENGTH }, (_, i) => 255 - i),
    ahs: Uint8Array.from({ length: ahsLength }, (_, i) => i),
    data: Uint8Array.from({ length: dataLength }, (_, i) => i + 1),
  }
}

t.test('PDUs come out the same however the stream is cut', async (t) => {
  fc.assert(
    fc.property(stream, digests, splits, (pdus, digests, sizes) => {
      const recorder = new Recorder(digests)
      recorder.push(Buffer.concat(pdus.map((pdu) => encode(pdu, digests))), sizes)
      t.strictSame(recorder.calls, wanted(pdus))
    }),
    { numRuns: 60 },
  )
})

t.test('PDUs come out the same byte by byte', async (t) => {
  const pdus = [example(0), example(5, 12), example(8), example(1, 1020), example(0, 4)]
  for (const digests of [none, both]) {
    const bytes = Buffer.concat(pdus.map((pdu) => encode(pdu, digests)))
    const recorder = new Recorder(digests)
    recorder.push(bytes, Array(bytes.length).fill(1))
    t.strictSame(recorder.calls, wanted(pdus))
  }
})

t.test('PDUs come out the same when the handler pauses at every callback', async (t) => {
  fc.assert(
    fc.property(stream, digests, splits, (pdus, digests, sizes) => {
      const recorder = new Recorder(digests)
      recorder.stopAfterEach = true
      recorder.push(Buffer.concat(pdus.map((pdu) => encode(pdu, digests))), sizes)
      t.strictSame(recorder.calls, wanted(pdus))
    }),
    { numRuns: 60 },
  )
})

t.test('a pause leaves bytes to push, while there is anything left to say', async (t) => {
  for (const dataLength of [0, 4, 5]) {
    for (const digests of [none, both]) {
      const recorder = new Recorder(digests)
      recorder.stopAfterEach = true
      const bytes = encode(example(dataLength), digests)
      const consumed = recorder.framer.push(bytes, 0, bytes.length)
      t.ok(consumed < bytes.length, `after the header of a PDU with ${dataLength} bytes of data`)
      t.equal(recorder.calls.length, 1)
      t.equal(recorder.framer.push(bytes, consumed, bytes.length), 0, 'nothing goes while paused')
      t.equal(recorder.calls.length, 1)
    }
  }
})

t.test('a header that lies whole in its chunk is looked at in place', async (t) => {
  const seen: Buffer[] = []
  const framer = new Framer(
    { onHeader: (buffer) => seen.push(buffer), onData() {}, onEnd() {}, onDataDigestError() {} },
    8192,
  )
  const bytes = encode(example(0, 8), none)
  framer.push(bytes, 0, bytes.length)
  t.equal(seen[0], bytes)
  framer.push(bytes, 0, BHS_LENGTH)
  t.equal(seen.length, 1, 'without its AHS a header is not passed on')
  framer.push(bytes, BHS_LENGTH, bytes.length)
  t.not(seen[1], bytes)
})

t.test('without a data digest, data go through in the pieces they come in', async (t) => {
  const recorder = new Recorder(none)
  const bytes = encode(example(6), none)
  recorder.push(bytes, [BHS_LENGTH + 2, 3])
  t.equal(recorder.pieces, 3)
  t.strictSame(recorder.calls, wanted([example(6)]))
})

t.test('with a data digest, data come in one piece, and only once they are verified', async (t) => {
  const recorder = new Recorder(both)
  const bytes = encode(example(6), both)
  recorder.push(bytes.subarray(0, -1), [BHS_LENGTH + 6, 3])
  t.equal(recorder.pieces, 0)
  t.equal(recorder.calls.length, 1)
  recorder.push(bytes.subarray(-1))
  t.equal(recorder.pieces, 1)
  t.strictSame(recorder.calls, wanted([example(6)]))
})

t.test('data that fail their digest are never passed on, and the next PDU is', async (t) => {
  const good = encode(example(6), both)
  const start = dataPosition(0, 0, true)
  for (let at = start; at < good.length; at++) {
    const bad = Buffer.from(good)
    bad[at] = (bad[at] as number) ^ 0x10
    const recorder = new Recorder(both)
    recorder.push(Buffer.concat([bad, good]))
    const [header = '', end = ''] = wanted([example(6)])
    t.strictSame(recorder.calls, [header, 'data digest error', header, end], `byte ${at}`)
    t.equal(recorder.pieces, 1)
  }
})

t.test('a header that fails its digest ends the stream, whichever byte is wrong', async (t) => {
  const good = encode(example(0, 8), both)
  for (let at = 0; at < good.length; at++) {
    // Lengths that are wrong move the place of the digest: then it is missing, or is wrong too.
    if (at >= 4 && at < 8) continue
    const bad = Buffer.from(good)
    bad[at] = (bad[at] as number) ^ 0x01
    const recorder = new Recorder(both)
    t.throws(() => recorder.push(bad), /^header digest is 0x[0-9a-f]{8}, wanted 0x[0-9a-f]{8}$/)
    t.strictSame(recorder.calls, [])
  }
})

t.test(
  'lengths beyond what was declared end the stream before any data are taken in',
  async (t) => {
    const limit = 262144
    const recorder = new Recorder(none, limit)
    const header = Buffer.alloc(BHS_LENGTH)
    header.writeUIntBE(limit, 5, 3)
    recorder.push(header)
    t.equal(recorder.calls.length, 1, 'the limit itself is allowed')

    const strict = new Recorder(none, limit)
    header.writeUIntBE(300000, 5, 3)
    t.throws(() => strict.push(header), {
      name: 'ProtocolError',
      message: 'DataSegmentLength 300000 exceeds MaxRecvDataSegmentLength 262144',
      answer: { kind: 'drop' },
    })
    t.strictSame(strict.calls, [])

    const noAhs = new Recorder(none)
    noAhs.framer.ahsLengthMax = 32
    noAhs.push(encode(example(0, 32), none))
    t.equal(noAhs.calls.length, 2)
    t.throws(() => noAhs.push(encode(example(0, 36), none)), {
      name: 'ProtocolError',
      message: 'TotalAHSLength of 36 bytes exceeds 32',
    })
  },
)

t.test('after an error a framer takes nothing more', async (t) => {
  const recorder = new Recorder(none, 8)
  t.throws(() => recorder.push(encode(example(9), none)), ProtocolError)
  t.throws(() => recorder.push(encode(example(0), none)), /^bytes after a framing error$/)
  t.strictSame(recorder.calls, [])
})

t.test('an error of the handler ends the stream, and is the handler’s', async (t) => {
  const recorder = new Recorder(none)
  recorder.ended = () => {
    throw new RangeError('a fault of the session')
  }
  t.throws(() => recorder.push(encode(example(0), none)), /^a fault of the session$/)
  t.throws(() => recorder.push(encode(example(0), none)), ProtocolError)
})

t.test('digests that are agreed on in onEnd take effect with the next PDU', async (t) => {
  const pdus = [example(5), example(5, 4), example(0)]
  const [plain, ...later] = pdus as [Parts, ...Parts[]]
  const bytes = Buffer.concat([encode(plain, none), ...later.map((pdu) => encode(pdu, both))])
  for (const sizes of [[], Array(bytes.length).fill(1)]) {
    const recorder = new Recorder(none)
    recorder.ended = () => {
      recorder.framer.headerDigest = true
      recorder.framer.dataDigest = true
    }
    recorder.push(bytes, sizes)
    t.strictSame(recorder.calls, wanted(pdus))
  }
})

t.test('a longer segment may follow when the limit is raised', async (t) => {
  const recorder = new Recorder(both, 16)
  recorder.ended = () => {
    recorder.framer.dataSegmentLengthMax = 64
  }
  const pdus = [example(16), example(64)]
  recorder.push(Buffer.concat(pdus.map((pdu) => encode(pdu, both))))
  t.strictSame(recorder.calls, wanted(pdus))
})

t.test('a sealed PDU has zeros as padding, and digests over header and padded data', async (t) => {
  const pdu = encode(example(5, 4), both)
  t.equal(pdu.length, 48 + 4 + 4 + 8 + 4)
  t.equal(dataPosition(100, 4, true), 156)
  t.equal(dataPosition(100, 4, false), 152)
  t.equal(pdu.readUInt32LE(52), crc32c(pdu, 0, 52))
  t.equal(pdu.toString('hex', 56, 64), '0102030405000000')
  t.equal(pdu.readUInt32LE(64), crc32c(pdu, 56, 64))
  t.equal(pduLength(0, 0, true, true), 52, 'no data, no data digest')
  t.equal(encode(example(0), both).length, 52)
})
