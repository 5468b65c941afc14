/** Units of each block format: what they say of their blocks, and where the blocks lie. */
import { randomBytes } from 'node:crypto'
import {
  decodeBlockLimits,
  decodeCapacity10,
  decodeCapacity16,
  decodeModeParameters6,
  decodeModeParameters10,
  encodeBlockCdb,
  encodeInquiryCdb,
  encodeModeSenseCdb,
  encodeReadCapacity16Cdb,
  encodeUnmapCdb,
  encodeUnmapParameters,
  ModePage,
  Opcode,
  PageControl,
  VpdPage,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { cdbOf, type Execute, serve, verdict } from '../support/scsi-run.ts'

const MIB = 1024 * 1024
const SIZE = 32 * MIB

const formats = [
  { name: '512', block: 512, exponent: 0 },
  { name: '512e', block: 512, exponent: 3 },
  { name: '4kn', block: 4096, exponent: 0 },
] as const

interface Disk {
  readonly execute: Execute
  readonly volume: MemoryVolume
}

async function makeDisk({ block, exponent }: { block: number; exponent: number }): Promise<Disk> {
  const volume = new MemoryVolume('array/p', SIZE, block)
  const unit = new LogicalUnit({
    volume,
    uuid: '7b2d6f0a-5d0e-4c8f-9a11-000000000001',
    name: 'p',
    blockSizeBytes: block,
    physicalBlockExponent: exponent,
    optimalTransferGranularityBytes: 64 * 1024,
  })
  return { volume, execute: await serve(unit) }
}

const at = (opcode: number, lba: number, blockCount: number, flags = 0): Buffer =>
  cdbOf((cdb, position) => encodeBlockCdb(cdb, position, opcode, lba, blockCount, flags))
const modeSense = (opcode: typeof Opcode.ModeSense6 | typeof Opcode.ModeSense10): Buffer =>
  cdbOf((cdb, position) =>
    encodeModeSenseCdb(cdb, position, opcode, {
      disableBlockDescriptor: false,
      longLba: false,
      pageControl: PageControl.Current,
      pageCode: ModePage.All,
      subpageCode: 0,
      allocationLength: 255,
    }),
  )

for (const format of formats) {
  const { block } = format
  const blocks = SIZE / block

  t.test(`a unit of format ${format.name} says so wherever block sizes are told`, async (t) => {
    const { execute } = await makeDisk(format)
    const capacity10 = (await execute([Opcode.ReadCapacity10])).data as Buffer
    t.same(decodeCapacity10(capacity10), { lastLba: blocks - 1, blockSizeBytes: block })
    const read16 = cdbOf((cdb, position) => encodeReadCapacity16Cdb(cdb, position))
    t.match(decodeCapacity16((await execute(read16)).data as Buffer), {
      lastLba: blocks - 1,
      blockSizeBytes: block,
      physicalBlockExponent: format.exponent,
      lowestAlignedLba: 0,
    })
    const blockDescriptor = { blockCount: blocks, blockSizeBytes: block }
    const mode6 = (await execute(modeSense(Opcode.ModeSense6))).data as Buffer
    t.match(decodeModeParameters6(mode6), { blockDescriptor })
    const mode10 = (await execute(modeSense(Opcode.ModeSense10))).data as Buffer
    t.match(decodeModeParameters10(mode10), { blockDescriptor })
    const inquiry = cdbOf((cdb, position) =>
      encodeInquiryCdb(cdb, position, {
        vitalProductData: true,
        pageCode: VpdPage.BlockLimits,
        allocationLength: 255,
      }),
    )
    t.match(decodeBlockLimits((await execute(inquiry)).data as Buffer), {
      optimalTransferGranularityBlocks: (64 * 1024) / block,
      transferBlocksMax: (16 * MIB) / block,
      compareAndWriteBlocksMax: (32 * 1024) / block,
      unmapBlocksMax: (256 * MIB) / block,
      optimalUnmapGranularityBlocks: 4096 / block,
      writeSameBlocksMax: (16 * MIB) / block,
    })
  })

  t.test(`blocks of format ${format.name} lie where their LBAs say`, async (t) => {
    const { execute, volume } = await makeDisk(format)
    const model = Buffer.alloc(SIZE)
    const data = randomBytes(3 * block)
    const stored = () => {
      const found = Buffer.alloc(SIZE)
      volume.readNow(0, found, 0, SIZE)
      return found
    }
    t.equal(verdict(await execute(at(Opcode.Write10, 5, 3), data)), 'GOOD')
    data.copy(model, 5 * block)
    t.equal(verdict(await execute(at(Opcode.Write16, blocks - 3, 3), data)), 'GOOD')
    data.copy(model, SIZE - 3 * block)
    const one = data.subarray(0, block)
    t.equal(verdict(await execute(at(Opcode.WriteSame16, 100, 7), one)), 'GOOD')
    for (let lba = 100; lba < 107; lba++) one.copy(model, lba * block)
    t.ok(stored().equals(model))
    t.ok((await execute(at(Opcode.Read12, 6, 1))).data?.equals(data.subarray(block, 2 * block)))
    t.equal(verdict(await execute(at(Opcode.Verify10, 5, 3, 2), data)), 'GOOD')

    const both = Buffer.concat([one, randomBytes(block)])
    const swap = at(Opcode.CompareAndWrite, 100, 1)
    t.equal(verdict(await execute(swap, both)), 'GOOD')
    both.copy(model, 100 * block, block)
    const list = encodeUnmapParameters([{ lba: 102, blockCount: 2 }])
    const unmap = cdbOf((cdb, position) => encodeUnmapCdb(cdb, position, list.length))
    t.equal(verdict(await execute(unmap, list)), 'GOOD')
    model.fill(0, 102 * block, 104 * block)
    t.ok(stored().equals(model))
  })

  t.test(`limits of format ${format.name} are in its blocks`, async (t) => {
    const { execute } = await makeDisk(format)
    for (const opcode of [Opcode.Read10, Opcode.Verify16, Opcode.Write12, Opcode.WriteSame10]) {
      t.equal(verdict(await execute(at(opcode, blocks - 1, 2))), '05/21/00')
      t.equal(verdict(await execute(at(opcode, blocks, 1))), '05/21/00')
    }
    const most = (16 * MIB) / block
    t.equal(verdict(await execute(at(Opcode.Read16, 0, most))), 'GOOD')
    t.equal(verdict(await execute(at(Opcode.Read16, 0, most + 1))), '05/24/00')
    const half = Buffer.alloc(block / 2)
    t.equal(verdict(await execute(at(Opcode.WriteSame16, 0, 1), half)), '05/24/00')
    t.equal(verdict(await execute(at(Opcode.CompareAndWrite, 0, 1), half)), '05/24/00')
    const tooMany = (32 * 1024) / block + 1
    t.equal(verdict(await execute(at(Opcode.CompareAndWrite, 0, tooMany))), '05/24/00')
  })
}
