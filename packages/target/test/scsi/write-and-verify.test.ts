/** WRITE AND VERIFY: what is on the medium after its flush is what counts. */
import { randomBytes } from 'node:crypto'
import { encodeBlockCdb, Opcode } from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { IoCompletion } from '../../src/volume/volume.ts'
import { cdbOf, serve, verdict } from '../support/scsi-run.ts'

const BLOCK = 4096
const CAPACITY = 2048
const opcodes = [Opcode.WriteAndVerify10, Opcode.WriteAndVerify12, Opcode.WriteAndVerify16]
const COMPARE = 0x02

/** Loses a bit of what was written when it is flushed, if told to. */
class ForgetfulVolume extends MemoryVolume {
  forgetAt = -1
  readonly log: string[] = []

  override flush(completion: IoCompletion): void {
    this.log.push('flush')
    if (this.forgetAt >= 0) {
      const block = Buffer.alloc(512)
      const offset = this.forgetAt - (this.forgetAt % 512)
      super.readNow(offset, block, 0, 512)
      block[this.forgetAt % 512]! ^= 1
      super.writeNow(offset, block, 0, 512)
    }
    super.flush(completion)
  }

  override read(...args: Parameters<MemoryVolume['read']>): void {
    this.log.push('read')
    super.read(...args)
  }
}

async function start(writeProtected = false) {
  const medium = new ForgetfulVolume('array/p', CAPACITY * BLOCK)
  const volume = new FaultVolume(medium)
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  const unit = new LogicalUnit({ volume, uuid, name: 'p', blockSizeBytes: BLOCK, writeProtected })
  const execute = await serve(unit)
  const send = async (
    opcode: number,
    lba: number,
    blockCount: number,
    { flags = 0, data = Buffer.alloc(blockCount * BLOCK), segmentBytes = 65536 } = {},
  ) => {
    const cdb = cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount, flags))
    return verdict(await execute(cdb, data, segmentBytes))
  }
  return { medium, volume, execute, send }
}

t.test('WRITE AND VERIFY writes, flushes and then reads what it wrote', async (t) => {
  for (const opcode of opcodes) {
    for (const flags of [0, COMPARE]) {
      const { medium, send } = await start()
      const data = randomBytes(40 * BLOCK)
      t.equal(await send(opcode, 7, 40, { flags, data, segmentBytes: 3 * BLOCK }), 'GOOD')
      const written = Buffer.alloc(data.length)
      medium.readNow(7 * BLOCK, written, 0, written.length)
      t.ok(written.equals(data))
      t.same(new Set(medium.log), new Set(['flush', 'read']))
      t.equal(medium.log[0], 'flush')
    }
  }
})

t.test('WRITE AND VERIFY with BYTCHK=01b finds what the medium changed', async (t) => {
  for (const opcode of opcodes) {
    for (const slow of [false, true]) {
      const { medium, volume, send } = await start()
      volume.refuseNow = slow
      medium.forgetAt = 9 * BLOCK + 5
      const data = randomBytes(4 * BLOCK)
      t.equal(await send(opcode, 7, 4, { flags: COMPARE, data, segmentBytes: BLOCK }), '0E/1D/00')
      t.equal(await send(opcode, 7, 4, { data }), 'GOOD', 'nothing is compared with BYTCHK=00b')
    }
  }
})

t.test('WRITE AND VERIFY reports what fails of its write, its flush and its reading', async (t) => {
  for (const opcode of opcodes) {
    for (const flags of [0, COMPARE]) {
      for (const op of ['write', 'flush', 'read'] as const) {
        const { volume, send } = await start()
        volume.failNext(op)
        t.not(await send(opcode, 0, 4, { flags }), 'GOOD', op)
        volume.heal()
        t.equal(await send(opcode, 0, 4, { flags }), 'GOOD')
      }
    }
  }
})

t.test('what WRITE AND VERIFY refuses, it does not do', async (t) => {
  for (const opcode of opcodes) {
    const { volume, send } = await start()
    t.equal(await send(opcode, 0, 0), 'GOOD', 'no blocks are no work')
    t.equal(await send(opcode, CAPACITY, 0), '05/21/00')
    t.equal(await send(opcode, CAPACITY - 1, 2), '05/21/00')
    t.equal(await send(opcode, 0, 1, { flags: 0x20 }), '05/24/00', 'WRPROTECT')
    t.equal(await send(opcode, 0, 1, { flags: 0x04 }), '05/24/00', 'BYTCHK=10b')
    t.equal(await send(opcode, 0, 1, { flags: 0x06 }), '05/24/00', 'BYTCHK=11b')
    t.equal(volume.started.write, 0)
    const guarded = await start(true)
    t.equal(await guarded.send(opcode, 0, 1), '07/27/00')
  }
})
