import {
  encodeCachingPage,
  encodeLogicalBlockProvisioning,
  encodeModeParameters6,
  Opcode,
  Peripheral,
  ProvisioningType,
  powerOnUnitAttention,
  VpdPage,
} from '@platter/protocol/scsi'
import t from 'tap'
import { inspectUnit, listLuns } from '../../src/block/logical-unit.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { endError, endSense, FakeTransport } from '../support/fake-transport.ts'
import {
  answerFrom,
  blockLimits,
  capacity,
  namePage,
  scriptedUnit,
} from '../support/scripted-unit.ts'

t.test('a partition of Platter is known by its name', async (t) => {
  const { transport } = setUp()
  t.strictSame(await inspectUnit(transport, 3), {
    name: 'scratch',
    lun: 3,
    identity: `0.${Buffer.from('scratch').toString('hex')}`,
    blockSizeBytes: 4096,
    blockCount: 1000,
    readOnly: false,
    volatileCache: true,
    transferBlocksMax: 2048,
    transferBlocksOptimal: 64,
    transferBlocksGranularity: 16,
    writeSame: null,
  })
})

t.test('the unit attention that greets a new session is no hindrance', async (t) => {
  const { transport, answer } = setUp()
  let greeted = false
  transport.answer = (task) => {
    if (greeted) answer(task)
    else endSense(task, powerOnUnitAttention)
    greeted = true
  }
  t.match(await inspectUnit(transport, 0), { name: 'scratch' })
})

t.test('how blocks are made zeros, if the unit has a command for it', async (t) => {
  const { transport, unit } = setUp()
  const writeSame = async () => (await inspectUnit(transport, 0))?.writeSame
  const provisioning = (readsZeros: boolean) =>
    encodeLogicalBlockProvisioning({
      unmap: true,
      writeSame16: true,
      writeSame10: false,
      readsZeros,
      provisioningType: ProvisioningType.Thin,
    })
  unit.pages.set(VpdPage.BlockLimits, blockLimits(2048, 32768))
  t.strictSame(await writeSame(), { blocksMax: 32768, unmap: false })
  unit.pages.set(VpdPage.LogicalBlockProvisioning, provisioning(true))
  t.strictSame(await writeSame(), { blocksMax: 32768, unmap: true })
  unit.pages.set(VpdPage.BlockLimits, blockLimits(2048, 0))
  t.strictSame(await writeSame(), { blocksMax: 65536, unmap: true }, 'no limit told')
  unit.pages.set(VpdPage.LogicalBlockProvisioning, provisioning(false))
  t.equal(await writeSame(), null, 'what it unmaps may read as anything')
})

t.test('what is no disk is passed over', async (t) => {
  const { transport, unit } = setUp()
  for (const peripheral of [Peripheral.Unsupported, 0x0c, 0x05]) {
    unit.peripheral = peripheral
    t.equal(await inspectUnit(transport, 0), undefined)
  }
})

t.test('a unit of another make is named by its LUN, whatever it calls itself', async (t) => {
  const { transport, unit } = setUp()
  unit.vendor = 'IET'
  t.match(await inspectUnit(transport, 7), { name: 'lun7' })
})

t.test('a name that could not be that of a file is not taken', async (t) => {
  const { transport, unit } = setUp()
  for (const name of ['', '.', '..', 'a/b', 'a b', 'a\0b']) {
    unit.pages.set(VpdPage.DeviceIdentification, namePage(name))
    t.match(await inspectUnit(transport, 1), { name: 'lun1' }, JSON.stringify(name))
  }
})

t.test('a simple unit needs neither VPD nor mode pages', async (t) => {
  const { transport, unit } = setUp()
  unit.pages.clear()
  unit.mode = null
  t.match(await inspectUnit(transport, 2), {
    name: 'lun2',
    readOnly: false,
    volatileCache: true,
    transferBlocksMax: 0,
  })
})

t.test('mode pages tell of write protection and caches', async (t) => {
  const { transport, unit } = setUp()
  unit.mode = encodeModeParameters6({
    writeProtected: true,
    dpoFua: true,
    pages: encodeCachingPage({ writeCacheEnabled: false, readCacheDisabled: false }),
  })
  t.match(await inspectUnit(transport, 0), { readOnly: true, volatileCache: false })
})

t.test('a connection that is lost is an error, not a unit without pages', async (t) => {
  const { transport, answer } = setUp()
  transport.answer = (task) => {
    if (task.cdb[0] === Opcode.ModeSense6) endError(task, new Error('connection lost'))
    else answer(task)
  }
  await t.rejects(inspectUnit(transport, 0), /MODE SENSE\(6\): connection lost/)
})

t.test('blocks of a size that cannot be are refused', async (t) => {
  const { transport, unit } = setUp()
  for (const blockSizeBytes of [0, 256, 520, 1000]) {
    unit.capacity = capacity(10, blockSizeBytes)
    await t.rejects(inspectUnit(transport, 0), /wanted 512, 1024/)
  }
})

t.test('a list of LUNs that is longer than the room for it is asked for again', async (t) => {
  const transport = new FakeTransport()
  const units = new Map([0, 3].map((lun) => [lun, scriptedUnit('scratch')]))
  transport.answer = (task) => answerFrom(units, task)
  t.strictSame(await listLuns(transport), [0, 3])
  const many = Array.from({ length: 2000 }, (_, index) => index)
  units.clear()
  for (const lun of many) units.set(lun, scriptedUnit('scratch'))
  transport.executed = 0
  t.strictSame(await listLuns(transport), many)
  t.equal(transport.executed, 2)
})

/** One unit, at whatever LUN it is asked. */
function setUp() {
  const unit = scriptedUnit('scratch')
  const transport = new FakeTransport()
  const anywhere = { get: () => unit, keys: () => [0] }
  const answer = (task: ScsiTask) => answerFrom(anywhere, task)
  transport.answer = answer
  return { unit, transport, answer }
}
