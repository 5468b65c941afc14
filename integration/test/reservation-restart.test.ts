/** Persistent reservations that hosts want kept (APTPL) outlast a server that is killed; others end with it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  decodeReadKeys,
  decodeReadReservation,
  decodeReservationCapabilities,
  encodePersistentReserveInCdb,
  encodePersistentReserveOutCdb,
  encodeReserveParameters,
  PersistentReserveIn,
  PersistentReserveOut,
  ReservationType,
} from '@platter/protocol/scsi'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { transferCdb } from '../lib/raw-pdu.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(300_000)

const good = 0
const checkCondition = 2
const conflict = 0x18
const testUnitReady = Buffer.alloc(16)
const writeOne = transferCdb('write', 0, 1)
const block = Buffer.alloc(512, 'x')

/** A host logged in: its session's initiator port is the same after each login. */
class Host {
  readonly #connection: RawConnection
  readonly #lun: number

  private constructor(connection: RawConnection, lun: number) {
    this.#connection = connection
    this.#lun = lun
  }

  static async logIn(port: number, targetName: string, name: string, lun: number): Promise<Host> {
    const initiatorName = `iqn.2026-11.org.example:${name}`
    return new Host(await RawConnection.logIn(port, { initiatorName, targetName }), lun)
  }

  async status(cdb: Buffer, dataOut?: Buffer): Promise<number | null> {
    return (await this.#connection.command(this.#lun, cdb, 0, dataOut)).status
  }

  out(
    action: keyof typeof PersistentReserveOut,
    keys: { key?: bigint; newKey?: bigint; type?: number; aptpl?: boolean },
  ): Promise<number | null> {
    const list = encodeReserveParameters({
      reservationKey: keys.key ?? 0n,
      serviceActionReservationKey: keys.newKey ?? 0n,
      specifyInitiatorPorts: false,
      allTargetPorts: false,
      persistThroughPowerLoss: keys.aptpl ?? false,
    })
    const cdb = Buffer.alloc(16)
    encodePersistentReserveOutCdb(cdb, 0, {
      serviceAction: PersistentReserveOut[action],
      scope: 0,
      type: keys.type ?? 0,
      parameterListLength: list.length,
    })
    return this.status(cdb, list)
  }

  async in(action: keyof typeof PersistentReserveIn): Promise<Buffer> {
    const cdb = Buffer.alloc(16)
    const serviceAction = PersistentReserveIn[action]
    encodePersistentReserveInCdb(cdb, 0, { serviceAction, allocationLength: 512 })
    return (await this.#connection.command(this.#lun, cdb, 512)).data
  }

  async found() {
    return {
      keys: decodeReadKeys(await this.in('ReadKeys')).keys,
      held: decodeReadReservation(await this.in('ReadReservation')).held,
      active: decodeReservationCapabilities((await this.in('ReportCapabilities')).subarray(0, 8))
        .persistActive,
    }
  }
}

async function startTarget() {
  const target = await TargetProcess.start()
  const made = await target.createPartition({
    directory: temporaryDirectory(),
    disks: 1,
    diskSize: '8M',
    chunk: '64K',
    array: 'array',
    partition: 'partition',
    size: '4M',
  })
  const lun = made.lun
  const targetName = await target.targetName()
  /** Hosts a and b, each after its unit attention for power on, and no other. */
  const logIn = async (): Promise<[Host, Host]> => {
    const hosts: [Host, Host] = [
      await Host.logIn(target.port, targetName, 'a', lun),
      await Host.logIn(target.port, targetName, 'b', lun),
    ]
    for (const host of hosts) {
      t.equal(await host.status(testUnitReady), checkCondition, 'power on')
      t.equal(await host.status(testUnitReady), good)
    }
    return hosts
  }
  return { target, logIn }
}

t.test('registrations and reservation with APTPL are in force after a kill', async (t) => {
  const { target, logIn } = await startTarget()
  const [a, b] = await logIn()
  t.equal(await a.out('Register', { newKey: 10n, aptpl: true }), good)
  t.equal(await b.out('Register', { newKey: 20n, aptpl: true }), good)
  const type = ReservationType.WriteExclusive
  t.equal(await a.out('Reserve', { key: 10n, type }), good)
  const before = await b.found()
  t.strictSame(before, { keys: [10n, 20n], held: { key: 10n, type }, active: true })
  await target.kill()
  await target.serve()
  const [a2, b2] = await logIn()
  t.strictSame(await b2.found(), before)
  t.equal(await b2.status(writeOne, block), conflict)
  t.equal(await a2.status(writeOne, block), good)
  t.equal(await b2.out('Preempt', { key: 20n, newKey: 10n, type }), good)
  await target.kill()
  await target.serve()
  const [a3, b3] = await logIn()
  t.strictSame(await a3.found(), { keys: [20n], held: { key: 20n, type }, active: true })
  t.equal(await a3.status(writeOne, block), conflict)
  t.equal(await b3.status(writeOne, block), good)
  t.equal(await b3.out('Clear', { key: 20n }), good)
  await target.kill()
  await target.serve()
  const [a4] = await logIn()
  t.strictSame(await a4.found(), { keys: [], held: undefined, active: false })
  await target.stop()
})

t.test('without APTPL a reservation ends with the server', async (t) => {
  const { target, logIn } = await startTarget()
  const [a] = await logIn()
  t.equal(await a.out('Register', { newKey: 10n, aptpl: true }), good)
  t.equal(await a.out('Register', { key: 10n, newKey: 11n }), good)
  t.equal(await a.out('Reserve', { key: 11n, type: 1 }), good)
  await target.kill()
  await target.serve()
  const [, b] = await logIn()
  t.strictSame(await b.found(), { keys: [], held: undefined, active: false })
  t.equal(await b.status(writeOne, block), good)
  await target.stop()
})

t.test('a damaged file of reservations keeps the server from starting, and is named', async (t) => {
  const { target, logIn } = await startTarget()
  const [a] = await logIn()
  t.equal(await a.out('Register', { newKey: 10n, aptpl: true }), good)
  await target.stop()
  const filePath = join(target.stateDirectory, 'reservations.json')
  const text = readFileSync(filePath, 'utf8')
  writeFileSync(filePath, text.slice(0, text.length / 2))
  const refused = await target.try('serve', '--portal', target.portal)
  t.equal(refused.status, 1)
  t.match(refused.stderr, `${filePath} is not JSON`)
  t.match(refused.stderr, /move the file away/)
  writeFileSync(filePath, text)
  await target.serve()
  const [again] = await logIn()
  t.strictSame((await again.found()).keys, [10n])
  await target.stop()
})
