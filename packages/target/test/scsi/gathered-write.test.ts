/** WRITE to a unit whose volume is the better for whole writes. */
import { randomBytes } from 'node:crypto'
import { encodeBlockCdb, Opcode } from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { beginTask, cdbOf, finishHeld, run } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const BLOCK = 512
const LIMIT = 16 * BLOCK

async function start() {
  const volume = new HeldVolume(1024 * BLOCK)
  const server = new ShownUnits()
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  server.addUnit(0, new LogicalUnit({ volume, uuid, name: 'p', gatheredWriteBytesMax: LIMIT }))
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1')
  await run(server, { nexus, cdb: [0] })
  const write = (opcode: number, lba: number, blockCount: number, dataOut: Buffer) => {
    const cdb = cdbOf((bytes, at) => encodeBlockCdb(bytes, at, opcode, lba, blockCount, 0))
    return beginTask(server, { nexus, cdb, dataOut })
  }
  return { volume, write }
}

t.test('a write up to the limit reaches the volume as one, whatever its opcode', async (t) => {
  for (const opcode of [Opcode.Write10, Opcode.Write12, Opcode.Write16]) {
    const { volume, write } = await start()
    const data = randomBytes(LIMIT)
    t.equal(await finishHeld(volume, write(opcode, 7, 16, data)), 'GOOD')
    t.match(volume.writes, [{ offset: 7 * BLOCK, length: LIMIT }])
    t.ok(volume.bytes.subarray(7 * BLOCK, 23 * BLOCK).equals(data))
  }
})

t.test('a larger one is written too', async (t) => {
  const { volume, write } = await start()
  const data = randomBytes(17 * BLOCK)
  t.equal(await finishHeld(volume, write(Opcode.Write10, 1, 17, data)), 'GOOD')
  t.ok(volume.bytes.subarray(BLOCK, 18 * BLOCK).equals(data))
})

t.test('of fewer data than the command is for, the whole blocks are written', async (t) => {
  const { volume, write } = await start()
  const data = randomBytes(3 * BLOCK + 100)
  t.equal(await finishHeld(volume, write(Opcode.Write10, 0, 4, data)), 'GOOD')
  t.ok(volume.bytes.subarray(0, 3 * BLOCK).equals(data.subarray(0, 3 * BLOCK)))
  t.ok(volume.bytes.subarray(3 * BLOCK, 4 * BLOCK).equals(Buffer.alloc(BLOCK)))
})
