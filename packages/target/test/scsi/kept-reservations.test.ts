import {
  decodeReservationCapabilities,
  encodeMoveParameters,
  encodeTransportId,
  Opcode,
  ReservationType,
} from '@platter/protocol/scsi'
import t from 'tap'
import type { KeptReservations, ReservationKeeper } from '../../src/scsi/kept-reservations.ts'
import { type IoCompletion, VolumeError } from '../../src/volume/volume.ts'
import { Host, makeUnit } from '../support/reservation-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const CONFLICT = 'status 24'
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const READ = [Opcode.Read10, 0, 0, 0, 0, 0, 0, 0, 1, 0]

/** A keeper that holds its answers back. */
function makeKeeper(kept: KeptReservations | null = null) {
  const calls: { reservations: KeptReservations | null; answer: IoCompletion }[] = []
  const keeper: ReservationKeeper = {
    kept,
    keep: (reservations, answer) => calls.push({ reservations, answer }),
  }
  return { keeper, calls }
}

async function keptHosts(keeper: ReservationKeeper): Promise<[Host, Host]> {
  const server = new ShownUnits()
  server.addUnit(0, makeUnit(keeper))
  const all = [new Host(server, 'a'), new Host(server, 'b')] as [Host, Host]
  for (const host of all) await host.exec(TEST_UNIT_READY)
  return all
}

t.test('with APTPL, GOOD waits until registrations and reservation are kept', async (t) => {
  const { keeper, calls } = makeKeeper()
  const [a, b] = await keptHosts(keeper)
  const capabilities = async () => decodeReservationCapabilities(await a.in('ReportCapabilities'))
  t.match(await capabilities(), { persistThroughPowerLoss: true, persistActive: false })
  const out = async (host: Host, ...said: Parameters<Host['out']>) => {
    let answered = false
    const answer = host.out(...said).finally(() => {
      answered = true
    })
    while (calls.length === 0) await new Promise(setImmediate)
    t.equal(answered, false, `${said[0]} waits`)
    const { reservations, answer: done } = calls.shift() as (typeof calls)[number]
    done.ioCompleted(null)
    t.equal(await answer, 'GOOD')
    return reservations
  }
  const initiatorPort = a.nexus.initiatorPort
  const registration = { initiatorPort, key: 1n, allTargetPorts: false }
  t.same(await out(a, 'Register', { newKey: 1n, aptpl: true }), {
    registrations: [registration],
    reservation: null,
  })
  t.match(await capabilities(), { persistActive: true })
  const held = { registrations: [registration], reservation: { type: 3, holder: initiatorPort } }
  t.same(await out(a, 'Reserve', { key: 1n, type: 3 }), held)
  t.same(await out(a, 'Register', { key: 1n, newKey: 1n }), null, 'APTPL=0: nothing is kept')
  t.match(await capabilities(), { persistActive: false })
  t.equal(await a.out('Release', { key: 1n, type: 3 }), 'GOOD', 'it has nothing to wait for')
  t.same(await out(b, 'Register', { newKey: 2n, aptpl: true }), {
    registrations: [
      registration,
      { ...registration, initiatorPort: b.nexus.initiatorPort, key: 2n },
    ],
    reservation: null,
  })
  t.match(await out(b, 'PreemptAndAbort', { key: 2n, newKey: 1n }), {
    registrations: [{ key: 2n }],
  })
  t.same(await out(b, 'Clear', { key: 2n }), null)
})

t.test('REGISTER AND MOVE says itself whether what it moves is kept', async (t) => {
  for (const persistThroughPowerLoss of [true, false]) {
    const { keeper, calls } = makeKeeper()
    const [a, b] = await keptHosts(keeper)
    const kept = async (answer: Promise<string>) => {
      while (calls.length === 0) await new Promise(setImmediate)
      const { reservations, answer: done } = calls.shift() as (typeof calls)[number]
      done.ioCompleted(null)
      t.equal(await answer, 'GOOD')
      return reservations
    }
    await kept(a.out('Register', { newKey: 1n, aptpl: true }))
    await kept(a.out('Reserve', { key: 1n, type: 3 }))
    const list = encodeMoveParameters({
      reservationKey: 1n,
      serviceActionReservationKey: 2n,
      unregister: true,
      persistThroughPowerLoss,
      relativeTargetPort: 1,
      transportId: encodeTransportId(b.nexus.initiatorPort),
    })
    const holder = b.nexus.initiatorPort
    const moved = await kept(a.out('RegisterAndMove', { list }))
    if (persistThroughPowerLoss) {
      t.match(moved, {
        registrations: [{ initiatorPort: holder, key: 2n }],
        reservation: { type: 3, holder },
      })
      t.equal(moved?.registrations.length, 1)
    } else t.equal(moved, null, 'nothing is kept any more')
    t.same(await b.held(), [2n, 3])
  }
})

t.test('what cannot be kept is not GOOD', async (t) => {
  const { keeper, calls } = makeKeeper()
  const [a] = await keptHosts(keeper)
  const answer = a.out('Register', { newKey: 1n, aptpl: true })
  while (calls.length === 0) await new Promise(setImmediate)
  calls[0]?.answer.ioCompleted(new VolumeError('write', 'file', 0, new Error('EIO')))
  t.equal(await answer, '04/44/00')
})

t.test('what was kept is in force from the start, and every host hears of power on', async (t) => {
  const port = (name: string) => `iqn.2024-01.org.example:${name},i,0x400000010000`
  const kept: KeptReservations = {
    registrations: [{ initiatorPort: port('a'), key: 1n, allTargetPorts: true }],
    reservation: { type: ReservationType.ExclusiveAccess, holder: port('a') },
  }
  const server = new ShownUnits()
  server.addUnit(0, makeUnit(makeKeeper(kept).keeper))
  const [a, b] = [new Host(server, 'a'), new Host(server, 'b')]
  for (const host of [a, b]) {
    t.equal(await host.exec(TEST_UNIT_READY), '06/29/00')
    t.equal(await host.exec(TEST_UNIT_READY), 'GOOD')
  }
  t.equal(await b.exec(READ), CONFLICT)
  t.equal(await a.exec(READ), 'GOOD')
  t.same(await b.held(), [1n, 3])
  t.same(await b.keys(), [0, 1n], 'the generation counts from power on')
  t.match(decodeReservationCapabilities(await b.in('ReportCapabilities')), { persistActive: true })
})
