/** SANITIZE: what it leaves of the blocks, what may be done meanwhile, and how its failure is left behind. */
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import {
  decodeLbaStatuses,
  decodeSense,
  encodeBlockCdb,
  encodeGetLbaStatusCdb,
  encodeOverwriteParameters,
  encodeSanitizeCdb,
  Opcode,
  ProvisioningStatus,
  SanitizeAction,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { SanitizeRequest, SanitizeStore } from '../../src/scsi/sanitizer.ts'
import { FakeTask } from '../support/fake-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { cdbOf, run, verdict } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const BLOCK = 4096
const CAPACITY = 600
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const IN_PROGRESS = '02/04/1B'
const FAILED = '03/31/03'

/** Keeps what was saved in memory, as a file would from one server to the next. */
class Saved implements SanitizeStore {
  saved: SanitizeRequest | null = null
  refuses = false

  async save(request: SanitizeRequest | null): Promise<void> {
    if (this.refuses) throw new Error('no space')
    this.saved = request
  }
}

interface Sent {
  readonly immediate?: boolean
  readonly ause?: boolean
  readonly length?: number
}

async function start(
  options: { store?: Saved; volume?: HeldVolume; writeProtected?: boolean } = {},
) {
  const { store = new Saved(), volume = new HeldVolume(CAPACITY * BLOCK) } = options
  const unit = new LogicalUnit({
    volume,
    uuid: '7b2d6f0a-5d0e-4c8f-9a11-000000000001',
    name: 'p',
    blockSizeBytes: BLOCK,
    writeProtected: options.writeProtected ?? false,
    sanitizeStore: store,
    sanitizeBytesPerSecond: Number.POSITIVE_INFINITY,
  })
  const server = new ShownUnits()
  server.addUnit(0, unit)
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1')
  await run(server, { nexus, cdb: TEST_UNIT_READY })
  const begin = (cdb: ArrayLike<number>, dataOut: Buffer = Buffer.alloc(0)): FakeTask => {
    const task = new FakeTask({ nexus, cdb, dataOut })
    task.onEnded = () => server.ended(task)
    server.execute(task)
    return task
  }
  const sanitize = (action: number, list: Buffer = Buffer.alloc(0), sent: Sent = {}): FakeTask =>
    begin(
      cdbOf((cdb, at) =>
        encodeSanitizeCdb(cdb, at, {
          serviceAction: action,
          immediate: sent.immediate ?? false,
          allowUnrestrictedExit: sent.ause ?? false,
          parameterListLength: sent.length ?? list.length,
        }),
      ),
      list,
    )
  const exec = async (cdb: ArrayLike<number>, dataOut?: Buffer) => {
    const task = begin(cdb, dataOut)
    return verdict(await task.outcome)
  }
  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < 5; turns++) await turn()
  }
  /** Lets the operation go on until it is done, or has failed. */
  const finish = async (): Promise<void> => {
    for (let turns = 0; turns < 2000 && unit.sanitizer.obstacle?.senseKey === 2; turns++) {
      volume.releaseAll()
      await new Promise((resolve) => setTimeout(resolve))
    }
  }
  t.teardown(() => unit.sanitizer.suspend())
  return { unit, server, volume, store, begin, sanitize, exec, settle, finish }
}

function overwrite(pattern: Buffer, overwriteCount = 1, invert = false, test = 0): Buffer {
  return encodeOverwriteParameters({ invert, test, overwriteCount, pattern })
}

t.test('SANITIZE OVERWRITE fills each block with the pattern, and flushes', async (t) => {
  const { volume, sanitize, finish, settle } = await start()
  volume.fill(randomBytes(CAPACITY * BLOCK))
  for (const pattern of [randomBytes(BLOCK), randomBytes(3000), Buffer.from([1, 2, 3])]) {
    const task = sanitize(SanitizeAction.Overwrite, overwrite(pattern))
    await settle()
    t.equal(task.ended, null, 'it ends with the operation')
    await finish()
    t.equal(verdict(await task.outcome), 'GOOD')
    t.ok(volume.bytes.equals(Buffer.alloc(CAPACITY * BLOCK, Buffer.alloc(BLOCK, pattern))))
  }
})

t.test(
  'INVERT turns the pattern over between passes, and the last leaves it as it is',
  async (t) => {
    const { volume, sanitize, settle } = await start()
    for (const overwriteCount of [1, 2, 3]) {
      const seen: number[] = []
      const list = overwrite(Buffer.from([0xa5]), overwriteCount, true)
      const task = sanitize(SanitizeAction.Overwrite, list)
      await settle()
      while (task.ended === null) {
        const op = volume.held[0]?.op
        volume.release()
        if (op === 'flush') seen.push(volume.bytes[0] as number)
        await new Promise((resolve) => setTimeout(resolve))
      }
      t.same(seen, [[], [0xa5], [0x5a, 0xa5], [0xa5, 0x5a, 0xa5]][overwriteCount])
    }
  },
)

t.test(
  'SANITIZE BLOCK ERASE discards every block, and GET LBA STATUS says so until a write',
  async (t) => {
    const { volume, begin, sanitize, exec, finish, settle } = await start()
    const status = async () => {
      const { data } = await begin(cdbOf((cdb, at) => encodeGetLbaStatusCdb(cdb, at, 0, 256)))
        .outcome
      return decodeLbaStatuses(data as Buffer)
    }
    volume.fill(Buffer.alloc(volume.sizeBytes, 1))
    t.equal((await status())[0]?.provisioningStatus, ProvisioningStatus.Mapped)
    const task = sanitize(SanitizeAction.BlockErase)
    await settle()
    t.same(
      volume.held.map(({ op, offset, length }) => [op, offset, length]),
      [['discard', 0, CAPACITY * BLOCK]],
    )
    await finish()
    t.equal(verdict(await task.outcome), 'GOOD')
    const deallocated = { lba: 0, blockCount: CAPACITY }
    t.match(await status(), [
      { ...deallocated, provisioningStatus: ProvisioningStatus.Deallocated },
    ])
    t.equal(await exec(TEST_UNIT_READY), 'GOOD')
    const refused = sanitize(SanitizeAction.BlockErase, Buffer.alloc(8))
    t.equal(verdict(await refused.outcome), '05/24/00')
    t.match(await status(), [{ provisioningStatus: ProvisioningStatus.Deallocated }])
    begin(
      cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.Write10, 0, 1)),
      Buffer.alloc(BLOCK),
    )
    t.match(await status(), [{ provisioningStatus: ProvisioningStatus.Mapped }])
  },
)

t.test(
  'while a unit is sanitized, only INQUIRY, REPORT LUNS and REQUEST SENSE are done',
  async (t) => {
    const { volume, begin, sanitize, exec, finish, settle } = await start()
    const list = overwrite(Buffer.from([0]))
    const immediate = sanitize(SanitizeAction.Overwrite, list, { immediate: true })
    await settle()
    t.equal(verdict(await immediate.outcome), 'GOOD', 'IMMED=1 does not wait')
    t.equal(volume.held[0]?.op, 'write')
    t.equal(await exec(TEST_UNIT_READY), IN_PROGRESS)
    for (const opcode of [Opcode.Read10, Opcode.Write16, Opcode.StartStopUnit, Opcode.ModeSense6]) {
      t.equal(await exec([opcode]), IN_PROGRESS)
    }
    t.equal(verdict(await sanitize(SanitizeAction.BlockErase).outcome), IN_PROGRESS)
    t.equal(await exec([Opcode.Inquiry, 0, 0, 0, 96, 0]), 'GOOD')
    t.equal(await exec([Opcode.ReportLuns, 0, 0, 0, 0, 0, 0, 0, 0, 64]), 'GOOD')
    const progress = async (format: number) => {
      const { data } = await begin([Opcode.RequestSense, format, 0, 0, 252, 0]).outcome
      return decodeSense(data as Buffer)
    }
    t.match(await progress(0), { senseKey: 2, additionalSenseCode: 4, progress: 0 })
    volume.release()
    await new Promise((resolve) => setTimeout(resolve, 5))
    for (const format of [0, 1]) {
      t.equal((await progress(format)).progress, Math.floor((65536 * 256) / CAPACITY))
    }
    await finish()
    t.equal(await exec(TEST_UNIT_READY), 'GOOD')
  },
)

t.test('neither an abort nor a reset stops a sanitize operation', async (t) => {
  const { unit, server, volume, sanitize, exec, finish, settle } = await start()
  volume.fill(randomBytes(CAPACITY * BLOCK))
  const task = sanitize(SanitizeAction.Overwrite, overwrite(Buffer.from([7])))
  await settle()
  t.equal(task.pendingIo, 0, 'nothing of the task is waited for')
  task.abort()
  server.aborted(task)
  server.ended(task)
  unit.reset()
  t.equal(await exec(TEST_UNIT_READY), IN_PROGRESS)
  await finish()
  t.equal(await exec(TEST_UNIT_READY), 'GOOD')
  t.ok(volume.bytes.equals(Buffer.alloc(CAPACITY * BLOCK, 7)))
})

t.test('a restarted server begins a sanitize operation again', async (t) => {
  const first = await start()
  const { store, volume } = first
  first.sanitize(SanitizeAction.Overwrite, overwrite(Buffer.from([9])), { immediate: true })
  await first.settle()
  first.unit.sanitizer.suspend()
  volume.releaseAll()
  await first.settle()
  t.equal(volume.held.length, 0, 'the first is at the disk no more')
  t.not(store.saved, null)
  const second = await start({ store, volume })
  t.equal(await second.exec(TEST_UNIT_READY), IN_PROGRESS)
  await second.finish()
  t.equal(await second.exec(TEST_UNIT_READY), 'GOOD')
  t.ok(volume.bytes.equals(Buffer.alloc(CAPACITY * BLOCK, 9)))
  t.equal(store.saved, null)
})

t.test('commands that were there before end first', async (t) => {
  const { volume, begin, sanitize, settle, finish } = await start()
  const cdb = cdbOf((cdb, at) => encodeBlockCdb(cdb, at, Opcode.Read10, 0, 1))
  const read = begin(cdb)
  const task = sanitize(SanitizeAction.BlockErase)
  await settle()
  t.same(
    volume.held.map(({ op }) => op),
    ['read'],
  )
  volume.release()
  t.equal(verdict(await read.outcome), 'GOOD')
  await settle()
  await finish()
  t.equal(verdict(await task.outcome), 'GOOD')
})

/** A unit whose sanitize operation has failed. */
async function startFailed(ause: boolean) {
  const started = await start()
  const task = started.sanitize(SanitizeAction.BlockErase, undefined, { ause })
  await started.settle()
  started.volume.fail()
  t.equal(verdict(await task.outcome), FAILED)
  return started
}

t.test('a failed sanitize operation shuts the unit, also after a restart', async (t) => {
  const { store, volume, exec } = await startFailed(false)
  t.equal(await exec(TEST_UNIT_READY), FAILED)
  t.equal(await exec([Opcode.Read10]), FAILED)
  t.equal(await exec([Opcode.Inquiry, 0, 0, 0, 96, 0]), 'GOOD')
  const again = await start({ store, volume })
  t.equal(await again.exec(TEST_UNIT_READY), FAILED)
})

t.test('without AUSE, only another operation without AUSE leaves the failure behind', async (t) => {
  const { store, sanitize, exec, settle, finish } = await startFailed(false)
  t.equal(verdict(await sanitize(SanitizeAction.ExitFailureMode).outcome), '05/24/00')
  const unrestricted = sanitize(SanitizeAction.BlockErase, undefined, { ause: true })
  t.equal(verdict(await unrestricted.outcome), '05/24/00')
  const task = sanitize(SanitizeAction.BlockErase)
  await settle()
  await finish()
  t.equal(verdict(await task.outcome), 'GOOD')
  t.equal(await exec(TEST_UNIT_READY), 'GOOD')
  t.equal(store.saved, null)
})

t.test('with AUSE, EXIT FAILURE MODE leaves the failure behind', async (t) => {
  const { store, sanitize, exec } = await startFailed(true)
  store.refuses = true
  t.equal(verdict(await sanitize(SanitizeAction.ExitFailureMode).outcome), '04/44/00')
  t.equal(await exec(TEST_UNIT_READY), FAILED)
  store.refuses = false
  t.equal(verdict(await sanitize(SanitizeAction.ExitFailureMode).outcome), 'GOOD')
  t.equal(await exec(TEST_UNIT_READY), 'GOOD')
  t.equal(store.saved, null)
  t.equal(verdict(await sanitize(SanitizeAction.ExitFailureMode).outcome), 'GOOD', 'nothing failed')
})

t.test('what SANITIZE refuses, it does not do', async (t) => {
  const { volume, store, sanitize, exec } = await start()
  const refused = async (action: number, list: Buffer = Buffer.alloc(0), sent: Sent = {}) =>
    verdict(await sanitize(action, list, sent).outcome)
  const { Overwrite, BlockErase, CryptographicErase, ExitFailureMode } = SanitizeAction
  t.equal(await refused(CryptographicErase), '05/24/00')
  t.equal(await refused(BlockErase, Buffer.alloc(8)), '05/24/00')
  t.equal(await refused(ExitFailureMode, Buffer.alloc(8)), '05/24/00')
  t.equal(await refused(Overwrite, Buffer.alloc(4)), '05/24/00')
  t.equal(await refused(Overwrite, Buffer.alloc(BLOCK + 5)), '05/24/00')
  const list = overwrite(Buffer.from([1, 2]))
  t.equal(await refused(Overwrite, list, { length: 8 }), '05/1A/00')
  t.equal(await refused(Overwrite, overwrite(Buffer.from([1, 2]), 0)), '05/26/00', 'no passes')
  t.equal(await refused(Overwrite, overwrite(Buffer.from([1]), 1, false, 1)), '05/26/00', 'TEST')
  const empty = Buffer.concat([overwrite(Buffer.alloc(0)), Buffer.alloc(1)])
  t.equal(await refused(Overwrite, empty), '05/26/00', 'no pattern')
  const cut = overwrite(Buffer.alloc(9)).subarray(0, 12)
  t.equal(await refused(Overwrite, cut), '05/26/00', 'a pattern longer than the list')
  for (let byte = 2; byte <= 6; byte++) {
    const cdb = Buffer.alloc(10)
    cdb.set([Opcode.Sanitize, BlockErase])
    cdb[byte] = 1
    t.equal(await exec(cdb), '05/24/00', `reserved byte ${byte}`)
  }
  t.equal(await exec([Opcode.Sanitize, 0x40 | BlockErase]), '05/24/00', 'ZNR')
  store.refuses = true
  t.equal(await refused(BlockErase), '04/44/00', 'it could not be remembered')
  t.equal(await exec(TEST_UNIT_READY), 'GOOD')
  t.equal(volume.held.length + volume.writes.length, 0)
  const guarded = await start({ writeProtected: true })
  t.equal(verdict(await guarded.sanitize(BlockErase).outcome), '07/27/00')
})
