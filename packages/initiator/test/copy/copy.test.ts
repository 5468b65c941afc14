import { randomBytes } from 'node:crypto'
import t from 'tap'
import { BlockError } from '../../src/block/block-error.ts'
import { Comparison, DifferenceError } from '../../src/copy/comparison.ts'
import { Copy, type CopyOptions } from '../../src/copy/copy.ts'
import { DeviceImage } from '../../src/copy/device-image.ts'
import type { ImageSink, ImageSource } from '../../src/copy/image.ts'
import { StreamSink, StreamSource } from '../../src/copy/stream-image.ts'
import { runningDevice } from '../support/running-device.ts'

const KiB = 1024
const devices: { stop(): void }[] = []
t.teardown(() => {
  for (const device of devices) device.stop()
})

function device(sizeBytes: number) {
  const running = runningDevice(sizeBytes / 512)
  devices.push(running)
  return running
}

/** Random bytes with zeros in the places given. */
function imageOf(sizeBytes: number, ...zeros: (readonly [number, number])[]): Buffer {
  const image = randomBytes(sizeBytes)
  for (const [start, end] of zeros) image.fill(0, start, end)
  return image
}

function copy(source: ImageSource, sink: ImageSink, options: Partial<CopyOptions> = {}): Copy {
  const sizes = { depth: 4, blockBytes: 128 * KiB, lengthBytes: null, sparse: true }
  return new Copy({ source, sink, ...sizes, ...options })
}

async function* chunks(image: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < image.length; at += length) yield image.subarray(at, at + length)
}

t.test('a range is copied to another place, several pieces at once, and no more', async (t) => {
  const from = device(1024 * KiB)
  const to = device(1024 * KiB)
  imageOf(1024 * KiB).copy(from.memory.bytes)
  const before = imageOf(1024 * KiB)
  before.copy(to.memory.bytes)
  // Neither a whole number of blocks, nor of pieces.
  const source = new DeviceImage(from.device, 1000, 700_001)
  const copying = copy(source, new DeviceImage(to.device, 300, 700_001))
  await copying.run()
  const wanted = Buffer.concat([
    before.subarray(0, 300),
    from.memory.bytes.subarray(1000, 701_001),
    before.subarray(700_301),
  ])
  t.ok(to.memory.bytes.equals(wanted))
  t.equal(copying.doneBytes, 700_001)
  t.equal(copying.contiguousBytes, 700_001)
  t.equal(copying.totalBytes, 700_001)
  t.ok(from.mostPending > 1 && from.mostPending <= 4, `${from.mostPending} reads at once`)
  t.equal(to.memory.flushes, 1)
})

t.test('zeros become holes, or are written where that is asked for', async (t) => {
  for (const sparse of [true, false]) {
    const image = imageOf(1024 * KiB, [64 * KiB, 192 * KiB], [512 * KiB, 1024 * KiB])
    const from = device(image.length)
    image.copy(from.memory.bytes)
    const to = device(image.length)
    to.memory.bytes.fill(7)
    const zeroed: number[] = []
    to.memory.fault = (kind, offset) => {
      if (kind === 'zero') zeroed.push(offset)
      return null
    }
    const copying = copy(new DeviceImage(from.device, 0), new DeviceImage(to.device, 0), { sparse })
    await copying.run()
    t.ok(to.memory.bytes.equals(image))
    t.equal(copying.zeroBytes, sparse ? 640 * KiB : 0)
    t.equal(zeroed.length > 0, sparse)
  }
})

t.test('a device without a command for zeros has them written', async (t) => {
  const to = device(256 * KiB)
  to.memory.bytes.fill(7)
  let refused = 0
  to.memory.fault = (kind) => {
    if (kind !== 'zero') return null
    refused += 1
    return new BlockError('EOPNOTSUPP', 'no WRITE SAME')
  }
  const source = new StreamSource(chunks(Buffer.alloc(256 * KiB), 5000))
  await copy(source, new DeviceImage(to.device, 0), { depth: 1 }).run()
  t.ok(to.memory.bytes.equals(Buffer.alloc(256 * KiB)))
  t.equal(refused, 1, 'it is asked once')
})

t.test('holes of the source are not read', async (t) => {
  const image = imageOf(1024 * KiB, [100 * KiB, 900 * KiB])
  const read: number[] = []
  const source: ImageSource = {
    sizeBytes: image.length,
    async read(offset, into) {
      read.push(offset)
      return image.copy(into, 0, offset)
    },
    dataFrom: (offset) => (offset >= 100 * KiB && offset < 900 * KiB ? 900 * KiB : offset),
  }
  const to = device(image.length)
  to.memory.bytes.fill(7)
  await copy(source, new DeviceImage(to.device, 0)).run()
  t.ok(to.memory.bytes.equals(image))
  t.strictSame(read, [0, 900 * KiB])
})

t.test('a stream ends where it ends, and comes out in order', async (t) => {
  const image = imageOf(700_001, [128 * KiB, 256 * KiB])
  const parts: Buffer[] = []
  const sink = new StreamSink(async (bytes) => {
    parts.push(Buffer.from(bytes))
    await new Promise((resolve) => setTimeout(resolve, parts.length % 3))
  })
  const through = device(1024 * KiB)
  const incoming = copy(
    new StreamSource(chunks(image, 77_777)),
    new DeviceImage(through.device, 512),
  )
  await incoming.run()
  t.equal(incoming.doneBytes, image.length)
  t.equal(incoming.totalBytes, image.length)
  await copy(new DeviceImage(through.device, 512, image.length), sink).run()
  t.ok(Buffer.concat(parts).equals(image))
})

t.test('a stream that is longer than its place fills it, and is an error', async (t) => {
  const to = device(256 * KiB)
  const copying = copy(
    new StreamSource(chunks(imageOf(300 * KiB), 4096)),
    new DeviceImage(to.device, 0),
  )
  await t.rejects(copying.run(), { code: 'ENOSPC', message: /more than the 262144 bytes for it/ })
  t.equal(copying.contiguousBytes, 256 * KiB)
})

t.test('a source that ends too early is an error', async (t) => {
  const to = device(256 * KiB)
  const source = new StreamSource(chunks(imageOf(1000), 300))
  await t.rejects(copy(source, new DeviceImage(to.device, 0), { lengthBytes: 2000 }).run(), {
    message: 'the source ends after 1000 bytes, wanted 2000',
  })
})

t.test('the first error ends a copy, once nothing is under way', async (t) => {
  for (const sequential of [false, true]) {
    const from = device(1024 * KiB)
    imageOf(1024 * KiB).copy(from.memory.bytes)
    from.memory.fault = (_, offset) =>
      offset === 512 * KiB ? new BlockError('EIO', 'medium error') : null
    const to = device(1024 * KiB)
    const sink = sequential ? new StreamSink(async () => {}) : new DeviceImage(to.device, 0)
    const copying = copy(new DeviceImage(from.device, 0), sink)
    await t.rejects(copying.run(), { code: 'EIO', message: 'medium error' })
    t.equal(copying.contiguousBytes, 512 * KiB)
    t.ok(copying.doneBytes < 1024 * KiB)
    t.equal(from.memory.pending.length + to.memory.pending.length, 0)
    t.equal(to.memory.flushes, 0)
  }
})

t.test('an aborted copy ends with what is under way, and knows how far it came', async (t) => {
  const from = device(1024 * KiB)
  imageOf(1024 * KiB).copy(from.memory.bytes)
  const to = device(1024 * KiB)
  const stop = new AbortController()
  to.memory.fault = (_, offset) => {
    if (offset === 256 * KiB) stop.abort(new Error('stopped'))
    return null
  }
  const copying = copy(new DeviceImage(from.device, 0), new DeviceImage(to.device, 0), {
    signal: stop.signal,
  })
  await t.rejects(copying.run(), { message: 'stopped' })
  const { contiguousBytes } = copying
  t.ok(contiguousBytes >= 384 * KiB && contiguousBytes < 1024 * KiB, String(contiguousBytes))
  t.equal(copying.doneBytes, contiguousBytes)
  t.ok(
    to.memory.bytes
      .subarray(0, contiguousBytes)
      .equals(from.memory.bytes.subarray(0, contiguousBytes)),
  )
})

t.test('reading back finds the byte that is another', async (t) => {
  const from = device(512 * KiB)
  imageOf(512 * KiB).copy(from.memory.bytes)
  const to = device(512 * KiB)
  const source = new DeviceImage(from.device, 0)
  const sink = new DeviceImage(to.device, 0)
  await copy(source, sink).run()
  await copy(source, new Comparison(sink), { sparse: false }).run()
  to.memory.bytes[300_000] = (to.memory.bytes[300_000] as number) ^ 1
  const failed = copy(source, new Comparison(sink), { sparse: false }).run()
  await t.rejects(failed, new DifferenceError(300_000))
})
