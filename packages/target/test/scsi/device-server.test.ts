import {
  decodeCapacity10,
  decodeCapacity16,
  decodeLunList,
  decodeSense,
  decodeStandardInquiry,
  decodeTaskFunctions,
  encodeBlockCdb,
  encodeInquiryCdb,
  encodeLun,
  encodeReadCapacity10Cdb,
  encodeReadCapacity16Cdb,
  encodeReportFunctionsCdb,
  encodeReportLunsCdb,
  encodeRequestSenseCdb,
  LUN_LENGTH,
  Opcode,
  Peripheral,
} from '@platter/protocol/scsi'
import t from 'tap'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { Nexus } from '../../src/scsi/scsi-task.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { FakeTask, type Outcome } from '../support/fake-task.ts'
import { nexusTransport } from '../support/nexus-transport.ts'
import { beginTask, cdbOf, run, verdict } from '../support/scsi-run.ts'
import { ShownUnits, viewOf } from '../support/shown-units.ts'

const BLOCK = 512
const CAPACITY = 4096

function makeUnit(index: number): LogicalUnit {
  return new LogicalUnit({
    volume: new MemoryVolume(`array/p${index}`, CAPACITY * BLOCK, BLOCK),
    uuid: `7b2d6f0a-5d0e-4c8f-9a11-00000000000${index}`,
    name: `p${index}`,
  })
}

const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]

/** A server with units at LUNs 0 and 7, and a nexus that has already heard of their power on. */
async function start(): Promise<{
  server: ShownUnits
  nexus: Nexus
  exec: (cdb: ArrayLike<number>, lun?: number | Buffer) => Promise<Outcome>
}> {
  const server = new ShownUnits()
  server.addUnit(0, makeUnit(0))
  server.addUnit(7, makeUnit(7))
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1')
  await ready(server, nexus)
  return { server, nexus, exec: (cdb, lun = 0) => run(server, { nexus, lun, cdb }) }
}

async function ready(server: DeviceServer, nexus: Nexus): Promise<void> {
  for (const lun of [0, 7]) await run(server, { nexus, lun, cdb: TEST_UNIT_READY })
}

const inquiryCdb = (allocationLength = 255): Buffer =>
  cdbOf((cdb, at) =>
    encodeInquiryCdb(cdb, at, { vitalProductData: false, pageCode: 0, allocationLength }),
  )
const reportLunsCdb = (selectReport = 0, allocationLength = 4096): Buffer =>
  cdbOf((cdb, at) => encodeReportLunsCdb(cdb, at, { selectReport, allocationLength }))
const requestSenseCdb = cdbOf((cdb, at) =>
  encodeRequestSenseCdb(cdb, at, { descriptorFormat: false, allocationLength: 252 }),
)

t.test(
  'a new nexus is told of power on once per unit, but not by INQUIRY and its like',
  async (t) => {
    const { server } = await start()
    const nexus = server.openNexus('iqn.2024-01.org.example:b,i,0x2')
    for (const cdb of [inquiryCdb(), reportLunsCdb()]) {
      t.equal(verdict(await run(server, { nexus, cdb })), 'GOOD')
    }
    t.equal(verdict(await run(server, { nexus, cdb: TEST_UNIT_READY })), '06/29/00')
    t.equal(verdict(await run(server, { nexus, cdb: TEST_UNIT_READY })), 'GOOD')
    const sense = await run(server, { nexus, lun: 7, cdb: requestSenseCdb })
    t.equal(verdict({ status: 2, sense: sense.data as Buffer }), '06/29/00', 'as parameter data')
    t.equal(verdict(await run(server, { nexus, lun: 7, cdb: TEST_UNIT_READY })), 'GOOD')
  },
)

t.test('a unit attention is fenced: no response overtakes it, and it overtakes none', async (t) => {
  const { server, nexus } = await start()
  server.resetLogicalUnit(nexus, Buffer.alloc(8))
  for (const isFenced of [true, false]) {
    const task = beginTask(server, { nexus, lun: 0, cdb: TEST_UNIT_READY })
    await task.outcome
    t.equal(task.isFenced, isFenced)
  }
})

t.test(
  'a pending unit attention is reported in place of an error the command would have',
  async (t) => {
    const { server } = await start()
    const nexus = server.openNexus('iqn.2024-01.org.example:b,i,0x2')
    t.equal(verdict(await run(server, { nexus, cdb: [0xc7] })), '06/29/00')
    t.equal(verdict(await run(server, { nexus, cdb: [0xc7] })), '05/20/00')
  },
)

t.test('a LUN without a unit answers INQUIRY, REPORT LUNS and REQUEST SENSE only', async (t) => {
  const { exec } = await start()
  const wellKnown = Buffer.from([0xc1, 0x01, 0, 0, 0, 0, 0, 0])
  for (const lun of [3, wellKnown]) {
    const inquiry = decodeStandardInquiry((await exec(inquiryCdb(), lun)).data as Buffer)
    t.equal(inquiry.peripheral, Peripheral.Unsupported)
    t.same(decodeLunList((await exec(reportLunsCdb(), lun)).data as Buffer).luns, [0, 7])
    const sense = (await exec(requestSenseCdb, lun)).data as Buffer
    t.equal(verdict({ status: 2, sense }), '05/25/00')
    t.equal(verdict(await exec(TEST_UNIT_READY, lun)), '05/25/00')
    t.equal(verdict(await exec([0xc7], lun)), '05/25/00')
  }
})

t.test(
  'REPORT LUNS lists what the nexus sees, whole in its length however short the room',
  async (t) => {
    const { exec } = await start()
    const short = (await exec(reportLunsCdb(0, 16))).data as Buffer
    t.equal(short.length, 16)
    t.equal(decodeLunList(short).length, 8 + 2 * LUN_LENGTH)
    t.same(decodeLunList((await exec(reportLunsCdb(2))).data as Buffer).luns, [0, 7])
    t.same(decodeLunList((await exec(reportLunsCdb(1))).data as Buffer).luns, [])
    t.equal(verdict(await exec(reportLunsCdb(3))), '05/24/00')
    t.equal(verdict(await exec(reportLunsCdb(0, 15))), '05/24/00')
  },
)

t.test('each initiator port sees its own map, and hears when it changes', async (t) => {
  const [a, b, c] = [makeUnit(1), makeUnit(2), makeUnit(3)]
  const maps = new Map([
    ['a', new Map([[0, a]])],
    ['b', new Map([[0, b]])],
  ])
  const server = new DeviceServer((port) => viewOf(maps.get(port) ?? []))
  const [nexusA, nexusB, stranger] = ['a', 'b', 'x'].map((port) => server.openNexus(port))
  if (!nexusA || !nexusB || !stranger) throw new Error('no nexus')
  await ready(server, nexusA)
  await ready(server, nexusB)
  t.equal(verdict(await run(server, { nexus: stranger, cdb: TEST_UNIT_READY })), '05/25/00')

  const mapA = maps.get('a') as Map<number, LogicalUnit>
  mapA.set(5, c)
  server.viewsChanged(() => {})
  t.equal(verdict(await run(server, { nexus: nexusB, cdb: TEST_UNIT_READY })), 'GOOD')
  t.equal(verdict(await run(server, { nexus: nexusA, cdb: TEST_UNIT_READY })), '06/3F/0E')
  t.equal(verdict(await run(server, { nexus: nexusA, lun: 5, cdb: TEST_UNIT_READY })), '06/29/00')

  mapA.delete(5)
  server.viewsChanged(() => {})
  await run(server, { nexus: nexusA, cdb: reportLunsCdb() })
  t.equal(
    verdict(await run(server, { nexus: nexusA, cdb: TEST_UNIT_READY })),
    'GOOD',
    'REPORT LUNS has told it already',
  )
  t.equal(verdict(await run(server, { nexus: nexusA, lun: 5, cdb: TEST_UNIT_READY })), '05/25/00')
})

t.test('units that come and go are told of, and a far LUN is one too', async (t) => {
  const { server, exec } = await start()
  server.addUnit(300, makeUnit(3))
  t.equal(verdict(await exec(TEST_UNIT_READY, 0)), '06/3F/0E')
  t.equal(verdict(await exec(TEST_UNIT_READY, 300)), '06/29/00')
  t.same(decodeLunList((await exec(reportLunsCdb())).data as Buffer).luns, [0, 7, 300])
  server.removeUnit(300)
  t.equal(verdict(await exec(TEST_UNIT_READY, 300)), '05/25/00')
})

t.test('a task is for a unit whatever LUN its initiator port sees it at', async (t) => {
  const [a, b] = [makeUnit(1), makeUnit(2)]
  const maps = new Map([
    ['one', new Map([[0, a]])],
    [
      'two',
      new Map([
        [0, b],
        [5, a],
      ]),
    ],
  ])
  const server = new DeviceServer((port) => viewOf(maps.get(port) ?? []))
  const [one, two] = [server.openNexus('one'), server.openNexus('two')]
  const isForUnit = (lun: number, of: number) => {
    const bytes = Buffer.alloc(LUN_LENGTH)
    encodeLun(bytes, 0, of)
    return server.isForUnit(new FakeTask({ nexus: two, lun, cdb: TEST_UNIT_READY }), one, bytes)
  }
  t.notOk(isForUnit(0, 0), 'the same LUN, and another unit')
  t.ok(isForUnit(5, 0))
  t.notOk(isForUnit(5, 5), 'nothing is there')
})

t.test('events that an initiator did not cause are told to it at once', async (t) => {
  const { server } = await start()
  const told: string[] = []
  const transport = nexusTransport({
    reportEvent: (lun, sense) => {
      told.push(`${lun[1]} ${sense.toString('hex', 12, 14)}`)
    },
  })
  server.openNexus('iqn.2024-01.org.example:b,i,0x2', transport)
  t.same(told, [], 'power on is for it to find out')
  server.removeUnit(0)
  t.same(told, ['0 3f0e'], 'the list of LUNs has changed')
  const unit = makeUnit(3)
  server.addUnit(3, unit)
  server.capacityChanged(unit)
  t.same(told.slice(1), ['0 3f0e', '3 2a09'])
})

t.test('cleared tasks are told to those that lost them, and not to who cleared them', async (t) => {
  const { server, nexus, exec } = await start()
  const [other, third] = ['b,i,0x2', 'c,i,0x3'].map((port) => {
    return server.openNexus(`iqn.2024-01.org.example:${port}`)
  }) as [Nexus, Nexus]
  for (const each of [other, third]) await ready(server, each)
  const lun = Buffer.from([0, 7, 0, 0, 0, 0, 0, 0])
  t.ok(server.hasUnit(nexus, lun))
  server.taskSetCleared(nexus, lun, [nexus, other])
  t.equal(verdict(await exec(TEST_UNIT_READY, 7)), 'GOOD')
  t.equal(verdict(await run(server, { nexus: third, lun: 7, cdb: TEST_UNIT_READY })), 'GOOD')
  t.equal(verdict(await run(server, { nexus: other, lun: 0, cdb: TEST_UNIT_READY })), 'GOOD')
  t.equal(verdict(await run(server, { nexus: other, lun: 7, cdb: TEST_UNIT_READY })), '06/2F/00')
  t.equal(verdict(await run(server, { nexus: other, lun: 7, cdb: TEST_UNIT_READY })), 'GOOD')
  lun[1] = 3
  t.notOk(server.hasUnit(nexus, lun))
})

t.test('an event that a nexus was not told of can be asked about, and stays', async (t) => {
  const { server, nexus, exec } = await start()
  const lun = Buffer.from([0, 7, 0, 0, 0, 0, 0, 0])
  t.equal(server.pendingEvent(nexus, lun), undefined)
  server.resetLogicalUnit(nexus, lun)
  const reset = { senseKey: 6, additionalSenseCode: 0x29, additionalSenseCodeQualifier: 3 }
  t.match(server.pendingEvent(nexus, lun), { ...reset, more: false })
  server.taskSetCleared(server.openNexus('iqn.2024-01.org.example:b,i,0x2'), lun, [nexus])
  t.match(server.pendingEvent(nexus, lun), { ...reset, more: true })
  t.equal(verdict(await exec(TEST_UNIT_READY, 7)), '06/29/03')
  t.match(server.pendingEvent(nexus, lun), { additionalSenseCode: 0x2f, more: false })
  lun[1] = 3
  t.equal(server.pendingEvent(nexus, lun), undefined)
})

t.test('queries and the reset of a nexus are told as supported where they are', async (t) => {
  const { server } = await start()
  const cdb = cdbOf((bytes, at) =>
    encodeReportFunctionsCdb(bytes, at, { extended: false, allocationLength: 4 }),
  )
  for (const answersQueries of [false, true]) {
    const transport = nexusTransport({ answersQueries })
    const nexus = server.openNexus('iqn.2024-01.org.example:b,i,0x2', transport)
    await ready(server, nexus)
    const { data } = await run(server, { nexus, lun: 0, cdb })
    t.equal(decodeTaskFunctions(data as Buffer), answersQueries ? 0xde07 : 0xda00)
    server.closeNexus(nexus)
  }
})

t.test('a task that ends with its connection is told of, on its unit (47h/7Fh)', async (t) => {
  const { server, nexus, exec } = await start()
  const task = new FakeTask({ nexus, lun: 7, cdb: TEST_UNIT_READY })
  server.execute(task)
  server.connectionLost(task)
  t.equal(verdict(await exec(TEST_UNIT_READY, 0)), 'GOOD')
  t.equal(verdict(await exec(TEST_UNIT_READY, 7)), '06/47/7F')
  t.equal(verdict(await exec(TEST_UNIT_READY, 7)), 'GOOD')
})

t.test('a reset is told to every nexus of that unit, and only to them', async (t) => {
  const { server, nexus, exec } = await start()
  const other = server.openNexus('iqn.2024-01.org.example:b,i,0x2')
  const closed = server.openNexus('iqn.2024-01.org.example:c,i,0x3')
  await ready(server, other)
  server.closeNexus(closed)
  const lun = Buffer.from([0, 7, 0, 0, 0, 0, 0, 0])
  t.equal(server.resetLogicalUnit(nexus, lun), 'complete')
  t.equal(server.resetLogicalUnit(nexus, lun), 'complete')
  t.equal(verdict(await exec(TEST_UNIT_READY, 7)), '06/29/03', 'and to who asked for it')
  t.equal(verdict(await exec(TEST_UNIT_READY, 7)), 'GOOD')
  t.equal(verdict(await run(server, { nexus: other, lun: 0, cdb: TEST_UNIT_READY })), 'GOOD')
  t.equal(verdict(await run(server, { nexus: other, lun: 7, cdb: TEST_UNIT_READY })), '06/29/03')
  t.equal(verdict(await run(server, { nexus: other, lun: 7, cdb: TEST_UNIT_READY })), 'GOOD')
  lun[1] = 3
  t.equal(server.resetLogicalUnit(nexus, lun), 'lun-does-not-exist')
  t.equal(server.resetTarget(nexus), 'complete')
  for (const at of [0, 7]) {
    const outcome = await run(server, { nexus: other, lun: at, cdb: TEST_UNIT_READY })
    t.equal(verdict(outcome), '06/29/03')
    t.equal(verdict(await exec(TEST_UNIT_READY, at)), '06/29/03')
    t.equal(verdict(await exec(TEST_UNIT_READY, at)), 'GOOD')
  }
})

t.test('READ CAPACITY gives the last LBA, and a grown volume is told of', async (t) => {
  const server = new ShownUnits()
  const volume = new MemoryVolume('big', 8 * BLOCK, BLOCK)
  const growing = { sizeBytes: volume.sizeBytes }
  const unit = new LogicalUnit({
    volume: new Proxy(volume, {
      get: (target, key) => (key === 'sizeBytes' ? growing.sizeBytes : Reflect.get(target, key)),
    }),
    uuid: '7b2d6f0a-5d0e-4c8f-9a11-000000000001',
    name: 'big',
    physicalBlockExponent: 3,
  })
  server.addUnit(0, unit)
  const nexus = server.openNexus('a')
  await ready(server, nexus)
  const ten = (): Promise<Outcome> => run(server, { nexus, cdb: cdbOf(encodeReadCapacity10Cdb) })
  const sixteen = (): Promise<Outcome> =>
    run(server, { nexus, cdb: cdbOf(encodeReadCapacity16Cdb) })
  t.same(decodeCapacity10((await ten()).data as Buffer), { lastLba: 7, blockSizeBytes: BLOCK })

  growing.sizeBytes = 3 * 1024 ** 4 + 100
  t.equal(
    decodeCapacity10((await ten()).data as Buffer).lastLba,
    7,
    'until the server takes it over',
  )
  server.capacityChanged(unit)
  t.equal(verdict(await ten()), '06/2A/09')
  t.equal(decodeCapacity10((await ten()).data as Buffer).lastLba, 0xffffffff)
  t.match(decodeCapacity16((await sixteen()).data as Buffer), {
    lastLba: 6 * 1024 ** 3 - 1,
    blockSizeBytes: BLOCK,
    physicalBlockExponent: 3,
    provisioningManaged: true,
    readsZeros: true,
  })
  const cdb = cdbOf((cdb, at) => encodeReadCapacity16Cdb(cdb, at, 12))
  t.equal((await run(server, { nexus, cdb })).data?.length, 12)
})

t.test('NACA is refused wherever CONTROL is', async (t) => {
  const { exec } = await start()
  const lengths: [number, number][] = [
    [Opcode.TestUnitReady, 6],
    [Opcode.Read10, 10],
    [Opcode.Read12, 12],
    [Opcode.Read16, 16],
  ]
  for (const [opcode, length] of lengths) {
    const cdb = Buffer.alloc(16)
    cdb[0] = opcode
    cdb[length - 1] = 0x04
    const outcome = await exec(cdb)
    t.equal(verdict(outcome), '05/24/00')
    t.same(decodeSense(outcome.sense as Buffer).cdbField, { byte: length - 1, bit: 2 })
  }
})

t.test('unknown operation codes and service actions are refused, every one', async (t) => {
  const { exec } = await start()
  t.equal(verdict(await exec([0xff])), '05/20/00')
  t.equal(verdict(await exec([Opcode.ServiceActionIn16, 0x1f])), '05/24/00')
  t.equal(verdict(await exec([Opcode.MaintenanceIn, 0x01])), '05/24/00')
})

t.test('a task aborted in any state is not touched again', async (t) => {
  const { server, nexus } = await start()
  const cdb = cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.SynchronizeCache10, 0, 0))
  const task = new FakeTask({ nexus, cdb })
  server.execute(task)
  t.equal(task.pendingIo, 1)
  task.abort()
  server.aborted(task)
  server.aborted(new FakeTask({ nexus, cdb }))
  while (task.pendingIo > 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(task.ended, null)
})
