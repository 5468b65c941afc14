import {
  decodeReservationCapabilities,
  encodeMoveParameters,
  encodeReserveParameters,
  encodeTransportId,
  encodeTransportIdList,
  Opcode,
  ReservationType,
} from '@platter/protocol/scsi'
import t from 'tap'
import { commands } from '../../src/scsi/command-table.ts'
import type { NexusTransport, ScsiTask } from '../../src/scsi/scsi-task.ts'
import { FakeTask } from '../support/fake-task.ts'
import { nexusTransport } from '../support/nexus-transport.ts'
import { Host, hosts } from '../support/reservation-run.ts'

const CONFLICT = 'status 24'
const TYPES = Object.values(ReservationType)
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const READ = [Opcode.Read10, 0, 0, 0, 0, 0, 0, 0, 1, 0]
const WRITE = [Opcode.Write10, 0, 0, 0, 0, 0, 0, 0, 1, 0]
const block = Buffer.alloc(512)

/** Hosts a (key 1) and b (key 2), registered, and c, which is not. */
async function registered(): Promise<[Host, Host, Host]> {
  const [a, b, c] = (await hosts('a', 'b', 'c')) as [Host, Host, Host]
  await a.out('Register', { newKey: 1n })
  await b.out('Register', { newKey: 2n })
  return [a, b, c]
}

t.test('a registration needs the key that is there, and counts the generation', async (t) => {
  const [a, b] = (await hosts('a', 'b')) as [Host, Host]
  t.same(await a.keys(), [0])
  t.equal(await a.out('Register', { key: 5n, newKey: 1n }), CONFLICT)
  t.equal(await a.out('Register', { newKey: 1n }), 'GOOD')
  t.equal(await a.out('Register', { newKey: 3n }), CONFLICT, 'it has one already')
  t.equal(await a.out('Register', { key: 1n, newKey: 3n }), 'GOOD')
  t.equal(await b.out('RegisterAndIgnoreExistingKey', { key: 77n, newKey: 3n }), 'GOOD')
  t.same(await b.keys(), [3, 3n, 3n])
  t.equal(await a.out('Register', { key: 3n, newKey: 0n }), 'GOOD')
  t.same(await b.keys(), [4, 3n])
  t.equal(await a.out('RegisterAndIgnoreExistingKey'), 'GOOD', 'nothing to end')
  t.equal(await a.out('Register'), 'GOOD')
  t.same(await b.keys(), [4, 3n])
})

t.test('registration and reservation outlast the session of their initiator port', async (t) => {
  const [a, b] = await registered()
  await a.out('Reserve', { key: 1n, type: 1 })
  a.server.closeNexus(a.nexus)
  t.equal(await b.exec(WRITE, block), CONFLICT)
  const again = new Host(a.server, 'a')
  t.equal(await again.exec(TEST_UNIT_READY), '06/29/00')
  t.equal(await again.exec(WRITE, block), 'GOOD')
  t.equal(await again.out('Release', { key: 1n, type: 1 }), 'GOOD')
})

t.test('each type lets through what its table says', async (t) => {
  for (const type of TYPES) {
    const [a, b, c] = await registered()
    t.equal(await a.out('Reserve', { key: 1n, type }), 'GOOD')
    const writeExclusive = type === 1 || type === 5 || type === 7
    const forRegistrants = type >= 5
    for (const cdb of [READ, WRITE]) t.equal(await a.exec(cdb, block), 'GOOD')
    t.equal(await b.exec(READ), writeExclusive || forRegistrants ? 'GOOD' : CONFLICT)
    t.equal(await b.exec(WRITE, block), forRegistrants ? 'GOOD' : CONFLICT)
    t.equal(await c.exec(READ), writeExclusive ? 'GOOD' : CONFLICT)
    t.equal(await c.exec(WRITE, block), CONFLICT)
    t.equal(await c.exec(TEST_UNIT_READY), 'GOOD')
    t.same(await c.held(), [type >= 7 ? 0n : 1n, type])
    t.equal(await c.out('Reserve', { type }), CONFLICT, 'not registered')
  }
})

t.test('what passes any reservation is not refused to anybody', async (t) => {
  const [a, , c] = await registered()
  await a.out('Reserve', { key: 1n, type: ReservationType.ExclusiveAccess })
  const passing = commands
    // RESERVE and RELEASE judge for themselves, see reserve-release.test.ts.
    .filter(({ access, name }) => access === 'nothing' && !/^(RESERVE|RELEASE)/.test(name))
    .map(({ usage, serviceAction }) => [usage[0] as number, serviceAction ?? 0])
  for (const [opcode = 0, serviceAction = 0] of passing) {
    const cdb = Buffer.alloc(16)
    cdb.set([opcode, serviceAction])
    t.not(await c.exec(cdb), CONFLICT)
  }
  t.equal(await c.exec([Opcode.PreventAllowMediumRemoval, 0, 0, 0, 0, 0]), 'GOOD')
  t.equal(await c.exec([Opcode.PreventAllowMediumRemoval, 0, 0, 0, 1, 0]), CONFLICT)
  t.equal(await c.exec([Opcode.ModeSense6, 0, 0x3f, 0, 255, 0]), CONFLICT)
  t.equal(await c.exec([Opcode.SynchronizeCache10]), CONFLICT)
})

t.test('RESERVE by a holder is GOOD again, but not with another type', async (t) => {
  const [a, b] = await registered()
  t.equal(await a.out('Reserve', { key: 9n, type: 1 }), CONFLICT, 'the key is another')
  t.equal(await a.out('Reserve', { key: 1n, type: 1 }), 'GOOD')
  t.equal(await a.out('Reserve', { key: 1n, type: 1 }), 'GOOD')
  t.equal(await a.out('Reserve', { key: 1n, type: 3 }), CONFLICT)
  t.equal(await b.out('Reserve', { key: 2n, type: 1 }), CONFLICT)
  t.equal(await a.out('Reserve', { key: 1n, type: 2 }), '05/24/00', 'no such type')
  t.equal(await a.out('Reserve', { key: 1n, type: 1, scope: 1 }), '05/24/00')
})

t.test('RELEASE tells other registrants if they lose by it', async (t) => {
  for (const type of TYPES) {
    const [a, b] = await registered()
    t.equal(await a.out('Release', { key: 1n, type }), 'GOOD', 'nothing is held')
    await a.out('Reserve', { key: 1n, type })
    if (type < 7) t.equal(await b.out('Release', { key: 2n, type }), 'GOOD', 'not its own')
    t.equal(await a.out('Release', { key: 1n, type: type === 1 ? 3 : 1 }), '05/26/04')
    t.ok(await b.held())
    t.equal(await a.out('Release', { key: 1n, type }), 'GOOD')
    t.equal(await b.exec(TEST_UNIT_READY), type >= 5 ? '06/2A/04' : 'GOOD')
    t.equal(await a.exec(TEST_UNIT_READY), 'GOOD')
    t.equal(await b.held(), undefined)
  }
})

t.test(
  'a holder that ends its registration releases; the last one of all registrants',
  async (t) => {
    for (const type of TYPES) {
      const [a, b] = await registered()
      await a.out('Reserve', { key: 1n, type })
      await a.out('Register', { key: 1n, newKey: 0n })
      t.equal(await b.exec(TEST_UNIT_READY), type === 5 || type === 6 ? '06/2A/04' : 'GOOD')
      t.same(await b.held(), type >= 7 ? [0n, type] : undefined)
      await b.out('Register', { key: 2n, newKey: 0n })
      t.equal(await b.held(), undefined)
    }
  },
)

t.test('CLEAR ends everything, and tells who was registered', async (t) => {
  const [a, b, c] = await registered()
  await a.out('Reserve', { key: 1n, type: 3 })
  t.equal(await c.out('Clear'), CONFLICT)
  t.equal(await b.out('Clear', { key: 2n }), 'GOOD')
  t.same(await b.keys(), [3])
  t.equal(await b.held(), undefined)
  t.equal(await a.exec(TEST_UNIT_READY), '06/2A/03')
  for (const host of [b, c]) t.equal(await host.exec(WRITE, block), 'GOOD')
})

t.test('PREEMPT of a key that holds nothing ends its registrations', async (t) => {
  const [a, b, c] = await registered()
  t.equal(await a.out('Preempt', { key: 1n, newKey: 7n, type: 1 }), CONFLICT, 'nobody has it')
  t.equal(await a.out('Preempt', { key: 1n, newKey: 0n, type: 1 }), '05/26/00')
  t.equal(await c.out('Preempt', { newKey: 2n, type: 1 }), CONFLICT)
  t.equal(await a.out('Preempt', { key: 1n, newKey: 2n, type: 1 }), 'GOOD')
  t.same(await a.keys(), [3, 1n])
  t.equal(await a.held(), undefined, 'it takes nothing over')
  t.equal(await b.exec(TEST_UNIT_READY), '06/2A/05')
})

t.test('PREEMPT of the holder takes the reservation over, with its own type', async (t) => {
  const [a, b, c] = await registered()
  await c.out('Register', { newKey: 3n })
  await a.out('Reserve', { key: 1n, type: 5 })
  t.equal(await b.out('Preempt', { key: 2n, newKey: 1n, type: 9 }), '05/24/00')
  t.equal(await b.out('Preempt', { key: 2n, newKey: 1n, type: 3 }), 'GOOD')
  t.same(await b.held(), [2n, 3])
  t.same(await b.keys(), [4, 2n, 3n])
  t.equal(await a.exec(TEST_UNIT_READY), '06/2A/05')
  t.equal(await c.exec(TEST_UNIT_READY), '06/2A/04', 'the type is another')
  t.equal(await b.out('Preempt', { key: 2n, newKey: 2n, type: 1 }), 'GOOD', 'its own')
  t.same(await b.held(), [2n, 1])
})

t.test('PREEMPT with key 0 takes over what all registrants hold', async (t) => {
  const [a, b] = await registered()
  await a.out('Reserve', { key: 1n, type: 7 })
  t.equal(await b.out('Preempt', { key: 2n, newKey: 1n, type: 1 }), 'GOOD')
  t.same(await b.held(), [0n, 7], 'a registration alone')
  await a.exec(TEST_UNIT_READY)
  await a.out('Register', { newKey: 1n })
  t.equal(await b.out('Preempt', { key: 2n, newKey: 0n, type: 3 }), 'GOOD')
  t.same(await b.held(), [2n, 3])
  t.same((await b.keys()).slice(1), [2n])
  t.equal(await a.exec(TEST_UNIT_READY), '06/2A/05')
})

t.test(
  'PREEMPT AND ABORT aborts the tasks of the preempted, and GOOD waits for them',
  async (t) => {
    const [a] = (await hosts('a')) as [Host]
    let finish = () => {}
    const aborted: string[] = []
    const abortTasks: NexusTransport['abortTasks'] = (chosen, done) => {
      const nexus = b.nexus
      const tasks = [new FakeTask({ nexus, cdb: READ }), new FakeTask({ nexus, cdb: READ, lun: 5 })]
      for (const [index, task] of tasks.entries()) if (chosen(task)) aborted.push(`task ${index}`)
      finish = done
    }
    const b = new Host(a.server, 'b', nexusTransport({ abortTasks }))
    await b.exec(TEST_UNIT_READY)
    await a.out('Register', { newKey: 1n })
    await b.out('Register', { newKey: 2n })
    await b.out('Reserve', { key: 2n, type: 3 })
    t.equal(await a.out('Preempt', { key: 1n, newKey: 9n, type: 3 }), CONFLICT)
    t.same(aborted, [])
    let answer = ''
    const commands: ScsiTask[] = []
    const execute = a.server.execute.bind(a.server)
    a.server.execute = (task) => {
      commands.push(task)
      execute(task)
    }
    const answered = a.out('PreemptAndAbort', { key: 1n, newKey: 2n, type: 3 }).then((said) => {
      answer = said
    })
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    t.same(aborted, ['task 0'], 'those for this unit')
    t.equal(answer, '')
    finish()
    await answered
    t.equal(answer, 'GOOD')
    t.same(await a.held(), [1n, 3])
    t.equal(await b.exec(TEST_UNIT_READY), '06/2A/05')
    t.equal(await b.exec(TEST_UNIT_READY), '06/2F/00')
    t.same(
      commands.map((task) => task.isFenced),
      [true, false, true, true],
      'GOOD and the unit attentions stay in their order',
    )
  },
)

t.test('REGISTER AND MOVE makes another initiator port the holder', async (t) => {
  const [a, b, c] = await registered()
  const list = (options: { to?: Host; port?: number; newKey?: bigint; unregister?: boolean }) =>
    encodeMoveParameters({
      reservationKey: 1n,
      serviceActionReservationKey: options.newKey ?? 3n,
      unregister: options.unregister ?? false,
      persistThroughPowerLoss: false,
      relativeTargetPort: options.port ?? 1,
      transportId: encodeTransportId((options.to ?? c).nexus.initiatorPort),
    })
  t.equal(await a.out('RegisterAndMove', { list: list({}) }), '05/24/00', 'nothing is held')
  await a.out('Reserve', { key: 1n, type: 1 })
  t.equal(await b.out('RegisterAndMove', { list: list({}) }), CONFLICT, 'the key is another')
  for (const wrong of [list({ to: a }), list({ port: 2 }), list({ newKey: 0n })]) {
    t.equal(await a.out('RegisterAndMove', { list: wrong }), '05/26/00')
  }
  t.equal(await a.out('RegisterAndMove', { list: list({}).subarray(0, 30) }), '05/26/00')
  t.equal(await a.out('RegisterAndMove', { list: list({}), listLength: 20 }), '05/1A/00')
  t.equal(await a.out('RegisterAndMove', { list: list({ unregister: true }) }), 'GOOD')
  t.same(await c.held(), [3n, 1])
  t.same(await c.keys(), [3, 2n, 3n])
  t.equal(await c.exec(WRITE, block), 'GOOD')
  t.equal(await a.exec(WRITE, block), CONFLICT)
})

t.test('REPORT CAPABILITIES and the answers to what it denies agree', async (t) => {
  const [a] = (await hosts('a')) as [Host]
  const said = decodeReservationCapabilities(await a.in('ReportCapabilities'))
  t.match(said, { specifyInitiatorPorts: true, persistThroughPowerLoss: false })
  t.equal(await a.out('Register', { newKey: 1n, aptpl: true }), '05/26/00')
  t.equal(said.allTargetPorts, true)
  t.equal(await a.out('Register', { newKey: 1n, allTargetPorts: true }), 'GOOD')
  const status = await a.in('ReadFullStatus')
  t.equal(status[20], 0x02, 'ALL_TG_PT')
  t.match(status.toString('latin1'), a.nexus.initiatorPort)
  t.equal((await a.in('ReadFullStatus', 8)).length, 8)
  t.equal(await a.out('Register', { key: 1n, listLength: 23 }), '05/1A/00')
  t.equal(await a.out('Register', { list: Buffer.alloc(20), listLength: 24 }), '05/1A/00')
})

t.test('registrations have a bound, and exceeding it has an answer', async (t) => {
  const [a] = (await hosts('a')) as [Host]
  for (let index = 0; index < 256; index += 1) {
    const host = new Host(a.server, `h${index}`)
    await host.exec(TEST_UNIT_READY)
    await host.out('Register', { newKey: 1n })
  }
  t.equal(await a.out('Register', { newKey: 1n }), '05/55/04')
})

t.test('REGISTER with SPEC_I_PT registers the initiator ports it lists, or none', async (t) => {
  const [a, b, c] = (await hosts('a', 'b', 'c')) as [Host, Host, Host]
  const portOf = ({ nexus }: Host) => nexus.initiatorPort
  const list = (ports: string[], options: { key?: bigint; newKey?: bigint } = {}) =>
    Buffer.concat([
      encodeReserveParameters({
        reservationKey: options.key ?? 0n,
        serviceActionReservationKey: options.newKey ?? 7n,
        specifyInitiatorPorts: true,
        allTargetPorts: false,
        persistThroughPowerLoss: false,
      }),
      encodeTransportIdList(ports),
    ])
  const register = (bytes: Buffer) => a.out('Register', { list: bytes })
  t.equal(await register(list([portOf(b)], { key: 1n })), CONFLICT, 'the key is another')
  t.equal(await register(list(['iqn.2024-01.org.example:x'])), '05/26/00', 'no initiator port')
  t.equal(await register(list([portOf(b)]).subarray(0, 60)), '05/1A/00', 'less than announced')
  const cut = list([portOf(b)])
  cut.writeUInt32BE(40, 24)
  t.equal(await register(cut), '05/26/00', 'cut in the midst of a TransportID')
  t.equal(await register(list([portOf(b)], { newKey: 0n })), 'GOOD')
  for (const action of ['RegisterAndIgnoreExistingKey', 'Reserve'] as const) {
    t.not(await a.out(action, { specifyInitiatorPorts: true, newKey: 1n }), 'GOOD', action)
  }
  t.same(await a.keys(), [0], 'nothing so far')
  t.equal(await register(list([portOf(b), portOf(c)])), 'GOOD')
  t.same(await a.keys(), [1, 7n, 7n, 7n])
  t.equal(await c.out('Reserve', { key: 7n, type: 1 }), 'GOOD')
  t.equal(await register(list([], { key: 7n })), '05/24/00', 'it is registered already')
  const d = new Host(a.server, 'd')
  await d.exec(TEST_UNIT_READY)
  const again = list([portOf(b)])
  t.equal(await d.out('Register', { list: again }), '05/26/00', 'another is')
  t.equal(await d.out('Register', { list: list([]) }), 'GOOD', 'an empty list')
})
