import {
  encodeReserveParameters,
  encodeTransportIdList,
  Opcode,
  ReservationType,
} from '@platter/protocol/scsi'
import fc from 'fast-check'
import t from 'tap'
import { commands } from '../../src/scsi/command-table.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { NexusTransport } from '../../src/scsi/scsi-task.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { FakeTask } from '../support/fake-task.ts'
import { nexusTransport } from '../support/nexus-transport.ts'
import { Host } from '../support/reservation-run.ts'
import { run, verdict } from '../support/scsi-run.ts'
import { viewOf } from '../support/shown-units.ts'

const BLOCK = 512
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const READ = [Opcode.Read10, 0, 0, 0, 0, 0, 0, 0, 1, 0]
const CONFLICT = 'status 24'

function makeUnit(digit: number): { unit: LogicalUnit; volume: MemoryVolume } {
  const volume = new MemoryVolume(`p${digit}`, 64 * BLOCK, BLOCK)
  const uuid = `7b2d6f0a-5d0e-4c8f-9a11-00000000000${digit}`
  return { unit: new LogicalUnit({ volume, uuid, name: `p${digit}` }), volume }
}

/** Hosts a and b see a unit at LUN 0, until `see` says otherwise. */
async function start(transport?: NexusTransport) {
  const { unit, volume } = makeUnit(1)
  const views = new Map([
    ['a', viewOf([[0, unit]])],
    ['b', viewOf([[0, unit]])],
  ])
  const nameOf = (port: string) => port.match(/:(\w+),/)?.[1] ?? ''
  const server = new DeviceServer((port) => views.get(nameOf(port)) ?? viewOf([]))
  const [a, b] = [new Host(server, 'a', transport), new Host(server, 'b')]
  for (const host of [a, b]) await host.exec(TEST_UNIT_READY)
  const see = (
    host: string,
    units: readonly [number, LogicalUnit][],
    readOnly: LogicalUnit[] = [],
  ) => {
    views.set(host, viewOf(units, readOnly))
    return new Promise<void>((resolve) => server.viewsChanged(resolve))
  }
  return { server, unit, volume, a, b, see }
}

t.test('no command writes by a nexus to which the unit is read-only', async (t) => {
  const { server, unit, volume, a, see } = await start()
  await see('a', [[0, unit]], [unit])
  t.equal(await a.exec(TEST_UNIT_READY), '06/2A/01', 'the mode parameter header has changed')
  const content = Buffer.alloc(64 * BLOCK, 'content')
  volume.writeNow(0, content, 0, content.length)
  const seed = fc.sample(fc.integer(), 1)[0] as number
  t.comment(`seed ${seed}`)
  const samples = fc.sample(fc.uint8Array({ minLength: 16, maxLength: 16 }), {
    numRuns: 40,
    seed,
  })
  let refused = 0
  for (const { usage, name, effect, serviceAction } of commands) {
    for (const bytes of samples) {
      // LBAs and lengths are small and CONTROL is 0, so that most CDBs are sound.
      const cdb = Buffer.from(usage.map((mask, at) => (mask & (bytes[at] ?? 0)) % 8))
      cdb[0] = usage[0] as number
      cdb[1] = ((usage[1] ?? 0) & (bytes[1] ?? 0) & 0xe0) | (serviceAction ?? 0)
      cdb[usage.length - 1] = 0
      const dataOut = Buffer.alloc(BLOCK, bytes[0])
      const outcome = await run(server, { nexus: a.nexus, cdb, dataOut })
      if (effect === 'none') continue
      t.equal(verdict(outcome), '07/27/00', name)
      refused++
    }
  }
  t.ok(refused > 400, `${refused} were refused`)
  const after = Buffer.alloc(content.length)
  volume.readNow(0, after, 0, after.length)
  t.ok(after.equals(content), 'nothing was written')
  t.equal(unit.softwareWriteProtect, false)
  t.equal(unit.reservations.isReserved, false)
  t.equal(await a.exec(READ), 'GOOD')
})

t.test('what a nexus has in progress ends when it may not do it any more', async (t) => {
  const tasks: FakeTask[] = []
  const senses: string[] = []
  const transport = nexusTransport({
    failTasks: (senseOf, done) => {
      for (const task of tasks) {
        const sense = senseOf(task)
        senses.push(sense === null ? 'goes on' : verdict({ status: 2, sense }))
      }
      done()
    },
  })
  const { server, unit, a, see } = await start(transport)
  const other = makeUnit(2).unit
  await see('a', [
    [0, unit],
    [1, other],
  ])
  for (const lun of [0, 1]) await run(server, { nexus: a.nexus, lun, cdb: TEST_UNIT_READY })
  await run(server, { nexus: a.nexus, lun: 0, cdb: TEST_UNIT_READY })
  for (const [lun, cdb] of [
    [0, READ],
    [0, [Opcode.Write10, 0, 0, 0, 0, 0, 0, 0, 1, 0]],
    [1, READ],
  ] as const) {
    const task = new FakeTask({ nexus: a.nexus, lun, cdb, dataOut: Buffer.alloc(BLOCK) })
    tasks.push(task)
    server.execute(task)
  }
  senses.length = 0
  await see(
    'a',
    [
      [0, unit],
      [1, other],
    ],
    [unit],
  )
  t.same(senses, ['goes on', '07/27/00', 'goes on'], 'a read goes on, a write does not')
  senses.length = 0
  await see('a', [[1, other]])
  t.same(senses, ['05/25/00', '05/25/00', 'goes on'])
})

t.test(
  'with a unit go the reservations and registrations of who does not see it any more',
  async (t) => {
    const { server, unit, a, b, see } = await start()
    t.equal(await a.out('Register', { newKey: 1n }), 'GOOD')
    t.equal(await b.out('Register', { newKey: 2n }), 'GOOD')
    const type = ReservationType.WriteExclusiveRegistrantsOnly
    t.equal(await a.out('Reserve', { key: 1n, type }), 'GOOD')
    await see('a', [])
    await new Promise<void>((resolve) => server.endForeignReservations(unit, resolve))
    t.same(await b.keys().catch(String), 'Error: no data', 'it is told first')
    t.same((await b.keys()).slice(1), [2n])
    t.equal(await b.held(), undefined)
    t.equal(await a.exec(TEST_UNIT_READY), '05/25/00')

    await see('a', [[0, unit]])
    await a.exec(TEST_UNIT_READY)
    t.equal(await b.out('Clear', { key: 2n }), 'GOOD')
    t.equal(await a.exec([Opcode.Reserve6, 0, 0, 0, 0, 0]), 'GOOD')
    t.equal(await b.exec(READ), CONFLICT)
    await see('a', [])
    await new Promise<void>((resolve) => server.endForeignReservations(unit, resolve))
    t.equal(await b.exec(READ), 'GOOD')
  },
)

t.test('a port that does not see the unit can be registered by nobody else either', async (t) => {
  const { a, see } = await start()
  await see('b', [])
  const ids = encodeTransportIdList(['iqn.2024-01.org.example:b,i,0x400000010000'])
  const header = encodeReserveParameters({
    reservationKey: 0n,
    serviceActionReservationKey: 7n,
    specifyInitiatorPorts: true,
    allTargetPorts: false,
    persistThroughPowerLoss: false,
  })
  t.equal(await a.out('Register', { list: Buffer.concat([header, ids]) }), '05/26/00')
  t.same((await a.keys()).slice(1), [])
})
