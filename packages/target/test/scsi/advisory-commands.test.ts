/** PRE-FETCH and READ DEFECT DATA: commands that a volume has no part in. */
import { encodeBlockCdb, encodeReadDefectDataCdb, Opcode } from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { cdbOf, serve, verdict } from '../support/scsi-run.ts'

const CAPACITY = 100

function start() {
  const volume = new MemoryVolume('array/p', CAPACITY * 512, 512)
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  return serve(new LogicalUnit({ volume, uuid, name: 'p' }))
}

t.test('PRE-FETCH is GOOD where the blocks are there', async (t) => {
  const execute = await start()
  for (const opcode of [Opcode.PreFetch10, Opcode.PreFetch16]) {
    const send = async (lba: number, blockCount: number) =>
      verdict(await execute(cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount))))
    t.equal(await send(0, CAPACITY), 'GOOD')
    t.equal(await send(CAPACITY - 1, 0), 'GOOD', 'all up to the end')
    t.equal(await send(1, CAPACITY), '05/21/00')
    t.equal(await send(CAPACITY, 0), '05/21/00')
  }
})

t.test('READ DEFECT DATA gives the lists that were asked for, empty', async (t) => {
  const execute = await start()
  const send = async (opcode: number, allocationLength: number) => {
    const fields = { listsAndFormat: 0x1d, allocationLength }
    const outcome = await execute(
      cdbOf((cdb, at) => encodeReadDefectDataCdb(cdb, at, opcode, fields)),
    )
    t.equal(verdict(outcome), 'GOOD')
    return outcome.data?.toString('hex')
  }
  t.equal(await send(Opcode.ReadDefectData10, 100), '001d0000')
  t.equal(await send(Opcode.ReadDefectData12, 100), '001d000000000000')
  t.equal(await send(Opcode.ReadDefectData12, 3), '001d00')
  t.equal(await send(Opcode.ReadDefectData10, 0), undefined)
})
