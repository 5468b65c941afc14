/** ORWRITE, and that nothing comes between its reading and its writing. */
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { encodeBlockCdb, Opcode, Status, TransferFlag } from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { FakeTask } from '../support/fake-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { abortTask, beginTask, cdbOf, finishHeld, run } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const BLOCK = 4096
const CAPACITY = 16 * 1024
const TRANSFER_MAX_BLOCKS = 4096

async function start(writeProtected = false) {
  const volume = new HeldVolume(CAPACITY * BLOCK)
  const server = new ShownUnits()
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  const options = { volume, uuid, name: 'p', writeProtected, blockSizeBytes: BLOCK }
  server.addUnit(0, new LogicalUnit(options))
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1')
  await run(server, { nexus, cdb: [0] })
  /** A command that is under way. */
  const begin = (
    lba: number,
    blockCount: number,
    {
      opcode = Opcode.OrWrite16 as number,
      flags = 0,
      dataOut = Buffer.alloc(blockCount * BLOCK),
    } = {},
  ): FakeTask => {
    const cdb = cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount, flags))
    return beginTask(server, { nexus, cdb, dataOut })
  }
  const finish = (task: FakeTask) => finishHeld(volume, task)
  const abort = (task: FakeTask) => abortTask(server, task)
  return { volume, begin, finish, abort }
}

const or = (a: Buffer, b: Buffer): Buffer => a.map((byte, at) => byte | (b[at] as number)) as Buffer

t.test('ORWRITE writes the old and the new blocks or-ed', async (t) => {
  const { volume, begin, finish } = await start()
  const old = randomBytes(200 * BLOCK)
  const dataOut = randomBytes(200 * BLOCK)
  t.equal(await finish(begin(3, 200, { dataOut: old })), 'GOOD', 'of zeros')
  t.ok(volume.bytes.subarray(3 * BLOCK, 203 * BLOCK).equals(old))
  t.equal(await finish(begin(3, 200, { dataOut })), 'GOOD')
  t.ok(volume.bytes.subarray(3 * BLOCK, 203 * BLOCK).equals(or(old, dataOut)))
  t.equal(volume.bytes.indexOf(1, 203 * BLOCK), -1, 'and nothing else')
})

t.test('what ORWRITE refuses, it does not do', async (t) => {
  const { volume, begin, finish } = await start()
  t.equal(await finish(begin(0, 0)), 'GOOD', 'no blocks are no work')
  t.equal(await finish(begin(CAPACITY, 0)), '05/21/00')
  t.equal(await finish(begin(CAPACITY - 1, 2)), '05/21/00')
  t.equal(await finish(begin(0, 1, { flags: 0x20 })), '05/24/00', 'ORPROTECT')
  const dataOut = Buffer.alloc(BLOCK)
  t.equal(await finish(begin(0, TRANSFER_MAX_BLOCKS + 1, { dataOut })), '05/24/00')
  t.equal(await finish(begin(0, 2, { dataOut })), '0B/4B/00', 'too few data')
  t.equal(volume.writes.length, 0)
  const guarded = await start(true)
  t.equal(await guarded.finish(guarded.begin(0, 1)), '07/27/00')
})

t.test('ORWRITE reports what fails of its reading, writing and flushing', async (t) => {
  const { volume, begin, finish } = await start()
  for (const wellDone of [0, 1, 2]) {
    const task = begin(0, 1, { flags: TransferFlag.Fua })
    await turn()
    for (let released = 0; released < wellDone; released++) volume.release()
    t.equal(volume.held[0]?.op, ['read', 'write', 'flush'][wellDone])
    volume.fail()
    t.equal(await finish(task), '04/44/00')
  }
  t.equal(await finish(begin(0, 1, { flags: TransferFlag.Fua })), 'GOOD')
})

t.test('no command comes between the reading and the writing of an ORWRITE', async (t) => {
  const { volume, begin, finish } = await start()
  const [a, b] = [randomBytes(4 * BLOCK), randomBytes(4 * BLOCK)]
  const first = begin(0, 4, { dataOut: a })
  const second = begin(0, 4, { dataOut: b })
  await turn()
  const read = begin(3, 1, { opcode: Opcode.Read16, dataOut: Buffer.alloc(0) })
  const beside = begin(4, 1, { opcode: Opcode.Read16, dataOut: Buffer.alloc(0) })
  t.same(
    volume.held.map(({ op, offset }) => [op, offset]),
    [
      ['read', 0],
      ['read', 4 * BLOCK],
    ],
  )
  for (const task of [first, second, read, beside]) t.equal(await finish(task), 'GOOD')
  t.ok(volume.bytes.subarray(0, 4 * BLOCK).equals(or(a, b)), 'no bit is lost')
})

t.test('ORWRITE of more than the unit can gather at once is TASK SET FULL', async (t) => {
  const { begin, finish, abort } = await start()
  const dataOut = Buffer.alloc(TRANSFER_MAX_BLOCKS * BLOCK)
  const first = begin(0, TRANSFER_MAX_BLOCKS, { dataOut })
  const second = begin(0, TRANSFER_MAX_BLOCKS, { dataOut })
  t.equal(begin(0, 1).ended?.status, Status.TaskSetFull)
  abort(second)
  t.equal(await finish(begin(9000, 1)), 'GOOD', 'an aborted command makes room')
  t.equal(await finish(first), 'GOOD')
  t.equal(
    await finish(begin(0, TRANSFER_MAX_BLOCKS, { dataOut })),
    'GOOD',
    'and so does one that ends',
  )
})
