/** WRITE ATOMIC, its limits, and that no other command sees a part of it. */
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import {
  decodeBlockLimits,
  decodeOneCommand,
  encodeBlockCdb,
  encodeInquiryCdb,
  encodeReportOpcodesCdb,
  encodeWriteAtomicCdb,
  Opcode,
  ReportingOptions,
  Status,
  TransferFlag,
  VpdPage,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit, type LogicalUnitOptions } from '../../src/scsi/logical-unit.ts'
import type { AtomicWriter } from '../../src/volume/volume.ts'
import type { FakeTask } from '../support/fake-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { abortTask, beginTask, cdbOf, finishHeld, run } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const BLOCK = 4096
const CAPACITY = 16 * 1024
const MAX_BLOCKS = 256
const OLD = randomBytes(4 * BLOCK)
const NEW = randomBytes(4 * BLOCK)

const blockCdb = (opcode: number, lba: number, blockCount: number): Buffer =>
  cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount))

async function start(options: Partial<LogicalUnitOptions> = {}) {
  const volume = new HeldVolume(CAPACITY * BLOCK)
  volume.fill(OLD)
  /** How each atomic write was asked for. A held write is all of it. */
  const asked: { offset: number; length: number }[] = []
  const atomicWriter: AtomicWriter = {
    atomicWriteMaxBytes: MAX_BLOCKS * BLOCK,
    writeAtomic: (offset, from, position, length, completion) => {
      asked.push({ offset, length })
      volume.write(offset, from, position, length, completion)
    },
  }
  const server = new ShownUnits()
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  const usual = { volume, atomicWriter, uuid, name: 'p', blockSizeBytes: BLOCK }
  server.addUnit(0, new LogicalUnit({ ...usual, ...options }))
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1')
  await run(server, { nexus, cdb: [0] })
  /** A command that is under way. */
  const begin = (cdb: Buffer, dataOut = Buffer.alloc(0)): FakeTask =>
    beginTask(server, { nexus, cdb, dataOut })
  const write = (
    lba: number,
    blockCount: number,
    { flags = 0, boundary = 0, dataOut = Buffer.alloc(blockCount * BLOCK) } = {},
  ): FakeTask =>
    begin(
      cdbOf((cdb, at) => encodeWriteAtomicCdb(cdb, at, lba, blockCount, { flags, boundary })),
      dataOut,
    )
  const finish = (task: FakeTask) => finishHeld(volume, task)
  const abort = (task: FakeTask) => abortTask(server, task)
  return { volume, asked, begin, write, finish, abort }
}

t.test('WRITE ATOMIC is one atomic write, and GOOD when that is reported', async (t) => {
  const { volume, asked, write, finish } = await start()
  for (const flags of [0, TransferFlag.Fua, TransferFlag.Dpo | TransferFlag.Fua]) {
    asked.length = 0
    const dataOut = randomBytes(100 * BLOCK)
    const task = write(7, 100, { flags, dataOut })
    await turn()
    t.equal(task.ended, null)
    t.same(asked, [{ offset: 7 * BLOCK, length: 100 * BLOCK }])
    volume.release()
    t.equal(await finish(task), 'GOOD', 'without a flush of its own')
    t.equal(volume.held.length, 0)
    t.ok(volume.bytes.subarray(7 * BLOCK, 107 * BLOCK).equals(dataOut))
  }
})

t.test('what WRITE ATOMIC refuses, it does not do', async (t) => {
  const { asked, write, finish } = await start()
  t.equal(await finish(write(0, 0)), 'GOOD', 'no blocks are no work')
  t.equal(await finish(write(CAPACITY, 0)), '05/21/00')
  t.equal(await finish(write(CAPACITY - 1, 2)), '05/21/00')
  t.equal(await finish(write(CAPACITY - 1, MAX_BLOCKS + 1)), '05/21/00', 'rather than 05/24/00')
  t.equal(await finish(write(2 ** 63, 1)), '05/21/00')
  t.equal(await finish(write(0, 1, { flags: 0x20 })), '05/24/00', 'WRPROTECT')
  t.equal(await finish(write(0, MAX_BLOCKS + 1)), '05/24/00')
  t.equal(await finish(write(0, 1, { boundary: MAX_BLOCKS + 1 })), '05/24/00')
  t.equal(await finish(write(0, 2, { dataOut: Buffer.alloc(BLOCK) })), '0B/4B/00', 'too few data')
  const guarded = await start({ writeProtected: true })
  t.equal(await guarded.finish(guarded.write(0, 1)), '07/27/00')
  t.same([...asked, ...guarded.asked], [])
})

t.test('with an ATOMIC BOUNDARY all is written as one all the same', async (t) => {
  const { asked, write, finish } = await start()
  for (const boundary of [1, 3, 16, MAX_BLOCKS]) {
    t.equal(await finish(write(0, MAX_BLOCKS, { boundary })), 'GOOD')
  }
  t.same(asked, Array(4).fill({ offset: 0, length: MAX_BLOCKS * BLOCK }))
})

t.test('VPD page B0h and the opcode report tell of atomic writes', async (t) => {
  const { begin, finish } = await start()
  const answer = async (cdb: Buffer): Promise<Buffer> => {
    const task = begin(cdb)
    t.equal(await finish(task), 'GOOD')
    return task.ended?.data as Buffer
  }
  const blockLimits = cdbOf((cdb, at) =>
    encodeInquiryCdb(cdb, at, {
      vitalProductData: true,
      pageCode: VpdPage.BlockLimits,
      allocationLength: 255,
    }),
  )
  t.match(decodeBlockLimits(await answer(blockLimits)), {
    atomicBlocksMax: MAX_BLOCKS,
    atomicAlignmentBlocks: 0,
    atomicGranularityBlocks: 0,
    atomicBlocksMaxWithBoundary: MAX_BLOCKS,
    atomicBoundaryMax: MAX_BLOCKS,
  })
  const report = cdbOf((cdb, at) =>
    encodeReportOpcodesCdb(cdb, at, {
      reportingOptions: ReportingOptions.Opcode,
      opcode: Opcode.WriteAtomic16,
      serviceAction: 0,
      timeouts: false,
      allocationLength: 255,
    }),
  )
  const usage = decodeOneCommand(await answer(report))?.toString('hex')
  t.equal(usage, '9cf8' + 'ffffffffffffffff' + 'ffff' + 'ffff' + '0004')
})

t.test('no other command sees a part of a WRITE ATOMIC', async (t) => {
  const { volume, begin, write, finish } = await start()
  const before = begin(blockCdb(Opcode.Read16, 3, 4))
  const task = write(0, 4, { dataOut: NEW })
  await turn()
  t.same(
    volume.held.map(({ op }) => op),
    ['read'],
    'one that was there before ends first',
  )
  t.equal(await finish(before), 'GOOD')
  t.ok(before.ended?.data?.subarray(0, BLOCK).equals(OLD.subarray(3 * BLOCK)), 'all of it is old')
  const [read, overwrite, atomic] = [
    begin(blockCdb(Opcode.Read16, 0, 4)),
    begin(blockCdb(Opcode.Write16, 3, 1), Buffer.alloc(BLOCK)),
    write(2, 1),
  ]
  const beside = begin(blockCdb(Opcode.Read16, 4, 1))
  await turn()
  t.same(
    volume.held.map(({ op, offset }) => [op, offset]),
    [
      ['read', 4 * BLOCK],
      ['write', 0],
    ],
    'those that come meanwhile wait, if they overlap',
  )
  for (const each of [task, read, overwrite, atomic, beside]) t.equal(await finish(each), 'GOOD')
  t.ok(read.ended?.data?.equals(NEW), 'all of it is new')
})

t.test('WRITE ATOMIC tells of a write that has failed', async (t) => {
  const { volume, write, finish } = await start()
  const task = write(0, 4, { dataOut: NEW })
  await turn()
  volume.fail()
  t.equal(await finish(task), '04/44/00')
  t.ok(volume.bytes.subarray(0, OLD.length).equals(OLD))
})

t.test('WRITE ATOMIC of more than the unit can gather at once is TASK SET FULL', async (t) => {
  const { write, finish, abort } = await start()
  const tasks = Array.from({ length: 32 }, (_, index) => write(index * MAX_BLOCKS, MAX_BLOCKS))
  t.equal(write(0, 1).ended?.status, Status.TaskSetFull)
  abort(tasks.pop() as FakeTask)
  t.equal(await finish(write(9000, 1)), 'GOOD', 'an aborted command makes room')
  for (const task of tasks) t.equal(await finish(task), 'GOOD')
})
