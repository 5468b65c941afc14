import { capacityChangedUnitAttention, VpdPage } from '@platter/protocol/scsi'
import t, { type Test } from 'tap'
import { type PartitionChange, Partitions } from '../../src/block/partitions.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { endSense, FakeTransport } from '../support/fake-transport.ts'
import {
  answerFrom,
  capacity,
  namePage,
  type ScriptedUnit,
  scriptedUnit,
} from '../support/scripted-unit.ts'

t.test('each disk is a device, in the order of the LUNs and by a name of its own', async (t) => {
  const { partitions } = await setUp(t, { 3: 'data', 0: 'data', 1: 'logs' })
  t.strictSame(namesOf(partitions), ['data', 'logs', 'data.lun3'])
})

t.test('what comes, goes and grows is told, and seen', async (t) => {
  const { partitions, units, next } = await setUp(t, { 0: 'data', 1: 'logs' })
  const [data] = partitions.devices
  units.set(2, scriptedUnit('new'))
  units.delete(1)
  partitions.look()
  t.match(await next(), { kind: 'removed', device: { name: 'logs' } })
  t.match(await next(), { kind: 'added', device: { name: 'new' } })
  t.strictSame(namesOf(partitions), ['data', 'new'])
  unitAt(units, 0).capacity = capacity(5000, 4096)
  partitions.look()
  const resized = await next()
  t.equal(resized.kind, 'resized')
  t.equal(resized.device, data, 'who has it open goes on')
  t.equal(data?.sizeBytes, 5000 * 4096)
})

t.test('another disk at the same LUN is another device', async (t) => {
  const { partitions, units, next } = await setUp(t, { 0: 'data' })
  const [data] = partitions.devices
  unitAt(units, 0).pages.set(VpdPage.DeviceIdentification, namePage('other'))
  partitions.look()
  t.match(await next(), { kind: 'removed', device: data })
  t.match(await next(), { kind: 'added', device: { name: 'other' } })
})

t.test('a unit attention has it look', async (t) => {
  const { partitions, transport, units, next, answer } = await setUp(t, { 0: 'data' })
  units.set(1, scriptedUnit('new'))
  transport.answer = (task) => {
    transport.answer = answer
    endSense(task, capacityChangedUnitAttention)
  }
  const [data] = partitions.devices
  data?.read(0, Buffer.alloc(4096), 0, 4096, () => {})
  t.match(await next(), { kind: 'added', device: { name: 'new' } })
})

t.test('what is said while it looks has it look again', async (t) => {
  const { partitions, transport, units, next, answer } = await setUp(t, { 0: 'data' })
  let told = false
  transport.answer = (task) => {
    answer(task)
    if (told) return
    told = true
    units.set(1, scriptedUnit('new'))
    partitions.look()
  }
  partitions.look()
  t.match(await next(), { kind: 'added', device: { name: 'new' } })
})

t.test('a target that does not answer keeps what was known of it', async (t) => {
  const { partitions, transport, units, next, answer } = await setUp(t, { 0: 'data' })
  units.clear()
  let failed = 0
  transport.answer = (task) => {
    failed += 1
    task.error = new Error('connection lost')
    task.done(task)
  }
  partitions.look()
  while (failed === 0) await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(namesOf(partitions), ['data'])
  transport.answer = answer
  partitions.look()
  t.match(await next(), { kind: 'removed', device: { name: 'data' } })
})

t.test('the iteration ends when it is closed', async (t) => {
  const { partitions, transport } = await setUp(t, { 0: 'data' })
  const changes = partitions.changes()
  partitions.close()
  t.strictSame(await changes.next(), { value: undefined, done: true })
  const before = transport.executed
  partitions.look()
  t.equal(transport.executed, before, 'nothing is asked any more')
})

async function setUp(t: Test, names: Readonly<Record<number, string>>) {
  const transport = new FakeTransport()
  const units = new Map(
    Object.entries(names).map(([lun, name]) => [Number(lun), scriptedUnit(name)]),
  )
  const answer = (task: ScsiTask) => answerFrom(units, task)
  transport.answer = answer
  const partitions = await Partitions.open({ transport, partBytes: () => 65536 })
  t.teardown(() => partitions.close())
  const changes = partitions.changes()
  const next = async (): Promise<PartitionChange> => (await changes.next()).value
  return { transport, units, partitions, answer, next }
}

function unitAt(units: ReadonlyMap<number, ScriptedUnit>, lun: number): ScriptedUnit {
  const unit = units.get(lun)
  if (unit === undefined) throw new Error(`there is no unit at LUN ${lun}`)
  return unit
}

function namesOf({ devices }: Partitions): string[] {
  return devices.map(({ name }) => name)
}
