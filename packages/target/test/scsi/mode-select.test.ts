import {
  decodeCachingPage,
  decodeControlPage,
  decodeModeParameters6,
  decodeSense,
  encodeCachingPage,
  encodeControlPage,
  encodeLun,
  encodeModeSelectCdb,
  encodeModeSelectList,
  encodeModeSenseCdb,
  encodeUnmapParameters,
  findModePage,
  LUN_LENGTH,
  ModePage,
  Opcode,
  PageControl,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { type IoCompletion, VolumeError } from '../../src/volume/volume.ts'
import { FakeTask } from '../support/fake-task.ts'
import { Host, hosts } from '../support/reservation-run.ts'
import { cdbOf, run, verdict } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const WRITE = [Opcode.Write10, 0, 0, 0, 0, 0, 0, 0, 1, 0]
const block = Buffer.alloc(512)

/** Counts what it is asked to flush. */
class FlushCounter extends MemoryVolume {
  flushes = 0
  fails = false

  override flush(completion: IoCompletion): void {
    this.flushes += 1
    const error = this.fails ? new VolumeError('flush', this.name, 0, 'injected fault') : null
    setImmediate(() => completion.ioCompleted(error))
  }
}

interface Control {
  readonly swp?: boolean
  readonly dSense?: boolean
  readonly queueAlgorithmModifier?: number
}

const controlPage = ({ swp = false, dSense = false, queueAlgorithmModifier = 1 }: Control) =>
  encodeControlPage({
    descriptorSense: dSense,
    globalLoggingTargetSaveDisable: true,
    queueAlgorithmModifier,
    softwareWriteProtect: swp,
    taskAbortedStatus: false,
  })

interface SelectOptions {
  readonly ten?: boolean
  readonly pageFormat?: boolean
  readonly savePages?: boolean
  readonly length?: number
}

function selectList(host: Host, list: Buffer, options: SelectOptions = {}): Promise<string> {
  const opcode = options.ten === true ? Opcode.ModeSelect10 : Opcode.ModeSelect6
  const cdb = cdbOf((bytes, at) =>
    encodeModeSelectCdb(bytes, at, opcode, {
      pageFormat: options.pageFormat ?? true,
      savePages: options.savePages ?? false,
      parameterListLength: options.length ?? list.length,
    }),
  )
  return host.exec(cdb, list)
}

const select = (host: Host, page: Buffer, options: SelectOptions = {}): Promise<string> =>
  selectList(host, encodeModeSelectList([page], options.ten === true), options)

async function sense(host: Host, pageControl: number, pageCode: number = ModePage.All) {
  const cdb = cdbOf((bytes, at) =>
    encodeModeSenseCdb(bytes, at, Opcode.ModeSense6, {
      disableBlockDescriptor: false,
      longLba: false,
      pageControl,
      pageCode,
      subpageCode: 0,
      allocationLength: 255,
    }),
  )
  return host.data(cdb)
}

async function control(host: Host, pageControl: number = PageControl.Current) {
  const { pages } = decodeModeParameters6(await sense(host, pageControl))
  return decodeControlPage(findModePage(pages, ModePage.Control) as Buffer)
}

t.test('SWP refuses writes until it is taken back, and MODE SENSE tells of it', async (t) => {
  for (const ten of [false, true]) {
    const [a, b] = (await hosts('a', 'b')) as [Host, Host]
    t.equal(await select(a, controlPage({ swp: true }), { ten }), 'GOOD')
    t.equal(await b.exec(TEST_UNIT_READY), '06/2A/01', 'the others are told')
    for (const host of [a, b]) t.equal(await host.exec(WRITE, block), '07/27/00')
    t.equal((await control(a)).softwareWriteProtect, true)
    t.equal((await control(a, PageControl.Default)).softwareWriteProtect, false)
    t.equal(decodeModeParameters6(await sense(b, PageControl.Current)).writeProtected, true)
    t.equal(await select(b, controlPage({}), { ten }), 'GOOD')
    t.equal(await a.exec(WRITE, block), '06/2A/01')
    t.equal(await a.exec(WRITE, block), 'GOOD')
  }
})

const cachingPage = (writeCacheEnabled: boolean): Buffer =>
  encodeCachingPage({ writeCacheEnabled, readCacheDisabled: false })

async function isCaching(host: Host): Promise<boolean> {
  const { pages } = decodeModeParameters6(await sense(host, PageControl.Current))
  return decodeCachingPage(findModePage(pages, ModePage.Caching) as Buffer).writeCacheEnabled
}

t.test('with WCE=0, whatever changes blocks is flushed before GOOD', async (t) => {
  const volume = new FlushCounter('p', 64 * 512)
  const server = new ShownUnits()
  const uuid = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
  server.addUnit(0, new LogicalUnit({ volume, uuid, name: 'p' }))
  const [a, b] = [new Host(server, 'a'), new Host(server, 'b')]
  for (const host of [a, b]) await host.exec(TEST_UNIT_READY)
  const list = Buffer.from(encodeUnmapParameters([{ lba: 0, blockCount: 1 }]))
  const changes: [string, ArrayLike<number>, Buffer][] = [
    ['WRITE', WRITE, block],
    ['WRITE SAME', [Opcode.WriteSame10, 0, 0, 0, 0, 0, 0, 0, 1, 0], block],
    ['ORWRITE', [Opcode.OrWrite16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], block],
    ['UNMAP', [Opcode.Unmap, 0, 0, 0, 0, 0, 0, 0, list.length, 0], list],
    [
      'COMPARE AND WRITE',
      [Opcode.CompareAndWrite, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      Buffer.alloc(1024),
    ],
  ]
  for (const [name, cdb, data] of changes) {
    t.equal(await a.exec(cdb, data), 'GOOD')
    t.equal(volume.flushes, 0, `${name} leaves its blocks in the cache`)
  }
  t.equal(await select(a, cachingPage(false)), 'GOOD')
  t.equal(volume.flushes, 1, 'what was in the cache is on the disks')
  t.equal(await isCaching(a), false)
  t.equal(await b.exec(TEST_UNIT_READY), '06/2A/01', 'the others are told')
  for (const [name, cdb, data] of changes) {
    const before = volume.flushes
    t.equal(await b.exec(cdb, data), 'GOOD')
    t.equal(volume.flushes, before + 1, name)
  }
  volume.fails = true
  t.equal(await b.exec(WRITE, block), '04/44/00', 'a flush that fails fails the write')
  volume.fails = false
  t.equal(await select(b, cachingPage(true)), 'GOOD')
  const before = volume.flushes
  t.equal(await b.exec(WRITE, block), 'GOOD')
  t.equal(volume.flushes, before)
})

t.test('D_SENSE changes the format of all sense data', async (t) => {
  const [a] = (await hosts('a')) as [Host]
  const refused = async () => {
    const outcome = await run(a.server, { nexus: a.nexus, cdb: [Opcode.Inquiry, 0, 1, 0, 9, 0] })
    return outcome.sense as Buffer
  }
  const before = await refused()
  t.equal(before[0], 0x70)
  t.equal(await select(a, controlPage({ dSense: true })), 'GOOD')
  const after = await refused()
  t.equal(after[0], 0x72)
  t.same(decodeSense(after), decodeSense(before))
  const nexus = a.server.openNexus('iqn.2024-01.org.example:new,i,0x1')
  t.equal((await run(a.server, { nexus, cdb: TEST_UNIT_READY })).sense?.[0], 0x72)
  const write = new FakeTask({ nexus, cdb: WRITE, dataOut: block })
  a.server.execute(write)
  a.server.dataFailed(write, 0x4705)
  write.abort()
  const lost = await write.outcome
  t.equal(lost.sense?.[0], 0x72, 'also when the transport has lost the data')
  t.equal(verdict(lost), '0B/47/05')
})

t.test('each bit is changeable as PC=1 says, and no other', async (t) => {
  const [a, b] = (await hosts('a', 'b')) as [Host, Host]
  const masks = decodeModeParameters6(await sense(a, PageControl.Changeable)).pages
  const current = decodeModeParameters6(await sense(a, PageControl.Current)).pages
  for (const code of [0x01, 0x08, 0x0a, 0x1c]) {
    const mask = findModePage(masks, code) as Buffer
    const page = findModePage(current, code) as Buffer
    for (let bit = 8; bit < page.length * 8; bit += 1) {
      const at = bit >> 3
      const flipped = Buffer.from(page)
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (bit & 7)), at)
      const changeable = at > 1 && ((mask[at] as number) & (1 << (bit & 7))) !== 0
      const said = await select(a, flipped)
      if (changeable) {
        t.equal(said, 'GOOD')
        t.equal(await select(a, page), 'GOOD')
        t.equal(await b.exec(TEST_UNIT_READY), '06/2A/01')
      } else {
        t.match(said, /^05\/(26\/00|1A\/00)$/)
      }
    }
  }
  t.equal(await b.exec(TEST_UNIT_READY), 'GOOD')
})

t.test('what MODE SENSE gave is accepted back, and changes nothing', async (t) => {
  const [a, b] = (await hosts('a', 'b')) as [Host, Host]
  t.equal(await selectList(a, await sense(a, PageControl.Current)), 'GOOD')
  t.equal(await select(a, controlPage({})), 'GOOD')
  t.equal(await selectList(a, Buffer.alloc(0), { pageFormat: false }), 'GOOD', 'nothing at all')
  t.equal(await b.exec(TEST_UNIT_READY), 'GOOD')
})

t.test('a list that is not acceptable changes nothing, whatever else is in it', async (t) => {
  const [a] = (await hosts('a')) as [Host]
  const protect = controlPage({ swp: true })
  const uncached = encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: true })
  t.equal(await selectList(a, encodeModeSelectList([protect, uncached], false)), '05/26/00')
  t.equal(
    await selectList(a, encodeModeSelectList([protect, Buffer.from([2, 0])], false)),
    '05/26/00',
  )
  t.equal(await select(a, controlPage({ swp: true, queueAlgorithmModifier: 0 })), '05/26/00')
  const subpage = Buffer.from([0x4a, 1, 0, 0])
  t.equal(await selectList(a, encodeModeSelectList([protect, subpage], false)), '05/26/00')
  t.equal(await select(a, protect, { savePages: true }), '05/24/00')
  t.equal(await select(a, protect, { pageFormat: false }), '05/24/00')
  t.equal(await select(a, protect.subarray(0, 7)), '05/1A/00')
  t.equal(await select(a, protect, { length: 200 }), '05/1A/00', 'less came than announced')
  const resized = await sense(a, PageControl.Current)
  resized.writeUInt8(8, 4 + 5)
  t.equal(await selectList(a, resized), '05/26/00', 'another block size')
  t.equal(await a.exec(WRITE, block), 'GOOD')
})

t.test('a reset of the unit brings the defaults back', async (t) => {
  const [a] = (await hosts('a')) as [Host]
  const lun = Buffer.alloc(LUN_LENGTH)
  encodeLun(lun, 0, 0)
  for (const reset of [
    () => a.server.resetLogicalUnit(a.nexus, lun),
    () => a.server.resetTarget(a.nexus),
  ]) {
    await select(a, controlPage({ swp: true, dSense: true }))
    await select(a, cachingPage(false))
    reset()
    t.equal(await a.exec([0]), '06/29/03')
    t.match(await control(a), { softwareWriteProtect: false, descriptorSense: false })
    t.equal(await isCaching(a), true)
    t.equal(await a.exec(WRITE, block), 'GOOD')
  }
})
