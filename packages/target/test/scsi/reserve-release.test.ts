import { encodeLun, LUN_LENGTH, Opcode } from '@platter/protocol/scsi'
import t from 'tap'
import { type Host, hosts } from '../support/reservation-run.ts'

const CONFLICT = 'status 24'
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const READ = [Opcode.Read10, 0, 0, 0, 0, 0, 0, 0, 1, 0]
const forms = [
  [[Opcode.Reserve6], [Opcode.Release6]],
  [[Opcode.Reserve10], [Opcode.Release10]],
] as const
const [RESERVE, RELEASE] = forms[0]

const lun0 = Buffer.alloc(LUN_LENGTH)
encodeLun(lun0, 0, 0)

t.test('a reserved unit is for one nexus, until that releases it', async (t) => {
  for (const [reserve, release] of forms) {
    const [a, b] = (await hosts('a', 'b')) as [Host, Host]
    for (let time = 0; time < 2; time += 1) t.equal(await a.exec(reserve), 'GOOD')
    t.equal(await b.exec(reserve), CONFLICT)
    for (const cdb of [TEST_UNIT_READY, READ]) {
      t.equal(await a.exec(cdb), 'GOOD')
      t.equal(await b.exec(cdb), CONFLICT)
    }
    t.equal(await b.exec([Opcode.Inquiry, 0, 0, 0, 96, 0]), 'GOOD')
    t.equal(await b.exec([Opcode.ReportLuns, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]), 'GOOD')
    t.equal(await b.exec([Opcode.RequestSense, 0, 0, 0, 18, 0]), 'GOOD')
    t.equal(await b.exec(release), 'GOOD', 'it had nothing to release')
    t.equal(await b.exec(READ), CONFLICT)
    t.equal(await a.exec(release), 'GOOD')
    t.equal(await b.exec(READ), 'GOOD')
  }
})

t.test('the loss of its nexus, and resets, release what it reserved', async (t) => {
  const resets: ((a: Host, b: Host) => void)[] = [
    (a) => a.server.closeNexus(a.nexus),
    (_, b) => void b.server.resetLogicalUnit(b.nexus, lun0),
    (_, b) => void b.server.resetTarget(b.nexus),
  ]
  for (const reset of resets) {
    const [a, b] = (await hosts('a', 'b')) as [Host, Host]
    await a.exec(RESERVE)
    b.server.closeNexus(b.server.openNexus('iqn.2024-01.org.example:c,i,0x1'))
    t.equal(await b.exec(READ), CONFLICT)
    reset(a, b)
    // What the reset has to tell comes first.
    await b.exec([0])
    t.equal(await b.exec(READ), 'GOOD')
  }
})

t.test('what is reserved persistently outlives resets', async (t) => {
  const [a, b] = (await hosts('a', 'b')) as [Host, Host]
  await a.out('Register', { newKey: 1n })
  await a.out('Reserve', { key: 1n, type: 3 })
  b.server.resetLogicalUnit(b.nexus, lun0)
  b.server.resetTarget(b.nexus)
  t.equal(await b.exec([0]), '06/29/03')
  t.equal(await b.exec(READ), CONFLICT)
})

t.test('RESERVE and persistent reservations exclude each other', async (t) => {
  const [a, b] = (await hosts('a', 'b')) as [Host, Host]
  await a.exec(RESERVE)
  for (const host of [a, b]) {
    t.equal(await host.out('Register', { newKey: 1n }), CONFLICT)
    t.equal(await host.exec([Opcode.PersistentReserveIn, 0, 0, 0, 0, 0, 0, 0, 8, 0]), CONFLICT)
  }
  await a.exec(RELEASE)
  await a.out('Register', { newKey: 1n })
  for (const cdb of [RESERVE, RELEASE]) {
    t.equal(await a.exec(cdb), CONFLICT, 'registered, but nothing is reserved')
  }
  await a.out('Reserve', { key: 1n, type: 1 })
  for (const cdb of [RESERVE, RELEASE]) {
    t.equal(await a.exec(cdb), 'GOOD', 'the holder has what it wants')
    t.equal(await b.exec(cdb), CONFLICT)
  }
  t.same(await b.held(), [1n, 1], 'and nothing has changed')
  await a.out('Release', { key: 1n, type: 1 })
  await a.out('Reserve', { key: 1n, type: 5 })
  await b.out('Register', { newKey: 2n })
  t.equal(await b.exec(RESERVE), 'GOOD', 'registrants only, and it is one')
})

t.test('extents and third parties are refused', async (t) => {
  const [a] = (await hosts('a')) as [Host]
  for (const opcode of [RESERVE[0], RELEASE[0]]) {
    for (const flags of [0x01, 0x10, 0x11]) {
      t.equal(await a.exec([opcode, flags, 0, 0, 0, 0]), '05/24/00')
    }
  }
})
