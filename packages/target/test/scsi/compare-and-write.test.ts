/** COMPARE AND WRITE, and that nothing comes between its check and its write. */
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import {
  decodeSense,
  encodeBlockCdb,
  encodeUnmapCdb,
  encodeUnmapParameters,
  Opcode,
  TransferFlag,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { FakeTask } from '../support/fake-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { abortTask, beginTask, cdbOf, finishHeld, run } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const BLOCK = 512
const CAPACITY = 1024
const OLD = randomBytes(4 * BLOCK)
const NEW = randomBytes(4 * BLOCK)
const OTHER = randomBytes(4 * BLOCK)

const blockCdb = (opcode: number, lba: number, blockCount: number, flags = 0): Buffer =>
  cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount, flags))

async function start(writeProtected = false) {
  const volume = new HeldVolume(CAPACITY * BLOCK)
  const server = new ShownUnits()
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  server.addUnit(0, new LogicalUnit({ volume, uuid, name: 'p', writeProtected }))
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1')
  await run(server, { nexus, cdb: [0] })
  volume.fill(OLD)
  /** A command that is under way. */
  const begin = (cdb: Buffer, dataOut = Buffer.alloc(0)): FakeTask =>
    beginTask(server, { nexus, cdb, dataOut })
  const swap = (expected: Buffer, wanted: Buffer, lba = 0, flags = 0): FakeTask =>
    begin(
      blockCdb(Opcode.CompareAndWrite, lba, expected.length / BLOCK, flags),
      Buffer.concat([expected, wanted]),
    )
  const finish = (task: FakeTask) => finishHeld(volume, task)
  const abort = (task: FakeTask) => abortTask(server, task)
  return { volume, begin, swap, finish, abort }
}

t.test('COMPARE AND WRITE writes where the blocks are as expected', async (t) => {
  const { volume, swap, finish } = await start()
  t.equal(await finish(swap(OLD, NEW)), 'GOOD')
  t.ok(volume.bytes.subarray(0, NEW.length).equals(NEW))
  t.equal(await finish(swap(OLD, OTHER)), '0E/1D/00')
  t.ok(volume.bytes.subarray(0, NEW.length).equals(NEW))
})

t.test('a miscompare says at which byte', async (t) => {
  const { volume, swap, finish } = await start()
  for (const at of [0, 1, 700, OLD.length - 1]) {
    const expected = Buffer.from(OLD)
    expected[at] = (expected[at] as number) ^ 1
    const task = swap(expected, NEW)
    t.equal(await finish(task), '0E/1D/00')
    t.equal(decodeSense(task.ended?.sense as Buffer).information, at)
  }
  t.equal(volume.writes.length, 0)
})

t.test('what COMPARE AND WRITE refuses, it does not do', async (t) => {
  const { volume, begin, swap, finish } = await start()
  const send = (
    lba: number,
    blockCount: number,
    flags = 0,
    sent = Buffer.alloc(2 * blockCount * BLOCK),
  ) => finish(begin(blockCdb(Opcode.CompareAndWrite, lba, blockCount, flags), sent))
  t.equal(await send(0, 0), 'GOOD', 'no blocks are no work')
  t.equal(await send(0, 0, 0, Buffer.alloc(2 * 256 * BLOCK)), '05/24/00', '256 blocks')
  t.equal(await send(CAPACITY, 0), '05/21/00')
  t.equal(await send(CAPACITY - 1, 2), '05/21/00')
  t.equal(await send(0, 65), '05/24/00', 'above MAXIMUM COMPARE AND WRITE LENGTH')
  t.equal(await send(100, 64), 'GOOD', 'just as much')
  t.equal(await send(0, 1, 0x20), '05/24/00', 'WRPROTECT')
  t.equal(await send(0, 2, 0, Buffer.alloc(4 * BLOCK - 1)), '05/24/00', 'too few data')
  t.ok(volume.bytes.subarray(0, OLD.length).equals(OLD))
  const task = swap(OLD, NEW)
  await turn()
  volume.fail()
  t.equal(await finish(task), '04/44/00', 'the read fails')
  const late = swap(OLD, NEW, 0, TransferFlag.Fua)
  await turn()
  volume.release()
  volume.release()
  t.equal(volume.held[0]?.op, 'flush')
  volume.fail()
  t.equal(await finish(late), '04/44/00', 'the flush fails')
  t.equal(await finish(swap(NEW, OLD, 0, TransferFlag.Fua)), 'GOOD')
  const failing = swap(OLD, NEW)
  await turn()
  volume.release()
  volume.fail()
  t.equal(await finish(failing), '04/44/00', 'the write fails')
  const guarded = await start(true)
  t.equal(await guarded.finish(guarded.swap(OLD, NEW)), '07/27/00')
})

t.test('a command that was there before ends first', async (t) => {
  const { volume, begin, swap, finish } = await start()
  const write = begin(blockCdb(Opcode.Write10, 3, 4), OTHER)
  const task = swap(OLD, NEW)
  await turn()
  t.same(
    volume.held.map(({ op }) => op),
    ['write'],
  )
  t.equal(await finish(task), '0E/1D/00', 'its last block is the other one now')
  t.equal(await finish(write), 'GOOD')
})

t.test('commands that come meanwhile wait, if they overlap', async (t) => {
  const { volume, begin, swap, finish } = await start()
  const task = swap(OLD, NEW)
  await turn()
  t.equal(volume.held[0]?.op, 'read')
  const list = Buffer.from(encodeUnmapParameters([{ lba: 900, blockCount: 1 }]))
  const waiting = [
    begin(blockCdb(Opcode.Read10, 3, 4)),
    begin(blockCdb(Opcode.Write16, 0, 4), OTHER),
    begin(blockCdb(Opcode.Verify10, 0, 1)),
    swap(OTHER, OLD),
    begin(
      cdbOf((cdb, at) => encodeUnmapCdb(cdb, at, list.length)),
      list,
    ),
    begin(blockCdb(Opcode.WriteSame16, 0, 0, 8), Buffer.alloc(BLOCK)),
  ]
  await turn()
  t.equal(volume.held.length, 1, 'none of them is at the disk')
  const beside = begin(blockCdb(Opcode.Read10, 4, 4))
  const inquiry = begin(cdbOf((cdb) => cdb.writeUInt8(Opcode.Inquiry)))
  t.equal(volume.held.length, 2, 'one beside it is')
  t.not(inquiry.ended, null)
  t.equal(await finish(task), 'GOOD')
  t.equal(await finish(beside), 'GOOD')
  const read = waiting[0] as FakeTask
  t.equal(await finish(read), 'GOOD')
  t.ok(read.ended?.data?.subarray(0, BLOCK).equals(NEW.subarray(3 * BLOCK)), 'all of it is new')
  for (const other of waiting) t.equal(await finish(other), 'GOOD')
})

t.test('one of many that expect the same wins, and each other loses', async (t) => {
  const { volume, swap, finish } = await start()
  const tasks = Array.from({ length: 8 }, (_, index) => swap(OLD, Buffer.alloc(OLD.length, index)))
  const verdicts = []
  for (const task of tasks) verdicts.push(await finish(task))
  t.same(verdicts.sort(), [...new Array(7).fill('0E/1D/00'), 'GOOD'])
  t.equal(volume.writes.length, 1)
})

t.test('an aborted command holds nobody up', async (t) => {
  const { volume, begin, swap, finish, abort } = await start()
  const write = begin(blockCdb(Opcode.Write10, 0, 1), Buffer.from(OLD.subarray(0, BLOCK)))
  const other = begin(blockCdb(Opcode.Read10, 0, 1))
  const waitingForIt = swap(OLD, NEW)
  const waitingToo = begin(blockCdb(Opcode.Read10, 0, 1))
  await turn()
  abort(waitingToo)
  abort(write)
  t.equal(await finish(other), 'GOOD')
  t.equal(await finish(waitingForIt), 'GOOD')
  const holding = swap(NEW, OLD)
  await turn()
  const after = begin(blockCdb(Opcode.Read10, 0, 1))
  t.equal(volume.held.length, 1)
  volume.held.length = 0
  abort(holding)
  t.equal(await finish(after), 'GOOD')
  t.ok(after.ended?.data?.equals(NEW.subarray(0, BLOCK)))
})
