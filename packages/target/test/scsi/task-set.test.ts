/** Task attributes: which commands of a unit may begin beside which. */
import { setImmediate as turn } from 'node:timers/promises'
import { encodeBlockCdb, Opcode } from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { TaskAttribute } from '../../src/scsi/scsi-task.ts'
import type { FakeTask } from '../support/fake-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { abortTask, beginTask, cdbOf, run, verdict } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const BLOCK = 512
const { Simple, Ordered, HeadOfQueue, Other } = TaskAttribute

/** Two nexuses of one unit; `write` is a write of one block at `lba`, which the volume holds until released. */
async function start() {
  const volume = new HeldVolume(64 * BLOCK)
  const server = new ShownUnits()
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  server.addUnit(0, new LogicalUnit({ volume, uuid, name: 'p' }))
  const nexuses = ['a', 'b'].map((host) =>
    server.openNexus(`iqn.2024-01.org.example:${host},i,0x1`),
  )
  for (const nexus of nexuses) await run(server, { nexus, cdb: [0] })
  const begin = (
    cdb: Buffer,
    attribute: TaskAttribute,
    dataOut = Buffer.alloc(0),
    host = 0,
  ): FakeTask => {
    const nexus = nexuses[host] as (typeof nexuses)[0]
    return beginTask(server, { nexus, cdb, dataOut, attribute })
  }
  const write = (lba: number, attribute: TaskAttribute = Simple, host = 0): FakeTask =>
    begin(
      cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.Write10, lba, 1)),
      attribute,
      Buffer.alloc(BLOCK, lba),
      host,
    )
  /** The blocks whose writes are at the volume now. */
  const under = async (): Promise<number[]> => {
    await turn()
    return volume.held.map(({ offset }) => offset / BLOCK)
  }
  const abort = (task: FakeTask) => abortTask(server, task)
  return { volume, begin, write, under, abort }
}

t.test('SIMPLE commands are under way side by side', async (t) => {
  const { write, under } = await start()
  for (const lba of [1, 2, 3]) write(lba)
  t.same(await under(), [1, 2, 3])
})

t.test('an ORDERED command waits for all before it, and all after it wait for it', async (t) => {
  const { volume, write, under } = await start()
  write(1)
  write(2, Simple, 1)
  const ordered = write(3, Ordered)
  const later = [write(4), write(5, Simple, 1)]
  t.same(await under(), [1, 2])
  volume.release()
  t.same(await under(), [2])
  volume.release()
  t.same(await under(), [3], 'alone')
  volume.release()
  t.same(await under(), [4, 5])
  volume.releaseAll()
  t.same(await under(), [])
  t.same(
    [ordered, ...later].map((task) => verdict(task.ended ?? { status: -1 })),
    ['GOOD', 'GOOD', 'GOOD'],
  )
})

t.test('ORDERED commands begin one after the other', async (t) => {
  const { volume, write, under } = await start()
  for (const lba of [1, 2, 3]) write(lba, Ordered)
  for (const lba of [1, 2, 3]) {
    t.same(await under(), [lba])
    volume.release()
  }
  t.same(await under(), [])
})

t.test('a HEAD OF QUEUE command begins at once, whoever waits', async (t) => {
  const { volume, write, under } = await start()
  write(1)
  write(2, Ordered)
  write(3)
  write(4, HeadOfQueue)
  t.same(await under(), [1, 4])
  volume.release()
  t.same(await under(), [4], 'what waits for all before it waits for it too')
  volume.release()
  t.same(await under(), [2])
  write(5, HeadOfQueue)
  t.same(await under(), [2, 5])
})

t.test('commands of other kinds are ordered as well', async (t) => {
  const { volume, begin, write, under } = await start()
  write(1)
  const flush = begin(
    cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.SynchronizeCache10, 0, 0)),
    Ordered,
  )
  const inquiry = begin(Buffer.from('120000002400', 'hex'), Simple)
  t.same(await under(), [1])
  t.equal(inquiry.ended, null)
  volume.release()
  await turn()
  t.same(
    volume.held.map(({ op }) => op),
    ['flush'],
  )
  t.equal(inquiry.ended, null)
  volume.release()
  await turn()
  t.equal(verdict(flush.ended ?? { status: -1 }), 'GOOD')
  t.equal(inquiry.ended === null ? '' : verdict(inquiry.ended), 'GOOD')
})

t.test('an ORDERED COMPARE AND WRITE does not wait for itself', async (t) => {
  const { volume, begin, write, under } = await start()
  const data = Buffer.concat([Buffer.alloc(BLOCK), Buffer.alloc(BLOCK, 1)])
  const cdb = cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.CompareAndWrite, 0, 1))
  const swap = begin(cdb, Ordered, data)
  write(9)
  for (let turns = 0; swap.ended === null && turns < 100; turns++) {
    t.notOk((await under()).includes(9))
    volume.releaseAll()
  }
  t.equal(swap.ended === null ? 'under way' : verdict(swap.ended), 'GOOD')
  t.same(await under(), [9])
})

t.test('an aborted command holds nobody up', async (t) => {
  const { volume, write, under, abort } = await start()
  write(1)
  const waiting = write(2, Ordered)
  write(3)
  abort(waiting)
  t.same(await under(), [1, 3])
  const running = write(4, Ordered)
  volume.releaseAll()
  t.same(await under(), [4])
  write(5)
  volume.releaseAll()
  t.same(await under(), [5])
  t.equal(verdict(running.ended ?? { status: -1 }), 'GOOD')
  t.equal(waiting.ended, null)
})

t.test('an attribute that is not supported is refused', async (t) => {
  const { write, under } = await start()
  const task = write(1, Other)
  t.equal(verdict(task.ended ?? { status: -1 }), '05/49/00')
  t.same(await under(), [])
})
