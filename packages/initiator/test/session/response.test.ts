import { Opcode, ScsiResponse } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { CommandError } from '../../src/session/errors.ts'
import { Direction } from '../../src/session/task.ts'
import {
  loggedIn,
  pattern,
  readTask,
  type Script,
  type ScriptedTarget,
  WatchedTask,
  writeTask,
} from '../support/scripted-target.ts'

const GOOD = 0
const CHECK_CONDITION = 2

/** A session with a read of `length` bytes under way. */
function reading(length: number, script: Script = {}) {
  const target = loggedIn(script)
  const task = readTask(length)
  target.session.execute(task)
  target.receive()
  return { target, task, tag: task.initiatorTaskTag }
}

/** What came of a task's buffer: its data, and whether the rest is as it was. */
function landed(task: WatchedTask): { data: Buffer; restIntact: boolean } {
  const { buffer, position, length } = task
  const rest = [...buffer.subarray(0, position), ...buffer.subarray(position + length)]
  const data = buffer.subarray(position, position + length)
  return { data, restIntact: rest.every((byte) => byte === 0xee) }
}

function endsWith(t: Test, target: ScriptedTarget, task: WatchedTask, reason: RegExp): void {
  t.match(target.ended?.error?.message, reason)
  t.equal(target.endings, 1)
  t.equal(target.sink.closed, 1)
  t.strictSame(target.ended?.unanswered, [task])
  t.equal(task.times, 0, 'a task that is handed back is not also done')
}

t.test('a read in one Data-In ends with the status in it', async (t) => {
  const { target, task, tag } = reading(512)
  const data = pattern(512)
  target.dataIn(tag, { status: GOOD }, data)
  t.match(task, { times: 1, error: null, status: GOOD, transferredLength: 512 })
  t.strictSame(landed(task), { data, restIntact: true })
})

t.test('a read in many Data-Ins, with the status in the last or after it', async (t) => {
  for (const separate of [false, true]) {
    const { target, task, tag } = reading(1500)
    const data = pattern(1500)
    target.dataIn(tag, { dataSN: 0, bufferOffset: 0 }, data.subarray(0, 700))
    target.dataIn(tag, { dataSN: 1, bufferOffset: 700 }, Buffer.alloc(0))
    const last = { dataSN: 2, bufferOffset: 700, final: true }
    target.dataIn(tag, separate ? last : { ...last, status: GOOD }, data.subarray(700))
    t.equal(task.times, separate ? 0 : 1)
    if (separate) target.response(tag, { expDataSN: 3 })
    t.match(task, { times: 1, error: null, status: GOOD, transferredLength: 1500 })
    t.strictSame(landed(task), { data, restIntact: true })
  }
})

t.test('however a read is cut into PDUs, chunks and digests, its bytes arrive', async () => {
  const digest = fc.constantFrom('None' as const, 'CRC32C' as const)
  const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(digest, digest, cuts, cuts, (headerDigest, dataDigest, pdus, chunks) => {
      const { target, task, tag } = reading(
        pdus.reduce((sum, length) => sum + length, 0),
        { policy: { headerDigest: [headerDigest], dataDigest: [dataDigest] } },
      )
      const data = pattern(task.length)
      const { connection } = target
      const { receive } = connection
      connection.receive = (buffer, start, end) => {
        for (let at = start, turn = 0; at < end; turn++) {
          const chunk = Math.min(chunks[turn % chunks.length] as number, end - at)
          receive.call(connection, buffer, at, at + chunk)
          at += chunk
        }
      }
      let bufferOffset = 0
      for (const [dataSN, length] of pdus.entries()) {
        const status = dataSN === pdus.length - 1 ? { status: GOOD } : {}
        const piece = data.subarray(bufferOffset, bufferOffset + length)
        target.dataIn(tag, { dataSN, bufferOffset, ...status }, piece)
        bufferOffset += length
      }
      const { data: got, restIntact } = landed(task)
      return (
        task.times === 1 && task.transferredLength === task.length && restIntact && got.equals(data)
      )
    }),
  )
})

t.test('two reads may answer one another across', async (t) => {
  const { target, task: first } = reading(600)
  const second = readTask(600)
  target.session.execute(second)
  target.receive()
  const [one, two] = [pattern(600, 1), pattern(600, 2)]
  const part = { dataSN: 0, bufferOffset: 0 }
  const rest = { dataSN: 1, bufferOffset: 300, status: GOOD }
  target.dataIn(second.initiatorTaskTag, part, two.subarray(0, 300))
  target.dataIn(first.initiatorTaskTag, part, one.subarray(0, 300))
  target.dataIn(second.initiatorTaskTag, rest, two.subarray(300))
  t.match([first.times, second.times], [0, 1])
  target.dataIn(first.initiatorTaskTag, rest, one.subarray(300))
  t.strictSame([landed(first).data, landed(second).data], [one, two])
})

t.test('a residual says how much less was moved; an overflow changes nothing', async (t) => {
  const short = reading(512)
  const part = pattern(100)
  const under = { residualUnderflow: true, residualCount: 412 }
  short.target.dataIn(short.tag, { status: GOOD, ...under }, part)
  t.match(short.task, { times: 1, transferredLength: 100 })
  const none = reading(512)
  none.target.response(none.tag, { residualUnderflow: true, residualCount: 512 })
  t.match(none.task, { times: 1, error: null, transferredLength: 0 })
  const long = reading(512)
  const over = { residualOverflow: true, residualCount: 4096 }
  long.target.dataIn(long.tag, { status: GOOD, ...over }, pattern(512))
  t.match(long.task, { times: 1, transferredLength: 512 })
  const written = loggedIn()
  const task = writeTask(pattern(512))
  written.session.execute(task)
  written.response(task.initiatorTaskTag, { residualUnderflow: true, residualCount: 500 })
  t.match(task, { times: 1, transferredLength: 12 })
})

t.test('a residual counts only in the direction that its bit names', async (t) => {
  const { target, task, tag } = reading(512)
  target.dataIn(tag, { status: GOOD, residualCount: 99 }, pattern(512))
  t.equal(task.transferredLength, 512)
})

t.test('CHECK CONDITION comes with sense data', async (t) => {
  const { target, task, tag } = reading(512)
  const sense = Buffer.from('700003000000000a00000000110000000000', 'hex')
  const data = Buffer.concat([Buffer.from([0, sense.length]), sense])
  target.response(
    tag,
    { status: CHECK_CONDITION, residualUnderflow: true, residualCount: 512 },
    data,
  )
  t.match(task, { times: 1, error: null, status: CHECK_CONDITION, transferredLength: 0 })
  t.strictSame(task.sense.subarray(0, task.senseLength), sense)
  task.cdb[0] = 0
  target.session.execute(task)
  t.equal(task.senseLength, 0)
})

t.test('sense data longer than SPC allows are cut, not refused', async (t) => {
  const { target, task, tag } = reading(0)
  const data = Buffer.concat([Buffer.from([1, 44]), pattern(300)])
  target.response(tag, { status: CHECK_CONDITION }, data)
  t.equal(task.senseLength, 252)
  t.strictSame(task.sense, pattern(300).subarray(0, 252))
})

t.test('sense data that are said to be longer than they are end the connection', async (t) => {
  for (const data of [Buffer.from([0]), Buffer.from([0, 9, 1, 2])]) {
    const { target, task, tag } = reading(0)
    target.response(tag, { status: CHECK_CONDITION }, data)
    endsWith(t, target, task, /SenseLength -?\d+ in a data segment of \d/)
  }
})

t.test('a command that the target could not carry out ends with an error', async (t) => {
  const { target, task, tag } = reading(512)
  target.response(tag, { response: 1 })
  t.equal(task.times, 1)
  t.ok(task.error instanceof CommandError)
  t.match(task.error?.message, /the target failed: response 0x1/)
  t.equal(target.ended, null)
})

t.test('what does not fit a read ends the connection, and nothing of it is written', async (t) => {
  const cases: [Parameters<ScriptedTarget['dataIn']>[1], number, RegExp][] = [
    [{ dataSN: 1 }, 512, /DataSN is 1, wanted 0/],
    [{ bufferOffset: 4 }, 508, /Buffer Offset is 4, wanted 0/],
    [{ bufferOffset: 0xffffffff }, 4, /Buffer Offset is 4294967295, wanted 0/],
    [{}, 516, /bytes 0 to 516 are beyond the 512 expected/],
    [{ initiatorTaskTag: 0x123 }, 512, /no command has the tag 0x123/],
    [{ initiatorTaskTag: 0xffffffff }, 512, /no command has the tag 0xffffffff/],
  ]
  for (const [fields, length, reason] of cases) {
    const { target, task, tag } = reading(512)
    target.dataIn(tag, fields, pattern(length))
    endsWith(t, target, task, reason)
    t.ok(task.buffer.every((byte) => byte === 0xee))
  }
})

t.test('Data-In after all that was expected ends the connection', async (t) => {
  const { target, task, tag } = reading(512)
  target.dataIn(tag, {}, pattern(512))
  target.dataIn(tag, { dataSN: 1, bufferOffset: 512 }, pattern(4))
  endsWith(t, target, task, /bytes 512 to 516 are beyond the 512/)
  t.ok(landed(task).restIntact)
})

t.test('Data-In of a command that reads nothing ends the connection', async (t) => {
  for (const task of [writeTask(pattern(512)), new WatchedTask()]) {
    const target = loggedIn()
    target.session.execute(task)
    target.dataIn(task.initiatorTaskTag, {}, Buffer.alloc(4))
    endsWith(t, target, task, /the command reads nothing/)
  }
})

t.test('GOOD without the data is not believed', async (t) => {
  const { target, task, tag } = reading(512)
  target.dataIn(tag, {}, pattern(256))
  target.response(tag)
  endsWith(t, target, task, /GOOD, but only 256 of 512 bytes came/)
})

t.test('a status that contradicts itself ends the connection', async (t) => {
  const big = reading(512)
  big.target.response(big.tag, { residualUnderflow: true, residualCount: 513 })
  endsWith(t, big.target, big.task, /residual of 513 bytes, only 512 were expected/)
  const lost = reading(512)
  lost.target.response(lost.tag, { expDataSN: 1 })
  endsWith(t, lost.target, lost.task, /ExpDataSN is 1, but 0 came/)
  const open = reading(512)
  open.target.dataIn(open.tag, { status: GOOD, final: false }, pattern(512))
  endsWith(t, open.target, open.task, /carries a status, and is not the last/)
})

t.test('a status that was not due ends the connection, and a lost one shows', async (t) => {
  const { target, task, tag } = reading(512)
  target.statSN += 1
  target.response(tag)
  endsWith(t, target, task, /ScsiResponse: StatSN is 1003, wanted 1002/)
})

t.test('an answer that comes twice ends the connection, not the next command', async (t) => {
  const { target, task, tag } = reading(4)
  target.dataIn(tag, { status: GOOD }, pattern(4))
  const next = readTask(4)
  target.session.execute(next)
  target.dataIn(tag, { status: GOOD }, pattern(4))
  endsWith(t, target, next, /no command has the tag/)
  t.equal(task.times, 1)
})

t.test('StatSN goes on at zero after 2^32 - 1', async (t) => {
  const target = loggedIn({ statSN: 0xfffffffd })
  for (let round = 0; round < 3; round++) {
    const task = readTask(4)
    target.session.execute(task)
    t.equal(target.receive()[0]?.header.readUInt32BE(28), (0xffffffff + round) >>> 0)
    target.dataIn(task.initiatorTaskTag, { status: GOOD }, pattern(4))
    t.equal(task.times, 1)
  }
})

t.test('a command that moves nothing ends by its response', async (t) => {
  const target = loggedIn()
  const task = new WatchedTask()
  task.direction = Direction.None
  target.session.execute(task)
  t.equal(target.receive()[0]?.header[0], Opcode.ScsiCommand)
  target.sendStatus(new ScsiResponse(), { initiatorTaskTag: task.initiatorTaskTag, status: 8 })
  t.match(task, { times: 1, status: 8, transferredLength: 0 })
})
