/** READ, WRITE, VERIFY and SYNCHRONIZE CACHE on a volume in memory that can be made to fail. */
import { randomBytes } from 'node:crypto'
import { decodeSense, encodeBlockCdb, Opcode, TransferFlag } from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { type IoCompletion, VolumeError } from '../../src/volume/volume.ts'
import { cdbOf, type Execute, serve, verdict } from '../support/scsi-run.ts'

const BLOCK = 512
const CAPACITY = 40_000

/** Fails operations of one kind with a system error, from where it is told. */
class FailingVolume extends MemoryVolume {
  fault: { op: VolumeError['op']; code: string; volume?: string; offset?: number } | null = null
  /** What happened, in order. */
  readonly log: string[] = []

  override readNow(...args: Parameters<MemoryVolume['readNow']>): boolean {
    return this.fault?.op !== 'read' && super.readNow(...args)
  }

  override writeNow(...args: Parameters<MemoryVolume['writeNow']>): boolean {
    this.log.push('write')
    return this.fault?.op !== 'write' && super.writeNow(...args)
  }

  override read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.log.push(`read ${length}`)
    if (this.fault?.op === 'read') this.#fail(offset, completion)
    else super.read(offset, into, position, length, completion)
  }

  override write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    if (this.fault?.op === 'write') this.#fail(offset, completion)
    else super.write(offset, from, position, length, completion)
  }

  override flush(completion: IoCompletion): void {
    this.log.push('flush')
    if (this.fault?.op === 'flush') this.#fail(0, completion)
    else super.flush(completion)
  }

  #fail(offset: number, completion: IoCompletion): void {
    if (this.fault === null) throw new Error('no fault')
    const { op, code, volume = this.name, offset: at = offset } = this.fault
    const cause = Object.assign(new Error(code), { code })
    setImmediate(() => completion.ioCompleted(new VolumeError(op, volume, at, cause)))
  }
}

interface Disk {
  readonly volume: FailingVolume
  readonly execute: Execute
}

async function makeDisk(
  options: { writeProtected?: boolean; sizeBytes?: number } = {},
): Promise<Disk> {
  const volume = new FailingVolume('array/p', options.sizeBytes ?? CAPACITY * BLOCK, BLOCK)
  const unit = new LogicalUnit({
    volume,
    uuid: '7b2d6f0a-5d0e-4c8f-9a11-000000000001',
    name: 'p',
    writeProtected: options.writeProtected ?? false,
  })
  return { volume, execute: await serve(unit) }
}

const blockCdb = (opcode: number, lba: number, blockCount: number, flags = 0): Buffer =>
  cdbOf((cdb, at) => encodeBlockCdb(cdb, at, opcode, lba, blockCount, flags))

const reads = [Opcode.Read6, Opcode.Read10, Opcode.Read12, Opcode.Read16]
const writes = [Opcode.Write6, Opcode.Write10, Opcode.Write12, Opcode.Write16]
const verifies = [Opcode.Verify10, Opcode.Verify12, Opcode.Verify16]
const syncs = [Opcode.SynchronizeCache10, Opcode.SynchronizeCache16]

t.test('what each WRITE writes, each READ reads', async (t) => {
  const { execute } = await makeDisk()
  for (const write of writes) {
    for (const read of reads) {
      const data = randomBytes(3 * BLOCK)
      const lba = CAPACITY - 3
      t.equal(verdict(await execute(blockCdb(write, lba, 3), data, BLOCK)), 'GOOD')
      t.same((await execute(blockCdb(read, lba, 3))).data, data)
    }
  }
})

t.test('READ(6) and WRITE(6) of length 0 move 256 blocks', async (t) => {
  const { execute } = await makeDisk()
  const data = randomBytes(256 * BLOCK)
  t.equal(verdict(await execute([Opcode.Write6, 0, 0, 9, 0, 0], data)), 'GOOD')
  t.same((await execute([Opcode.Read6, 0, 0, 9, 0, 0])).data, data)
})

t.test('blocks beyond the end are refused, by every command and in 64 bits', async (t) => {
  const { execute, volume } = await makeDisk()
  for (const opcode of [...reads, ...writes, ...verifies, ...syncs]) {
    const data = Buffer.alloc(2 * BLOCK)
    const beyond = async (lba: number, count: number): Promise<void> => {
      t.equal(
        verdict(await execute(blockCdb(opcode, lba, count), data)),
        '05/21/00',
        `${opcode} ${lba}`,
      )
    }
    await beyond(CAPACITY, 1)
    await beyond(CAPACITY - 1, 2)
    if (opcode > 0x1f) await beyond(CAPACITY, 0)
    if (opcode > 0x1f) await beyond(2 ** 32 - 1, 2)
  }
  for (const opcode of [
    Opcode.Read16,
    Opcode.Write16,
    Opcode.Verify16,
    Opcode.SynchronizeCache16,
  ]) {
    for (const lba of ['ffffffffffffffff', '8000000000000000', '0020000000000001']) {
      const cdb = Buffer.from(`${opcode.toString(16)}00${lba}000000020000`, 'hex')
      t.equal(verdict(await execute(cdb, Buffer.alloc(2 * BLOCK))), '05/21/00')
    }
  }
  t.same(volume.log, [], 'nothing was touched')
})

t.test('no blocks at all are GOOD anywhere within the unit', async (t) => {
  const { execute, volume } = await makeDisk()
  for (const opcode of [...reads, ...writes, ...verifies].filter((code) => code > 0x1f)) {
    t.equal(verdict(await execute(blockCdb(opcode, CAPACITY - 1, 0))), 'GOOD')
  }
  t.same(volume.log, [])
})

t.test('more than MAXIMUM TRANSFER LENGTH is refused, as much as it is moved', async (t) => {
  const { execute } = await makeDisk()
  const most = (16 * 1024 * 1024) / BLOCK
  t.equal((await execute(blockCdb(Opcode.Read12, 0, most))).data?.length, 16 * 1024 * 1024)
  for (const [opcode, byte] of [
    [Opcode.Read12, 6],
    [Opcode.Write16, 10],
    [Opcode.Read10, 7],
  ] as const) {
    const outcome = await execute(blockCdb(opcode, 0, most + 1))
    t.equal(verdict(outcome), '05/24/00')
    t.same(decodeSense(outcome.sense as Buffer).cdbField, { byte })
  }
  t.equal(verdict(await execute(blockCdb(Opcode.Verify10, 0, most + 1, 0x02))), '05/24/00')
})

t.test('protection information is refused, since there is none', async (t) => {
  const { execute } = await makeDisk()
  for (const opcode of [...reads, ...writes, ...verifies].filter((code) => code > 0x1f)) {
    const outcome = await execute(blockCdb(opcode, 0, 1, 0x20), Buffer.alloc(BLOCK))
    t.equal(verdict(outcome), '05/24/00')
    t.same(decodeSense(outcome.sense as Buffer).cdbField, { byte: 1, bit: 7 })
  }
})

t.test(
  'FUA and SYNCHRONIZE CACHE reach the disk before GOOD, plain writes do not wait',
  async (t) => {
    const { execute, volume } = await makeDisk()
    const data = randomBytes(BLOCK)
    for (const opcode of writes.slice(1)) {
      volume.log.length = 0
      t.equal(verdict(await execute(blockCdb(opcode, 5, 1, TransferFlag.Dpo), data)), 'GOOD')
      t.same(volume.log, ['write'])
      t.equal(verdict(await execute(blockCdb(opcode, 5, 1, TransferFlag.Fua), data)), 'GOOD')
      t.same(volume.log, ['write', 'write', 'flush'])
    }
    for (const opcode of reads.slice(1)) {
      volume.log.length = 0
      t.same((await execute(blockCdb(opcode, 5, 1, TransferFlag.Fua))).data, data)
      t.same(volume.log, ['flush'], 'what is read is on the medium')
    }
    for (const opcode of syncs) {
      volume.log.length = 0
      t.equal(verdict(await execute(blockCdb(opcode, 0, 0))), 'GOOD')
      t.equal(verdict(await execute(blockCdb(opcode, 0, 1, 0x02))), 'GOOD', 'IMMED')
      t.same(volume.log, ['flush', 'flush'])
    }
  },
)

t.test('a write-protected unit refuses every WRITE and reads on', async (t) => {
  const { execute, volume } = await makeDisk({ writeProtected: true })
  for (const opcode of writes) {
    t.equal(verdict(await execute(blockCdb(opcode, 0, 1), Buffer.alloc(BLOCK))), '07/27/00')
  }
  t.same(volume.log, [])
  t.same((await execute(blockCdb(Opcode.Read10, 0, 1))).data, Buffer.alloc(BLOCK))
})

t.test("a volume's errors become the sense that says what happened, and where", async (t) => {
  const { execute, volume } = await makeDisk()
  const data = Buffer.alloc(8 * BLOCK)
  const commands = {
    read: blockCdb(Opcode.Read16, 100, 8),
    fuaRead: blockCdb(Opcode.Read12, 100, 8, TransferFlag.Fua),
    write: blockCdb(Opcode.Write10, 100, 8),
    fuaWrite: blockCdb(Opcode.Write10, 100, 8, TransferFlag.Fua),
    sync: blockCdb(Opcode.SynchronizeCache10, 0, 0),
    verify: blockCdb(Opcode.Verify12, 100, 8),
    compare: blockCdb(Opcode.Verify12, 100, 8, 0x02),
  }
  const expect = async (
    name: keyof typeof commands,
    fault: FailingVolume['fault'],
    sense: string,
    information?: number,
  ): Promise<void> => {
    volume.fault = fault
    const outcome = await execute(commands[name], data)
    t.equal(verdict(outcome), sense, `${name} ${fault?.code}`)
    t.equal(decodeSense(outcome.sense as Buffer).information, information)
  }
  const read = { op: 'read', code: 'EIO' } as const
  await expect('read', { ...read, offset: 103 * BLOCK }, '03/11/00', 103)
  await expect('read', { ...read, volume: '/disks/2', offset: 7 * BLOCK }, '03/11/00', 100)
  await expect('verify', read, '03/11/00', 100)
  await expect('compare', read, '03/11/00', 100)
  await expect('read', { ...read, code: 'EBADF' }, '04/44/00')
  const write = { op: 'write', code: 'EIO' } as const
  await expect('write', { ...write, offset: 101 * BLOCK }, '03/0C/00', 101)
  await expect('fuaWrite', write, '03/0C/00', 100)
  await expect('write', { ...write, code: 'ENOSPC' }, '07/27/07')
  const flush = { op: 'flush', code: 'EIO' } as const
  await expect('fuaWrite', flush, '03/0C/00')
  await expect('fuaRead', flush, '03/0C/00')
  await expect('sync', flush, '03/0C/00')
  await expect('sync', { ...flush, code: 'ENOSPC' }, '07/27/07')
  volume.fault = null
  await volume.close()
  t.equal(verdict(await execute(commands.read)), '04/44/00', 'no system error at all')
})

t.test('a fault injected below a unit is a medium error of it', async (t) => {
  const volume = new FaultVolume(new MemoryVolume('array/p', CAPACITY * BLOCK, BLOCK))
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  const execute = await serve(new LogicalUnit({ volume, uuid, name: 'p' }))
  volume.failNext('read')
  t.equal(verdict(await execute(blockCdb(Opcode.Read10, 4, 1))), '03/11/00')
  t.equal(verdict(await execute(blockCdb(Opcode.Read10, 4, 1))), 'GOOD')
  volume.failNext('flush')
  t.equal(verdict(await execute(blockCdb(Opcode.SynchronizeCache10, 0, 0))), '03/0C/00')
})

t.test('VERIFY without data reads all of the range, in bounded pieces', async (t) => {
  const { execute, volume } = await makeDisk()
  for (const opcode of verifies) {
    volume.log.length = 0
    t.equal(verdict(await execute(blockCdb(opcode, 3, 1100, 0x10))), 'GOOD')
    t.same(volume.log, ['read 262144', 'read 262144', 'read 38912'])
  }
  volume.fault = { op: 'read', code: 'EIO', offset: 900 * BLOCK }
  const outcome = await execute(blockCdb(Opcode.Verify16, 3, 1100))
  t.equal(decodeSense(outcome.sense as Buffer).information, 900)
})

t.test('VERIFY compares with the data sent, and names the block that differs', async (t) => {
  const { execute } = await makeDisk()
  const data = randomBytes(300 * BLOCK)
  await execute(blockCdb(Opcode.Write10, 50, 300), data)
  for (const opcode of verifies) {
    for (const segmentBytes of [8 * BLOCK, data.length]) {
      const cdb = blockCdb(opcode, 50, 300, 0x02)
      t.equal(verdict(await execute(cdb, data, segmentBytes)), 'GOOD')
      const other = Buffer.from(data)
      for (const at of [299 * BLOCK + 7, 20 * BLOCK + 511]) {
        other[at] = (other[at] as number) ^ 1
        const outcome = await execute(cdb, other, segmentBytes)
        t.equal(verdict(outcome), '0E/1D/00')
        t.equal(decodeSense(outcome.sense as Buffer).information, 50 + Math.floor(at / BLOCK))
      }
    }
  }
  t.same((await execute(blockCdb(Opcode.Read10, 50, 300))).data, data, 'nothing was written')
})

t.test('VERIFY compares every block with the one sent', async (t) => {
  const { execute } = await makeDisk()
  const block = randomBytes(BLOCK)
  await execute(blockCdb(Opcode.Write12, 10, 600), Buffer.concat(new Array(600).fill(block)))
  t.equal(verdict(await execute(blockCdb(Opcode.Verify10, 10, 600, 0x06), block)), 'GOOD')
  const outcome = await execute(blockCdb(Opcode.Verify16, 10, 601, 0x06), block)
  t.equal(verdict(outcome), '0E/1D/00')
  t.equal(decodeSense(outcome.sense as Buffer).information, 610)
  t.equal(
    verdict(await execute(blockCdb(Opcode.Verify10, 10, 600, 0x06), block.subarray(1))),
    '0B/4B/00',
    'less than a block',
  )
  t.equal(
    verdict(await execute(blockCdb(Opcode.Verify10, 10, 1, 0x04), block)),
    '05/24/00',
    'reserved',
  )
})

t.test('blocks beyond 2 TiB are the right ones', async (t) => {
  const { execute } = await makeDisk({ sizeBytes: 2 ** 50 })
  const last = 2 ** 50 / BLOCK - 1
  const data = randomBytes(BLOCK)
  t.equal(verdict(await execute(blockCdb(Opcode.Write16, last, 1), data)), 'GOOD')
  t.same((await execute(blockCdb(Opcode.Read16, last, 1))).data, data)
  t.same((await execute(blockCdb(Opcode.Read16, last % 2 ** 32, 1))).data, Buffer.alloc(BLOCK))
  t.equal(verdict(await execute(blockCdb(Opcode.Read16, last + 1, 1))), '05/21/00')
})
