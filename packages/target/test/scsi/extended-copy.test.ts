/** EXTENDED COPY within and between units, as far as the nexus itself could, and RECEIVE COPY RESULTS. */
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import {
  Association,
  COPY_HEADER_LENGTH,
  CodeSet,
  CopyResults,
  type CopySegment,
  CopyState,
  type CopyTarget,
  DesignatorType,
  encodeBlockCdb,
  encodeCopyList,
  encodeExtendedCopyCdb,
  encodeReceiveCopyResultsCdb,
  ListIdUsage,
  Opcode,
  Status,
} from '@platter/protocol/scsi'
import t from 'tap'
import { copyLimits } from '../../src/scsi/commands/extended-copy.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { FakeTask } from '../support/fake-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { cdbOf, verdict } from '../support/scsi-run.ts'
import { viewOf } from '../support/shown-units.ts'

const MEBIBYTE = 1024 * 1024
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]

function makeUnit(
  number: number,
  blockSizeBytes: number,
  options: { writeProtected?: boolean } = {},
) {
  const volume = new HeldVolume(4 * MEBIBYTE)
  volume.fill(randomBytes(4 * MEBIBYTE))
  const uuid = `7b2d6f0a-5d0e-4c8f-9a11-00000000000${number}`
  const unit = new LogicalUnit({ volume, uuid, name: `p${number}`, blockSizeBytes, ...options })
  return { volume, unit }
}

/** A descriptor of a unit by its NAA designator, as VPD page 83h gives it. */
function target(
  number: number,
  blockSizeBytes: number,
  fields: Partial<CopyTarget> = {},
): CopyTarget {
  return {
    isNull: false,
    peripheralDeviceType: 0,
    codeSet: CodeSet.Binary,
    association: Association.LogicalUnit,
    designatorType: DesignatorType.Naa,
    designator: Buffer.from(`3${`9a1100000000000${number}`.slice(-15)}`, 'hex'),
    blockSizeBytes,
    ...fields,
  }
}

function segment(fields: Partial<CopySegment> = {}): CopySegment {
  return {
    countsDestination: false,
    source: 0,
    destination: 1,
    blockCount: 8,
    sourceLba: 0,
    destinationLba: 0,
    ...fields,
  }
}

/** Units 1 (512 bytes a block) and 2 (4096) at LUN 0 and 1 of host a; host b sees unit 2 at LUN 0 only. */
async function start(options: { writeProtected?: boolean } = {}) {
  const one = makeUnit(1, 512)
  const two = makeUnit(2, 4096, options)
  const maps = {
    a: new Map([
      [0, one.unit],
      [1, two.unit],
    ]),
    b: new Map([[0, two.unit]]),
  }
  const server = new DeviceServer((port) => viewOf(port.includes(':a') ? maps.a : maps.b))
  const [a, b] = ['a', 'b'].map((name) => server.openNexus(`iqn.2024-01.org.example:${name},i,0x1`))
  const begin = (cdb: ArrayLike<number>, dataOut?: Buffer, nexus = a, lun = 0): FakeTask => {
    const task = new FakeTask({ nexus: nexus!, cdb, lun, dataOut: dataOut ?? Buffer.alloc(0) })
    task.onEnded = () => server.ended(task)
    server.execute(task)
    return task
  }
  const finish = async (task: FakeTask): Promise<string> => {
    for (let turns = 0; task.ended === null && turns < 100; turns++) {
      await turn()
      one.volume.releaseAll()
      two.volume.releaseAll()
    }
    return task.ended === null ? 'under way' : verdict(task.ended)
  }
  for (const [nexus, lun] of [
    [a, 0],
    [a, 1],
    [b, 0],
  ] as const) {
    await finish(begin(TEST_UNIT_READY, undefined, nexus, lun))
  }
  const beginCopy = (list: Buffer, nexus = a, length = list.length): FakeTask =>
    begin(
      cdbOf((cdb, at) => encodeExtendedCopyCdb(cdb, at, length)),
      list,
      nexus,
    )
  const both = [target(1, 512), target(2, 4096)]
  const copy = (
    segments: CopySegment[],
    { targets = both, listId = 0, listIdUsage = ListIdUsage.None as number, nexus = a } = {},
  ) => finish(beginCopy(encodeCopyList({ listId, listIdUsage }, targets, segments), nexus))
  const results = (serviceAction: number, listId = 0, nexus = a): FakeTask => {
    const fields = { serviceAction, listId, allocationLength: 1024 }
    return begin(
      cdbOf((cdb, at) => encodeReceiveCopyResultsCdb(cdb, at, fields)),
      undefined,
      nexus,
    )
  }
  return { server, one, two, a, b, begin, finish, beginCopy, copy, results }
}

t.test('EXTENDED COPY copies blocks between units of different block lengths', async (t) => {
  const { one, two, copy } = await start()
  const before = two.volume.bytes
  t.equal(await copy([segment({ blockCount: 4096, sourceLba: 16, destinationLba: 3 })]), 'GOOD')
  const [at, length] = [3 * 4096, 4096 * 512]
  const copied = one.volume.bytes.subarray(16 * 512, 16 * 512 + length)
  t.ok(two.volume.bytes.subarray(at, at + length).equals(copied))
  t.ok(two.volume.bytes.subarray(0, at).equals(before.subarray(0, at)))
  t.ok(two.volume.bytes.subarray(at + length).equals(before.subarray(at + length)))
  const back = segment({ source: 1, destination: 0, blockCount: 8, countsDestination: true })
  t.equal(await copy([back]), 'GOOD')
  t.ok(one.volume.bytes.subarray(0, 4096).equals(two.volume.bytes.subarray(0, 4096)))
})

t.test('EXTENDED COPY within a unit copies ranges that overlap whole', async (t) => {
  for (const [sourceLba, destinationLba] of [
    [0, 1000],
    [1000, 0],
  ] as const) {
    const { one, copy } = await start()
    const before = one.volume.bytes
    const within = segment({ destination: 0, blockCount: 5000, sourceLba, destinationLba })
    t.equal(await copy([within]), 'GOOD')
    const wanted = Buffer.from(before)
    before.copy(wanted, destinationLba * 512, sourceLba * 512, (sourceLba + 5000) * 512)
    t.ok(one.volume.bytes.equals(wanted))
  }
})

t.test('EXTENDED COPY never reaches a unit that the nexus does not see', async (t) => {
  const { one, two, b, copy } = await start()
  const before = two.volume.bytes
  t.equal(await copy([segment()], { nexus: b }), '0A/0D/02', 'as a source')
  const out = segment({ source: 1, destination: 0 })
  t.equal(await copy([out], { nexus: b }), '0A/0D/02', 'as a destination')
  t.equal(await copy([segment()], { targets: [target(1, 512), target(7, 512)] }), '0A/0D/02')
  t.ok(two.volume.bytes.equals(before))
  t.equal(one.volume.writes.length + two.volume.writes.length, 0)
})

t.test('EXTENDED COPY does what the nexus itself could do, and no more', async (t) => {
  const guarded = await start({ writeProtected: true })
  t.equal(await guarded.copy([segment()]), '0A/0D/01', 'write protection')
  const { one, two, a, b, copy, server } = await start()
  two.unit.reservations.reserveUnit(b!)
  t.equal(await copy([segment()]), '0A/0D/01', 'the destination is reserved by another nexus')
  const away = segment({ source: 1, destination: 0 })
  t.equal(await copy([away]), '0A/0D/01', 'and so is the source')
  server.closeNexus(b!)
  two.unit.reservations.reserveUnit(a!)
  t.equal(await copy([segment()]), 'GOOD', 'what it reserved itself is no hindrance')
  t.equal(one.volume.writes.length, 0)
})

t.test('EXTENDED COPY checks its list before it copies anything', async (t) => {
  const { one, two, copy, finish, beginCopy } = await start()
  const header = { listId: 1, listIdUsage: ListIdUsage.Hold }
  const both = [target(1, 512), target(2, 4096)]
  const list = encodeCopyList(header, both, [segment()])
  t.equal(await finish(beginCopy(Buffer.alloc(0))), 'GOOD', 'nothing at all')
  t.equal(await finish(beginCopy(list.subarray(0, COPY_HEADER_LENGTH - 1))), '05/1A/00')
  t.equal(await finish(beginCopy(list.subarray(0, COPY_HEADER_LENGTH + 31))), '05/1A/00')
  t.equal(await finish(beginCopy(list.subarray(0, -1))), '05/1A/00')
  t.equal(await finish(beginCopy(list, undefined, list.length + 1)), '05/1A/00', 'too few data')
  const targets = (count: number) => Array.from({ length: count }, () => target(1, 512))
  const segments = (count: number) => Array.from({ length: count }, () => segment())
  const { targetDescriptorsMax, segmentDescriptorsMax } = copyLimits
  t.equal(await copy([segment()], { targets: targets(targetDescriptorsMax + 1) }), '05/26/06')
  t.equal(await copy(segments(segmentDescriptorsMax + 1), { targets: targets(1) }), '05/26/08')
  const all = targets(targetDescriptorsMax + 1)
  t.equal(await copy(segments(segmentDescriptorsMax + 1), { targets: all }), '05/1A/00')
  const changed = async (at: number, value: number) => {
    const other = Buffer.from(list)
    other[at] = value
    return finish(beginCopy(other))
  }
  t.equal(await changed(1, ListIdUsage.Reserved << 3), '05/26/00')
  t.equal(await changed(1, ListIdUsage.None << 3), '05/26/00', 'an identifier that there is none')
  t.equal(await changed(15, 1), '05/26/0B', 'inline data')
  t.equal(await changed(16, 0xe0), '05/26/07', 'another kind of target')
  t.equal(await changed(80, 0x03), '05/26/09', 'another kind of segment')
  t.equal(await changed(83, 0x19), '05/26/00', 'of another length')
  t.equal(await copy([segment()], { targets: [target(1, 4096), target(2, 4096)] }), '0A/0D/03')
  const tape = [target(1, 512, { peripheralDeviceType: 1 }), target(2, 4096)]
  t.equal(await copy([segment()], { targets: tape }), '0A/0D/03')
  t.equal(await copy([segment()], { targets: [target(1, 512, { isNull: true })] }), '0A/00/00')
  t.equal(await copy([segment({ destination: 2 })]), '0A/00/00', 'a target that is not there')
  t.equal(await copy([segment({ blockCount: 7 })]), '0A/26/0A', 'no whole blocks of the other')
  t.equal(await copy([segment({ sourceLba: 8192 - 7 })]), '0A/00/00')
  t.equal(await copy([segment(), segment({ destinationLba: 1024 })]), '0A/00/00')
  t.equal(one.volume.writes.length + two.volume.writes.length, 0)
})

t.test('RECEIVE COPY RESULTS tells how the copy of a list identifier went, once', async (t) => {
  const { one, b, copy, results, finish, beginCopy } = await start()
  t.equal(await finish(results(CopyResults.CopyStatus, 5)), '05/24/00', 'no such copy')
  const held = { listId: 5, listIdUsage: ListIdUsage.Hold }
  const both = [target(1, 512), target(2, 4096)]
  const list = encodeCopyList(held, both, [segment({ blockCount: 16 })])
  const task = beginCopy(list)
  await turn()
  t.equal(results(CopyResults.CopyStatus, 5).ended?.data?.[4], CopyState.InProgress)
  t.equal(await finish(beginCopy(list)).then(() => task.ended?.status), Status.Good)
  t.equal(await finish(results(CopyResults.CopyStatus, 5, b)), '05/24/00', 'another nexus')
  const data = results(CopyResults.CopyStatus, 5).ended?.data as Buffer
  t.equal(data.toString('hex'), '00000008' + '01' + '0001' + '01' + '00000008')
  t.equal(await finish(results(CopyResults.CopyStatus, 5)), '05/24/00', 'it is told once')
  t.equal(await copy([segment()], { listId: 5, listIdUsage: ListIdUsage.Discard }), 'GOOD')
  t.equal(await finish(results(CopyResults.CopyStatus, 5)), '05/24/00', 'it was not to be held')
  const failing = beginCopy(list)
  await turn()
  one.volume.fail()
  t.equal(await finish(failing), '0A/0D/01')
  t.equal(results(CopyResults.CopyStatus, 5).ended?.data?.[4], CopyState.Failed)
})

t.test(
  'a list identifier in use is refused, and free again when its copy is aborted',
  async (t) => {
    const { server, one, two, finish, beginCopy, results } = await start()
    const held = { listId: 5, listIdUsage: ListIdUsage.Hold }
    const both = [target(1, 512), target(2, 4096)]
    const list = encodeCopyList(held, both, [segment()])
    const task = beginCopy(list)
    await turn()
    const second = beginCopy(list)
    await turn()
    t.equal(verdict(second.ended!), '05/00/16')
    task.abort()
    server.aborted(task)
    one.volume.releaseAll()
    server.ended(task)
    await turn()
    t.equal(two.volume.writes.length, 0, 'nothing is written after an abort')
    t.equal(await finish(results(CopyResults.CopyStatus, 5)), '05/24/00')
    t.equal(await finish(beginCopy(list)), 'GOOD')
  },
)

t.test('a copy reads and writes no blocks that an atomic command has', async (t) => {
  const { two, begin, beginCopy, finish } = await start()
  const [old, wanted] = [two.volume.bytes.subarray(0, 4096), Buffer.alloc(4096, 1)]
  const swap = begin(
    cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.CompareAndWrite, 0, 1)),
    Buffer.concat([old, wanted]),
    undefined,
    1,
  )
  await turn()
  const header = { listId: 0, listIdUsage: ListIdUsage.None }
  const away = segment({ source: 1, destination: 0, blockCount: 1 })
  const copy = beginCopy(encodeCopyList(header, [target(1, 512), target(2, 4096)], [away]))
  await turn()
  t.same(
    two.volume.held.map(({ op }) => op),
    ['read'],
    'the reading of COMPARE AND WRITE alone',
  )
  t.equal(await finish(swap), 'GOOD')
  t.equal(await finish(copy), 'GOOD')
})

t.test(
  'INQUIRY tells of third-party copies, and VPD page 8Fh of what they may ask for',
  async (t) => {
    const { begin } = await start()
    const standard = begin([Opcode.Inquiry, 0, 0, 0, 96, 0]).ended?.data as Buffer
    t.equal((standard[5] as number) & 0x08, 0x08, '3PC')
    const page = begin([Opcode.Inquiry, 1, 0x8f, 0, 255, 0]).ended?.data as Buffer
    t.equal(
      page.toString('hex'),
      '008f0060' +
        '00010008' +
        '07' +
        '830100' +
        '84020003' +
        '0004001c' +
        '00000000' +
        '0010' +
        '0040' +
        '00000900' +
        '00'.repeat(16) +
        '00080004' +
        '02' +
        '02e4' +
        '00' +
        '000c0004' +
        '00000000' +
        '80010020' +
        '00000020' +
        '00000020' +
        '00000000' +
        '09' +
        '00'.repeat(19),
    )
  },
)

t.test('OPERATING PARAMETERS tell the limits that are kept', async (t) => {
  const { results } = await start()
  const data = results(CopyResults.OperatingParameters).ended?.data as Buffer
  t.equal(data.readUInt32BE(0), data.length - 4)
  t.equal(data.readUInt16BE(8), copyLimits.targetDescriptorsMax)
  t.equal(data.readUInt16BE(10), copyLimits.segmentDescriptorsMax)
  t.equal(data.readUInt32BE(12), copyLimits.descriptorsLengthMax)
  t.equal(data.subarray(43).toString('hex'), '0202e4')
})
