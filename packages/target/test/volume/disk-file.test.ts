import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createDiskFile, DiskFile } from '../../src/volume/disk-file.ts'
import { availableSystemCalls, Errno, type SystemCalls } from '../../src/volume/system-calls.ts'
import { VolumeError } from '../../src/volume/volume.ts'
import { io, readAll, runsOf, writeAll } from './io.ts'

const MIB = 1024 * 1024
const HOLD_LOCK = `
  const fd = require('node:fs').openSync(process.argv[1], 'r+')
  require('koffi').load(null).func('int flock(int fd, int operation)')(fd, 2)
  console.log('locked')
  setInterval(() => {}, 1000)`
const real = availableSystemCalls()
const unlessCalls = { skip: real.notice ?? false }
const unlessPageCache = {
  skip: real.notice ?? (fs.statfsSync(os.tmpdir()).type === 0x01021994 && 'tmpfs has no disk'),
}

async function tempPath(t: Test, name = 'disk.img'): Promise<string> {
  const directory = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'platter-disk-'))
  t.teardown(() => fs.promises.rm(directory, { recursive: true }))
  return path.join(directory, name)
}

async function tempDisk(t: Test, calls?: Partial<SystemCalls>): Promise<DiskFile> {
  const filePath = await tempPath(t)
  await createDiskFile(filePath, 8 * MIB)
  const systemCalls = calls && { calls: { ...real.calls!, ...calls }, notice: null }
  const disk = await DiskFile.open(filePath, systemCalls ? { systemCalls } : {})
  t.teardown(() => disk.close())
  return disk
}

t.test('a new disk file is sparse, of the size asked, and reads as zeros', async (t) => {
  const filePath = await tempPath(t)
  await createDiskFile(filePath, 1024 * 1024 * MIB)
  const disk = await DiskFile.open(filePath)
  t.teardown(() => disk.close())
  t.equal(disk.sizeBytes, 1024 * 1024 * MIB)
  t.equal(disk.blockSizeBytes, 512)
  t.ok(fs.statSync(filePath).blocks * 512 < MIB, 'a TiB that takes no room')
  const last = disk.sizeBytes - 4096
  t.ok((await readAll(disk, last, 4096)).equals(Buffer.alloc(4096)))
  await writeAll(disk, last, Buffer.alloc(4096, 0x5a))
  t.ok((await readAll(disk, last, 4096)).equals(Buffer.alloc(4096, 0x5a)), 'beyond 4 GiB')
})

t.test('createDiskFile refuses what exists and sizes that are not whole blocks', async (t) => {
  const filePath = await tempPath(t)
  fs.writeFileSync(filePath, 'precious')
  await t.rejects(createDiskFile(filePath, MIB), { name: 'VolumeError', message: /EEXIST/ })
  t.equal(fs.readFileSync(filePath, 'utf8'), 'precious')
  await t.rejects(createDiskFile(`${filePath}2`, 1000), RangeError)
  t.notOk(fs.existsSync(`${filePath}2`))
})

t.test('a disk is opened once: a second open says who has it', unlessCalls, async (t) => {
  const disk = await tempDisk(t)
  await t.rejects(DiskFile.open(disk.name), {
    name: 'VolumeError',
    op: 'open',
    message: `open failed on ${disk.name} at byte 0: it is in use by this process (${process.pid})`,
  })
  await disk.close()
  const again = await DiskFile.open(disk.name)
  await again.close()
})

t.test('a disk of another process is refused until that one dies', unlessCalls, async (t) => {
  const filePath = await tempPath(t)
  await createDiskFile(filePath, MIB)
  const holder = spawn(process.execPath, ['-e', HOLD_LOCK, filePath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  const expected = new RegExp(`in use by process ${holder.pid} \\(\\S*node -e const fd.*\\)$`)
  await t.rejects(DiskFile.open(filePath), { message: expected })
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const disk = await DiskFile.open(filePath)
  await disk.close()
})

t.test('what is not a disk cannot be opened as one', async (t) => {
  const filePath = await tempPath(t)
  await t.rejects(DiskFile.open(filePath), { name: 'VolumeError', message: /ENOENT/ })
  await t.rejects(DiskFile.open(path.dirname(filePath)), { message: /neither a file nor a block/ })
  await t.rejects(DiskFile.open('/dev/null'), { message: /neither a file nor a block/ })
  fs.writeFileSync(filePath, '')
  await t.rejects(DiskFile.open(filePath), { message: /its size is 0 bytes/ })
})

t.test('both forms read and write the same bytes, at a position in the buffer', async (t) => {
  const disk = await tempDisk(t)
  const model = Buffer.alloc(disk.sizeBytes)
  const step = fc.record({
    op: fc.constantFrom('readNow', 'writeNow', 'read', 'write', 'discard'),
    block: fc.nat({ max: 8 * 2048 - 400 }),
    blocks: fc.oneof(fc.nat({ max: 16 }), fc.nat({ max: 400 })),
    position: fc.nat({ max: 100 }),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      for (const { op, block, blocks, position, fill } of steps) {
        const offset = block * 512
        const length = blocks * 512
        const buffer = Buffer.alloc(position + length + 8, fill)
        if (op === 'writeNow' || op === 'write') {
          const now = op === 'writeNow' && disk.writeNow(offset, buffer, position, length)
          if (!now) await io((done) => disk.write(offset, buffer, position, length, done))
          buffer.copy(model, offset, position, position + length)
        } else if (op === 'discard') {
          await io((done) => disk.discard(offset, length, done))
          model.fill(0, offset, offset + length)
        } else {
          const now = op === 'readNow' && disk.readNow(offset, buffer, position, length)
          if (!now) await io((done) => disk.read(offset, buffer, position, length, done))
          const expected = Buffer.alloc(buffer.length, fill)
          model.copy(expected, position, offset, offset + length)
          if (!buffer.equals(expected)) throw new Error(`${op} of ${length} at ${offset} differs`)
        }
      }
    }),
    { numRuns: 30 },
  )
  await io((done) => disk.flush(done))
  await disk.close()
  t.ok(fs.readFileSync(disk.name).equals(model))
})

t.test('readNow serves cached data itself, of any length', unlessCalls, async (t) => {
  const disk = await tempDisk(t)
  const data = Buffer.alloc(128 * 1024, 7)
  t.ok(disk.writeNow(0, data, 0, data.length))
  const into = Buffer.alloc(data.length)
  t.ok(disk.readNow(4096, into, 4096, 4096))
  t.ok(into.subarray(4096, 8192).equals(data.subarray(0, 4096)))
  t.ok(disk.readNow(0, into, 0, data.length))
  t.ok(into.equals(data))
})

t.test(
  'a miss in the page cache, whole or in part, is for the pool',
  unlessPageCache,
  async (t) => {
    let asked = 0
    let answer: number = Errno.WouldBlock
    const disk = await tempDisk(t, {
      preadNoWait(_fd, _into, _position, length) {
        asked++
        return answer === 0 ? length : answer
      },
    })
    const into = Buffer.alloc(4096)
    asked = 0
    t.notOk(disk.readNow(0, into, 0, 4096))
    answer = 2048
    t.notOk(disk.readNow(0, into, 0, 4096), 'half of it')
    t.equal(asked, 2)

    answer = Errno.WouldBlock
    for (let i = 0; i < 1000; i++) disk.readNow(0, into, 0, 4096)
    t.ok(asked < 100, 'after many misses it asks less often')
    answer = 0
    let tries = 1
    while (!disk.readNow(0, into, 0, 4096)) tries++
    t.ok(tries <= 16, 'but soon finds out that the data are there')
    t.ok(disk.readNow(0, into, 0, 4096), 'and serves all from then on')
  },
)

t.test('without RWF_NOWAIT, or without system calls, all goes through the pool', async (t) => {
  const filePath = await tempPath(t)
  await createDiskFile(filePath, MIB)
  const block = Buffer.alloc(4096, 3)
  const into = Buffer.alloc(4096)
  const disk = await DiskFile.open(filePath, { systemCalls: { calls: null, notice: 'none' } })
  t.notOk(disk.writeNow(0, block, 0, 4096))
  t.notOk(disk.readNow(0, into, 0, 4096))
  await writeAll(disk, 0, block)
  t.ok((await readAll(disk, 0, 4096)).equals(block))
  await io((done) => disk.discard(0, 4096, done))
  t.ok((await readAll(disk, 0, 4096)).equals(Buffer.alloc(4096)), 'zeros written instead')
  await disk.close()
})

t.test('a write of part of a page goes to the pool', unlessPageCache, async (t) => {
  const disk = await tempDisk(t)
  const block = Buffer.alloc(4096, 1)
  t.notOk(disk.writeNow(0, block, 0, 512))
  t.notOk(disk.writeNow(512, block, 0, 4096))
  t.ok(disk.writeNow(4096, block, 0, 4096))
})

t.test('a failed or short writeNow says false, and write tells why', async (t) => {
  const disk = await tempDisk(t, { pwrite: () => -os.constants.errno.ENOSPC })
  t.notOk(disk.writeNow(0, Buffer.alloc(4096), 0, 4096))
})

t.test('a disk file cut short while in use is an error, not zeros', async (t) => {
  const filePath = await tempPath(t)
  await createDiskFile(filePath, 2 * MIB)
  const disk = await DiskFile.open(filePath)
  t.teardown(() => disk.close())
  fs.truncateSync(filePath, MIB)
  await t.rejects(readAll(disk, MIB, 4096), {
    name: 'VolumeError',
    op: 'read',
    volume: disk.name,
    offset: MIB,
    message: /4096 wanted: the file is shorter than the 2097152 bytes it had/,
  })
  t.notOk(disk.readNow(MIB, Buffer.alloc(4096), 0, 4096))
})

t.test('a discarded range gives its room back', async (t) => {
  const disk = await tempDisk(t)
  await writeAll(disk, 0, Buffer.alloc(4 * MIB, 9))
  await io((done) => disk.flush(done))
  const before = fs.statSync(disk.name).blocks
  await io((done) => disk.discard(MIB, 2 * MIB, done))
  const after = fs.statSync(disk.name).blocks
  t.ok(real.calls === null || after <= before - 4096, `${before} to ${after} blocks`)
  const left = await readAll(disk, 0, 4 * MIB)
  t.ok(left.subarray(0, MIB).every((byte) => byte === 9))
  t.ok(left.subarray(MIB, 3 * MIB).every((byte) => byte === 0))
  await Promise.all(
    Array.from({ length: 600 }, (_, i) => io((done) => disk.discard(i * 4096, 4096, done))),
  )
  t.ok(
    (await readAll(disk, 0, 600 * 4096)).every((byte) => byte === 0),
    '600 at a time',
  )
})

t.test('flushes asked for while one runs share the next one', async (t) => {
  const disk = await tempDisk(t)
  const original = fs.fdatasync
  t.teardown(() => Object.assign(fs, { fdatasync: original }))
  const running: ((error: Error | null) => void)[] = []
  Object.assign(fs, {
    fdatasync: (_fd: number, done: (error: Error | null) => void) => running.push(done),
  })
  const first = io((done) => disk.flush(done))
  let laterDone = 0
  const later = [1, 2, 3].map(() =>
    io((done) => disk.flush(done)).finally(() => {
      laterDone++
    }),
  )
  t.equal(running.length, 1)
  running[0]!(null)
  await first
  t.equal(running.length, 2, 'one for all three, begun after they were asked for')
  t.equal(laterDone, 0, 'the first does not count for them')
  running[1]!(new Error('EIO'))
  for (const flush of later) await t.rejects(flush, { name: 'VolumeError', op: 'flush' })
  await t.rejects(
    io((done) => disk.flush(done)),
    /EIO/,
    'a disk that lost writes never says flushed again',
  )
  t.equal(running.length, 2)
})

t.test('a full file system is a write error that says so', async (t) => {
  const disk = await tempDisk(t)
  const original = fs.write
  t.teardown(() => Object.assign(fs, { write: original }))
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
  })
  let calls = 0
  // As the system does it: what still fits is written, then comes the error.
  const write = (...args: unknown[]) => {
    const done = args.at(-1) as (error: Error | null, count: number) => void
    setImmediate(() => (calls++ === 0 ? done(null, 4096) : done(full, 0)))
  }
  Object.assign(fs, { write })
  await t.rejects(writeAll(disk, MIB, Buffer.alloc(16384)), {
    name: 'VolumeError',
    op: 'write',
    offset: MIB + 4096,
    message: /no space left on device/,
    cause: { code: 'ENOSPC' },
  })
  t.equal(calls, 2)
})

t.test('close waits for what is in flight, and nothing works afterwards', async (t) => {
  const disk = await tempDisk(t)
  const order: string[] = []
  const write = writeAll(disk, 0, Buffer.alloc(2 * MIB, 4)).then(() => order.push('written'))
  const flush = io((done) => disk.flush(done)).then(() => order.push('flushed'))
  await disk.close().then(() => order.push('closed'))
  await Promise.all([write, flush])
  t.strictSame(order.toSorted().join(), 'closed,flushed,written')
  t.equal(order.at(-1), 'closed')
  t.notOk(disk.readNow(0, Buffer.alloc(512), 0, 512))
  await t.rejects(readAll(disk, 0, 512), VolumeError)
  await t.rejects(writeAll(disk, 0, Buffer.alloc(512)), /closed/)
  await t.rejects(
    io((done) => disk.flush(done)),
    /closed/,
  )
  await disk.close()
})

t.test('ranges beyond the end or between blocks are refused before anything is done', async (t) => {
  const disk = await tempDisk(t)
  const buffer = Buffer.alloc(8192)
  const none = { ioCompleted: () => t.fail('nothing was started') }
  for (const [offset, length] of [
    [disk.sizeBytes, 512],
    [disk.sizeBytes - 512, 1024],
    [-512, 512],
    [100, 512],
    [0, 100],
    [Number.NaN, 512],
  ] as const) {
    t.throws(() => disk.readNow(offset, buffer, 0, length), RangeError)
    t.throws(() => disk.writeNow(offset, buffer, 0, length), RangeError)
    t.throws(() => disk.read(offset, buffer, 0, length, none), RangeError)
    t.throws(() => disk.write(offset, buffer, 0, length, none), RangeError)
    t.throws(() => disk.discard(offset, length, none), RangeError)
  }
})

t.test('a disk tells where its file has holes', unlessCalls, async (t) => {
  const disk = await tempDisk(t)
  t.strictSame(await runsOf(disk, 0, 8 * MIB), [{ isHole: true, length: 8 * MIB }])
  await writeAll(disk, 2 * MIB, Buffer.alloc(MIB, 1))
  await writeAll(disk, 5 * MIB, Buffer.alloc(MIB, 1))
  await io((completion) => disk.discard(2.5 * MIB, MIB / 4, completion))
  const all = [
    { isHole: true, length: 2 * MIB },
    { isHole: false, length: MIB / 2 },
    { isHole: true, length: MIB / 4 },
    { isHole: false, length: MIB / 4 },
    { isHole: true, length: 2 * MIB },
    { isHole: false, length: MIB },
    { isHole: true, length: 2 * MIB },
  ]
  t.strictSame(await runsOf(disk, 0, 8 * MIB), all)
  t.strictSame(await runsOf(disk, 0, 8 * MIB, 3), all.slice(0, 3), 'as many as asked for')
  t.strictSame(
    await runsOf(disk, 2 * MIB + 4096, MIB),
    [
      { isHole: false, length: MIB / 2 - 4096 },
      { isHole: true, length: MIB / 4 },
      { isHole: false, length: MIB / 4 },
      { isHole: true, length: 4096 },
    ],
    'from the midst of one run to that of another',
  )
  t.strictSame(await runsOf(disk, 5 * MIB, 4096), [{ isHole: false, length: 4096 }])
  t.strictSame(await runsOf(disk, 8 * MIB, 0), [])
  await disk.close()
  await t.rejects(runsOf(disk, 0, 4096), { op: 'locate', message: /the disk is closed/ })
})

t.test('where holes cannot be told, a disk has data everywhere', async (t) => {
  const whole = [{ isHole: false, length: 8 * MIB }]
  const filePath = await tempPath(t)
  await createDiskFile(filePath, 8 * MIB)
  const systemCalls = { calls: null, notice: 'none here' }
  const plain = await DiskFile.open(filePath, { systemCalls })
  t.strictSame(await runsOf(plain, 0, 8 * MIB), whole, 'without the system call')
  await plain.close()
  if (real.calls === null) return
  const seek: SystemCalls['seek'] = (_fd, _offset, _to, done) =>
    setImmediate(done, Errno.NotSupported)
  t.strictSame(await runsOf(await tempDisk(t, { seek }), 0, 8 * MIB), whole, 'when it fails')
})
