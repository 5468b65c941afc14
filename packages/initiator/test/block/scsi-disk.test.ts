import {
  capacityChangedUnitAttention,
  decodeLun,
  invalidOpcode,
  Opcode,
  powerOnUnitAttention,
  readLba,
  readTransferLength,
  SenseKey,
  Status,
  senseOf,
  spaceAllocationFailed,
  unrecoveredReadError,
  writeProtected,
} from '@platter/protocol/scsi'
import t from 'tap'
import type { BlockError } from '../../src/block/block-error.ts'
import { partBytes } from '../../src/block/part-size.ts'
import { type DiskGeometry, ScsiDisk } from '../../src/block/scsi-disk.ts'
import { Direction, type ScsiTask } from '../../src/session/task.ts'
import { endError, endGood, endSense, endStatus, FakeTransport } from '../support/fake-transport.ts'

const MiB = 2 ** 20
const BLOCK = 512

t.test('a read is a READ(10) of its blocks, into the buffer of the caller', async (t) => {
  const { disk, transport } = setUp({ lun: 300 })
  const into = Buffer.alloc(3 * BLOCK, 1)
  const reading = io((done) => disk.read(5 * BLOCK, into, BLOCK, BLOCK, done))
  const task = transport.next()
  t.equal(decodeLun(task.lun, 0), 300)
  t.strictSame(cdbOf(task), [Opcode.Read10, 5, 1])
  t.equal(task.direction, Direction.Read)
  endGood(task, Buffer.alloc(BLOCK, 7))
  t.equal(await reading, null)
  t.ok(into.equals(Buffer.concat([1, 7, 1].map((fill) => Buffer.alloc(BLOCK, fill)))))
})

t.test('what READ(10) cannot address goes by READ(16) and WRITE(16)', async (t) => {
  const blockCount = 2 ** 33
  const { disk, transport } = setUp({ blockCount })
  t.equal(disk.sizeBytes, blockCount * BLOCK)
  const last = blockCount * BLOCK - BLOCK
  const ends = [
    io((done) => disk.read(last, Buffer.alloc(BLOCK), 0, BLOCK, done)),
    io((done) => disk.write(last, Buffer.alloc(BLOCK), 0, BLOCK, done)),
  ]
  for (const opcode of [Opcode.Read16, Opcode.Write16]) {
    const task = transport.next()
    t.strictSame(cdbOf(task), [opcode, blockCount - 1, 1])
    endGood(task)
  }
  t.strictSame(await Promise.all(ends), [null, null])
})

t.test('a large operation is several commands, and ends when all have', async (t) => {
  const { disk, transport } = setUp({ transferBlocksMax: 512 })
  const from = Buffer.alloc(MiB)
  let ended: Error | null | undefined
  disk.write(MiB, from, 0, 600 * BLOCK, (error) => {
    ended = error
  })
  const [one, other] = [transport.next(), transport.next()]
  t.strictSame(cdbOf(one), [Opcode.Write10, 2048, 512])
  t.strictSame(cdbOf(other), [Opcode.Write10, 2560, 88])
  t.equal(other.position, 512 * BLOCK)
  t.equal(other.length, 88 * BLOCK)
  endGood(other)
  t.equal(ended, undefined)
  endGood(one)
  t.equal(ended, null)
})

t.test(
  'the first error of any part is that of the whole, told once all parts have ended',
  async (t) => {
    const { disk, transport } = setUp({ transferBlocksMax: 8 })
    const reading = io((done) => disk.read(0, Buffer.alloc(24 * BLOCK), 0, 24 * BLOCK, done))
    const tasks = [transport.next(), transport.next(), transport.next()] as const
    endSense(tasks[1], unrecoveredReadError(9))
    endSense(tasks[2], senseOf(SenseKey.HardwareError, 0x4400))
    endGood(tasks[0])
    t.match(await reading, { code: 'EIO', message: /read of 4096 bytes at 4096.*MEDIUM ERROR/ })
  },
)

t.test('no more than a bounded number of commands is under way, in order', async (t) => {
  const { disk, transport } = setUp()
  const done: number[] = []
  for (let index = 0; index < 400; index++) {
    disk.write(index * BLOCK, Buffer.alloc(BLOCK), 0, BLOCK, () => done.push(index))
  }
  t.equal(transport.tasks.length, 128)
  while (transport.tasks.length > 0) endGood(transport.next())
  t.strictSame(
    done,
    Array.from({ length: 400 }, (_, index) => index),
  )
})

t.test('a flush is a SYNCHRONIZE CACHE of the whole unit', async (t) => {
  const { disk, transport } = setUp()
  const flushing = io((done) => disk.flush(done))
  const task = transport.next()
  t.strictSame(cdbOf(task), [Opcode.SynchronizeCache10, 0, 0])
  t.equal(task.direction, Direction.None)
  endGood(task)
  t.equal(await flushing, null)
})

t.test('a unit without a volatile cache needs no flush', async (t) => {
  for (const geometry of [{ volatileCache: false }, { readOnly: true }]) {
    const { disk, transport } = setUp(geometry)
    t.equal(await io((done) => disk.flush(done)), null)
    t.equal(transport.executed, 0)
  }
})

t.test(
  'zeros are a WRITE SAME(16) that may unmap, of as many blocks as the unit takes',
  async (t) => {
    const { disk, transport } = setUp()
    const zeroing = io((done) => disk.zero(8 * BLOCK, 1500 * BLOCK, done))
    const [one, other] = [transport.next(), transport.next()]
    t.strictSame(cdbOf(one), [Opcode.WriteSame16, 8, 1024])
    t.strictSame(cdbOf(other), [Opcode.WriteSame16, 1032, 476])
    for (const task of [one, other]) {
      t.equal(task.cdb[1], 0x08)
      t.equal(task.direction, Direction.Write)
      t.ok(
        task.buffer
          .subarray(task.position, task.position + task.length)
          .equals(Buffer.alloc(BLOCK)),
      )
    }
    endGood(other)
    endSense(one, spaceAllocationFailed)
    const message = /zero of 524288 bytes at 4096/
    t.match(await zeroing, { code: 'ENOSPC', message })
  },
)

t.test(
  'a unit that cannot unmap has its zeros written; one without WRITE SAME says so',
  async (t) => {
    const written = setUp({ writeSame: { blocksMax: 8, unmap: false } })
    const zeroing = io((done) => written.disk.zero(0, BLOCK, done))
    const task = written.transport.next()
    t.equal(task.cdb[1], 0)
    endGood(task)
    t.equal(await zeroing, null)
    const without = setUp({ writeSame: null })
    t.match(await io((done) => without.disk.zero(0, BLOCK, done)), { code: 'EOPNOTSUPP' })
    t.equal(without.transport.executed, 0)
  },
)

t.test('a write to a protected unit is refused here', async (t) => {
  const { disk, transport } = setUp({ readOnly: true })
  const error = await io((done) => disk.write(0, Buffer.alloc(BLOCK), 0, BLOCK, done))
  t.match(error, { name: 'BlockError', code: 'EROFS' })
  t.match(await io((done) => disk.zero(0, BLOCK, done)), { code: 'EROFS' })
  t.equal(transport.executed, 0)
})

t.test('what a command may outlive is tried again', async (t) => {
  const { disk, transport } = setUp()
  const reading = io((done) => disk.read(0, Buffer.alloc(BLOCK), 0, BLOCK, done))
  endSense(transport.next(), powerOnUnitAttention)
  endSense(transport.next(), senseOf(SenseKey.AbortedCommand, 0x4b00))
  endStatus(transport.next(), Status.TaskAborted)
  endGood(transport.next())
  t.equal(await reading, null)
})

t.test('but not for ever', async (t) => {
  const { disk, transport } = setUp()
  transport.answer = (task) => endSense(task, powerOnUnitAttention)
  const error = await io((done) => disk.read(0, Buffer.alloc(BLOCK), 0, BLOCK, done))
  t.match(error, { code: 'EIO', message: /UNIT ATTENTION/ })
  t.equal(transport.executed, 17)
})

t.test('a busy unit is asked again after a while', async (t) => {
  const { disk, transport } = setUp()
  const answers = [Status.Busy, Status.TaskSetFull, Status.Good]
  transport.answer = (task) => {
    const status = answers.shift()
    if (status === Status.Good) endGood(task)
    else if (status !== undefined) endStatus(task, status)
  }
  t.equal(await io((done) => disk.write(0, Buffer.alloc(BLOCK), 0, BLOCK, done)), null)
  t.equal(transport.executed, 3)
})

t.test('errors have the codes that a disk would give', async (t) => {
  const cases: [(task: ScsiTask) => void, BlockError['code'], RegExp][] = [
    [(task) => endSense(task, writeProtected), 'EROFS', /DATA PROTECT 07\/27\/00/],
    [(task) => endSense(task, spaceAllocationFailed), 'ENOSPC', /DATA PROTECT/],
    [(task) => endStatus(task, Status.ReservationConflict), 'EBADE', /RESERVATION CONFLICT/],
    [(task) => endSense(task, invalidOpcode), 'EIO', /ILLEGAL REQUEST/],
    [(task) => endStatus(task, Status.CheckCondition), 'EIO', /CHECK CONDITION/],
    [(task) => endStatus(task, 0x55), 'EIO', /55h/],
    [(task) => endError(task, new Error('gone')), 'EIO', /gone/],
    [(task) => endGood(task, Buffer.alloc(100)), 'EIO', /only 100 of 512 bytes/],
  ]
  for (const [end, code, message] of cases) {
    const { disk, transport } = setUp()
    const writing = io((done) => disk.write(0, Buffer.alloc(BLOCK), 0, BLOCK, done))
    end(transport.next())
    t.match(await writing, { name: 'BlockError', code, message })
  }
})

t.test('a recovered error is no error, if all the data came', async (t) => {
  for (const [moved, outcome] of [[BLOCK, null] as const, [100, { code: 'EIO' }] as const]) {
    const { disk, transport } = setUp()
    const reading = io((done) => disk.read(0, Buffer.alloc(BLOCK), 0, BLOCK, done))
    const task = transport.next()
    task.transferredLength = moved
    endSense(task, senseOf(SenseKey.RecoveredError, 0x1800))
    t.match(await reading, outcome)
  }
})

t.test('it tells of unit attentions, and grows when it is told to', async (t) => {
  let told = 0
  const { disk, transport } = setUp({}, () => {
    told += 1
  })
  const reading = io((done) => disk.read(0, Buffer.alloc(BLOCK), 0, BLOCK, done))
  endSense(transport.next(), capacityChangedUnitAttention)
  endGood(transport.next())
  t.equal(await reading, null)
  t.equal(told, 1)
  const blocks = disk.sizeBytes / BLOCK
  t.equal(disk.growTo(blocks), false)
  t.equal(disk.growTo(blocks - 1), false)
  t.equal(disk.growTo(2 * blocks), true)
  t.equal(disk.sizeBytes, 2 * blocks * BLOCK)
})

t.test('what is not on the unit, or no whole block, is refused at once', async (t) => {
  const { disk } = setUp()
  const buffer = Buffer.alloc(2 * BLOCK)
  t.throws(() => disk.read(disk.sizeBytes, buffer, 0, BLOCK, () => {}), /are not on its/)
  t.throws(() => disk.read(1, buffer, 0, BLOCK, () => {}), /wanted whole blocks of 512/)
  t.throws(() => disk.write(0, buffer, 0, 5, () => {}), /wanted whole blocks of 512/)
})

function setUp(wanted: Partial<DiskGeometry> = {}, onAttention = () => {}) {
  const transport = new FakeTransport()
  const geometry: DiskGeometry = {
    name: 'disk',
    lun: 0,
    identity: 'it',
    blockSizeBytes: BLOCK,
    blockCount: 65536,
    readOnly: false,
    volatileCache: true,
    transferBlocksMax: 0,
    transferBlocksOptimal: 0,
    transferBlocksGranularity: 0,
    writeSame: { blocksMax: 1024, unmap: true },
    ...wanted,
  }
  const disk = new ScsiDisk({
    transport,
    geometry,
    partBytes: partBytes({ ...geometry, connections: 1, unsolicitedBytes: 0 }),
    onAttention,
  })
  return { transport, disk }
}

function io(start: (done: (error: Error | null) => void) => void): Promise<Error | null> {
  return new Promise((resolve) => start(resolve))
}

function cdbOf(task: ScsiTask): [opcode: number, lba: number, blockCount: number] {
  return [task.cdb[0] ?? 0, readLba(task.cdb, 0), readTransferLength(task.cdb, 0)]
}
