/** UNMAP, WRITE SAME and GET LBA STATUS. */
import { randomBytes } from 'node:crypto'
import {
  decodeLbaStatuses,
  decodeSense,
  encodeBlockCdb,
  encodeGetLbaStatusCdb,
  encodeUnmapCdb,
  encodeUnmapParameters,
  Opcode,
  ProvisioningStatus,
  WriteSameFlag,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { HoleMap, IoCompletion } from '../../src/volume/volume.ts'
import { cdbOf, type Execute, serve, verdict } from '../support/scsi-run.ts'

const BLOCK = 512
const CAPACITY = 4 * 1024 * 1024
const ZERO_BLOCK = Buffer.alloc(BLOCK)

interface Disk {
  readonly volume: FaultVolume
  readonly execute: Execute
  /** Writes random blocks at `lba`, and returns them. */
  fill(lba: number, blockCount: number): Buffer
  bytes(lba: number, blockCount: number): Buffer
}

async function makeDisk(
  options: { writeProtected?: boolean; blockSizeBytes?: number } = {},
): Promise<Disk> {
  const volume = new FaultVolume(new MemoryVolume('array/p', CAPACITY * BLOCK, BLOCK))
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  const execute = await serve(new LogicalUnit({ volume, uuid, name: 'p', ...options }))
  return {
    volume,
    execute,
    fill(lba, blockCount) {
      const data = randomBytes(blockCount * BLOCK)
      volume.writeNow(lba * BLOCK, data, 0, data.length)
      return data
    },
    bytes(lba, blockCount) {
      const data = Buffer.alloc(blockCount * BLOCK)
      volume.readNow(lba * BLOCK, data, 0, data.length)
      return data
    },
  }
}

const isZero = (data: Buffer): boolean => data.every((byte) => byte === 0)
const same = (opcode: number, lba: number, blockCount: number, flags = 0): Buffer =>
  cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount, flags))
const writeSames = [Opcode.WriteSame10, Opcode.WriteSame16]

function unmap(execute: Execute, ranges: [lba: number, blockCount: number][]): ReturnType<Execute> {
  const list = encodeUnmapParameters(ranges.map(([lba, blockCount]) => ({ lba, blockCount })))
  return execute(
    cdbOf((cdb, at) => encodeUnmapCdb(cdb, at, list.length)),
    list,
  )
}

t.test('what UNMAP unmaps reads as zeros, to the block, and nothing else', async (t) => {
  const disk = await makeDisk()
  const data = disk.fill(0, 64)
  const ranges: [number, number][] = [
    [3, 20],
    [30, 0],
    [CAPACITY, 0],
    [40, 1],
  ]
  t.equal(verdict(await unmap(disk.execute, ranges)), 'GOOD')
  data.fill(0, 3 * BLOCK, 23 * BLOCK).fill(0, 40 * BLOCK, 41 * BLOCK)
  t.ok(disk.bytes(0, 64).equals(data))
})

t.test('UNMAP does nothing unless all of its list is sound', async (t) => {
  const disk = await makeDisk()
  const data = disk.fill(0, 8)
  const max = 512 * 1024
  const verdictOf = async (ranges: [number, number][]) =>
    verdict(await unmap(disk.execute, [[0, 8], ...ranges]))
  t.equal(await verdictOf([[CAPACITY - 1, 2]]), '05/21/00')
  t.equal(await verdictOf([[CAPACITY + 1, 0]]), '05/21/00', 'no blocks beyond the end')
  t.equal(await verdictOf([[2 ** 60, 1]]), '05/21/00')
  t.equal(await verdictOf([[8, max - 7]]), '05/26/00', 'above MAXIMUM UNMAP LBA COUNT')
  const many = new Array<[number, number]>(256).fill([9, 1])
  t.equal(await verdictOf(many), '05/26/00', 'too many descriptors')
  t.equal(await verdictOf([...many, [9, 1]]), '05/26/00', 'too long a list')
  t.ok(disk.bytes(0, 8).equals(data))
  t.equal(await verdictOf([[8, max - 8]]), 'GOOD', 'just MAXIMUM UNMAP LBA COUNT')
  t.equal(await verdictOf(many.slice(1)), 'GOOD', 'just as many descriptors')
})

t.test('an UNMAP list that is cut or contradicts itself is refused', async (t) => {
  const disk = await makeDisk()
  const data = disk.fill(0, 8)
  const list = encodeUnmapParameters([{ lba: 0, blockCount: 8 }])
  const send = async (length: number, sent: Buffer, flags = 0) =>
    verdict(
      await disk.execute(
        cdbOf((cdb, at) => encodeUnmapCdb(cdb, at, length, flags)),
        sent,
      ),
    )
  t.equal(await send(0, Buffer.alloc(0)), 'GOOD', 'no list')
  t.equal(await send(7, list), '05/1A/00', 'no header')
  t.equal(await send(23, list), '05/1A/00', 'a descriptor cut by the CDB')
  t.equal(await send(24, list.subarray(0, 23)), '05/1A/00', 'less data than the CDB says')
  t.equal(await send(24, list, 1), '05/24/00', 'ANCHOR')
  const contradicting = Buffer.from(list)
  contradicting.writeUInt16BE(21, 0)
  t.equal(await send(24, contradicting), '05/1A/00')
  t.ok(disk.bytes(0, 8).equals(data))
  t.equal(await send(8, Buffer.from('0006000000000000', 'hex')), 'GOOD', 'no descriptors')
})

t.test('UNMAP of a broken disk fails, without an LBA when none is known', async (t) => {
  const disk = await makeDisk()
  disk.volume.failNext('discard', { after: 1 })
  const outcome = await unmap(disk.execute, [
    [0, 8],
    [16, 8],
    [32, 8],
  ])
  t.equal(verdict(outcome), '03/0C/00')
  t.equal(decodeSense(outcome.sense as Buffer).information, 16)
  t.equal(disk.volume.started.discard, 2, 'and goes no further')
})

t.test('WRITE SAME writes its block to each, up to the last of a range', async (t) => {
  for (const opcode of writeSames) {
    const disk = await makeDisk()
    const block = randomBytes(BLOCK)
    const around = disk.fill(4, 1)
    const after = disk.fill(1305, 1)
    t.equal(verdict(await disk.execute(same(opcode, 5, 1300), block)), 'GOOD')
    t.ok(disk.bytes(5, 1300).equals(Buffer.alloc(1300 * BLOCK, block)))
    t.ok(disk.bytes(4, 1).equals(around))
    t.ok(disk.bytes(1305, 1).equals(after))
    t.equal(disk.volume.started.discard, 0)
  }
})

t.test('WRITE SAME(16) with UNMAP gives zeros back, and writes what is not zero', async (t) => {
  const disk = await makeDisk()
  disk.fill(0, 32)
  const block = randomBytes(BLOCK)
  const cdb = same(Opcode.WriteSame16, 1, 30, WriteSameFlag.Unmap)
  t.equal(verdict(await disk.execute(cdb, ZERO_BLOCK)), 'GOOD')
  t.ok(isZero(disk.bytes(1, 30)))
  t.notOk(isZero(disk.bytes(0, 1)))
  t.notOk(isZero(disk.bytes(31, 1)))
  t.equal(disk.volume.started.discard, 1)
  t.equal(verdict(await disk.execute(cdb, block)), 'GOOD')
  t.ok(disk.bytes(1, 30).equals(Buffer.alloc(30 * BLOCK, block)))
  t.equal(disk.volume.started.discard, 1)
})

t.test('WRITE SAME(10) does not unmap, as LBPWS10 says', async (t) => {
  const disk = await makeDisk()
  const data = disk.fill(0, 8)
  const outcome = await disk.execute(
    same(Opcode.WriteSame10, 0, 8, WriteSameFlag.Unmap),
    ZERO_BLOCK,
  )
  t.equal(verdict(outcome), '05/24/00')
  t.ok(disk.bytes(0, 8).equals(data))
})

t.test('WRITE SAME(16) with NDOB takes no data, and means zeros', async (t) => {
  const disk = await makeDisk()
  disk.fill(0, 32)
  const { NoDataOut, Unmap } = WriteSameFlag
  t.equal(verdict(await disk.execute(same(Opcode.WriteSame16, 0, 8, NoDataOut))), 'GOOD')
  t.equal(disk.volume.started.discard, 0)
  t.equal(verdict(await disk.execute(same(Opcode.WriteSame16, 8, 8, NoDataOut | Unmap))), 'GOOD')
  t.equal(disk.volume.started.discard, 1)
  t.ok(isZero(disk.bytes(0, 16)))
  t.notOk(isZero(disk.bytes(16, 1)))
  const ten = await disk.execute(same(Opcode.WriteSame10, 0, 8, NoDataOut), ZERO_BLOCK)
  t.equal(verdict(ten), '05/24/00', 'not with 10 bytes')
})

t.test('WRITE SAME of 0 blocks goes to the end, if that is not too far', async (t) => {
  for (const opcode of writeSames) {
    const disk = await makeDisk()
    disk.fill(CAPACITY - 8, 8)
    const send = async (lba: number, blockCount: number) =>
      verdict(await disk.execute(same(opcode, lba, blockCount), ZERO_BLOCK))
    t.equal(await send(CAPACITY - 32768 - 1, 0), '05/24/00')
    t.equal(await send(CAPACITY, 0), '05/21/00')
    t.equal(await send(CAPACITY - 1, 2), '05/21/00')
    t.notOk(isZero(disk.bytes(CAPACITY - 1, 1)))
    t.equal(await send(CAPACITY - 7, 0), 'GOOD')
    t.ok(isZero(disk.bytes(CAPACITY - 7, 7)))
    t.notOk(isZero(disk.bytes(CAPACITY - 8, 1)))
    t.equal(await send(CAPACITY - 32768, 0), 'GOOD', 'just MAXIMUM WRITE SAME LENGTH')
  }
  const { execute } = await makeDisk()
  const tooMany = await execute(same(Opcode.WriteSame16, 0, 32769), ZERO_BLOCK)
  t.equal(verdict(tooMany), '05/24/00')
})

t.test('WRITE SAME refuses what it does not do, and other than one block', async (t) => {
  for (const opcode of writeSames) {
    const disk = await makeDisk()
    const data = disk.fill(0, 1)
    for (const flags of [0x20, 0x10, 0x04, 0x02]) {
      const outcome = await disk.execute(same(opcode, 0, 1, flags), ZERO_BLOCK)
      t.equal(verdict(outcome), '05/24/00', `flags ${flags}`)
    }
    for (const length of [0, BLOCK / 2, 2 * BLOCK]) {
      const outcome = await disk.execute(same(opcode, 0, 1), Buffer.alloc(length))
      t.equal(verdict(outcome), '05/24/00', `${length} bytes`)
    }
    t.ok(disk.bytes(0, 1).equals(data))
    disk.volume.failNext('write')
    t.equal(verdict(await disk.execute(same(opcode, 0, 1), ZERO_BLOCK)), '03/0C/00')
  }
  const disk = await makeDisk()
  disk.volume.failNext('discard')
  const unmapping = same(Opcode.WriteSame16, 0, 1, WriteSameFlag.Unmap)
  t.equal(verdict(await disk.execute(unmapping, ZERO_BLOCK)), '03/0C/00')
})

t.test('a write-protected unit keeps its blocks', async (t) => {
  const { execute } = await makeDisk({ writeProtected: true })
  t.equal(verdict(await unmap(execute, [[0, 1]])), '07/27/00')
  for (const opcode of writeSames) {
    t.equal(verdict(await execute(same(opcode, 0, 1), ZERO_BLOCK)), '07/27/00')
    const unmapping = same(opcode, 0, 1, WriteSameFlag.Unmap)
    t.equal(verdict(await execute(unmapping, ZERO_BLOCK)), '07/27/00')
  }
})

const { Mapped, Deallocated } = ProvisioningStatus

t.test('GET LBA STATUS tells which blocks are stored, from the one asked for on', async (t) => {
  const { execute, fill } = await makeDisk()
  const ask = (lba: number, allocationLength = 512) =>
    execute(cdbOf((cdb, at) => encodeGetLbaStatusCdb(cdb, at, lba, allocationLength)))
  const statuses = async (lba: number, allocationLength?: number) =>
    decodeLbaStatuses((await ask(lba, allocationLength)).data as Buffer)
  t.same(await statuses(0), [{ lba: 0, blockCount: CAPACITY, provisioningStatus: Deallocated }])
  // The memory volume stores pieces of 64 KiB, 128 blocks.
  fill(256, 128)
  fill(1024, 1)
  const after = { lba: 1152, blockCount: CAPACITY - 1152, provisioningStatus: Deallocated }
  const all = [
    { lba: 0, blockCount: 256, provisioningStatus: Deallocated },
    { lba: 256, blockCount: 128, provisioningStatus: Mapped },
    { lba: 384, blockCount: 640, provisioningStatus: Deallocated },
    { lba: 1024, blockCount: 128, provisioningStatus: Mapped },
    after,
  ]
  t.same(await statuses(0), all)
  t.same(await statuses(300), [
    { lba: 300, blockCount: 84, provisioningStatus: Mapped },
    ...all.slice(2),
  ])
  t.same(await statuses(0, 8 + 2 * 16), all.slice(0, 2), 'as many as there is room for')
  t.same(await statuses(0, 8 + 2 * 16 + 15), all.slice(0, 2), 'and none that is cut')
  t.same(await statuses(CAPACITY - 5), [
    { lba: CAPACITY - 5, blockCount: 5, provisioningStatus: Deallocated },
  ])
  t.equal(verdict(await unmap(execute, [[256, 1024]])), 'GOOD')
  t.same(await statuses(0), [{ lba: 0, blockCount: CAPACITY, provisioningStatus: Deallocated }])
  t.equal(verdict(await ask(CAPACITY)), '05/21/00')
  t.equal(verdict(await ask(0, 23)), '05/24/00')
})

/** Of each 512 bytes, from where it is asked, whether they are a hole: a dot. What is beyond is one as well. */
class DottedVolume extends MemoryVolume {
  dots = ''

  override locateHoles(_: number, length: number, map: HoleMap, done: IoCompletion): void {
    const units = [...this.dots.padEnd(length / BLOCK, '.')]
    units.every((unit) => map.add(unit === '.', BLOCK))
    setImmediate(() => done.ioCompleted(null))
  }
}

t.test('GET LBA STATUS calls a block mapped unless all of it is a hole', async (t) => {
  const volume = new DottedVolume('array/p', 32 * 4096)
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  const execute = await serve(new LogicalUnit({ volume, uuid, name: 'p', blockSizeBytes: 4096 }))
  const statuses = async (dots: string, allocationLength = 512) => {
    volume.dots = dots
    const { data } = await execute(
      cdbOf((cdb, at) => encodeGetLbaStatusCdb(cdb, at, 1, allocationLength)),
    )
    return decodeLbaStatuses(data as Buffer).map(({ lba, blockCount, provisioningStatus }) =>
      [lba, blockCount, provisioningStatus === Mapped ? 'mapped' : 'deallocated'].join(' '),
    )
  }
  t.same(await statuses('..x.....'), ['1 1 mapped', '2 30 deallocated'])
  t.same(await statuses('........xxxxxxxx'), ['1 1 deallocated', '2 1 mapped', '3 29 deallocated'])
  t.same(await statuses('............xxxx'), ['1 1 deallocated', '2 1 mapped', '3 29 deallocated'])
  t.same(await statuses('....xxxxxxxx....'), ['1 2 mapped', '3 29 deallocated'])
  t.same(await statuses('x.......'.repeat(10)), ['1 10 mapped', '11 21 deallocated'])
  t.same(await statuses('..x.....', 24), ['1 1 mapped'], 'one that is known in part only')
})

t.test('GET LBA STATUS tells of 64 runs at most, whatever the allocation length', async (t) => {
  const { execute, fill } = await makeDisk()
  for (let run = 0; run < 100; run++) fill(run * 256, 1)
  const cdb = cdbOf((cdb, at) => encodeGetLbaStatusCdb(cdb, at, 0, 1024 * 1024))
  const statuses = decodeLbaStatuses((await execute(cdb)).data as Buffer)
  t.equal(statuses.length, 64)
  t.same(statuses.at(-1), { lba: 63 * 128, blockCount: 128, provisioningStatus: Deallocated })
})
