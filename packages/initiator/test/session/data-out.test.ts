import {
  DataOut,
  LogoutRequest,
  Opcode,
  RESERVED_TAG,
  ScsiCommand,
  TextRequest,
} from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  loggedIn,
  pattern,
  type Script,
  type ScriptedTarget,
  type WatchedTask,
  writeTask,
} from '../support/scripted-target.ts'
import { WriteReceiver } from '../support/write-receiver.ts'

function writing(length: number, policy: Script['policy'] = {}) {
  const target = loggedIn({ policy: { maxRecvDataSegmentLength: 512, ...policy } })
  const task = writeTask(pattern(length))
  target.session.execute(task)
  return { target, task, tag: task.initiatorTaskTag }
}

/** The Data-Outs sent since the last call, by what matters in each. */
function dataOuts(target: ScriptedTarget) {
  return target.receive().map(({ header, data }) => {
    const pdu = new DataOut().at(header, 0)
    if (pdu.opcode !== Opcode.DataOut) throw new Error(`opcode is ${pdu.opcode}`)
    return {
      tag: pdu.initiatorTaskTag,
      ttt: pdu.targetTransferTag,
      dataSN: pdu.dataSN,
      offset: pdu.bufferOffset,
      length: data.length,
      final: pdu.final,
    }
  })
}

function command(target: ScriptedTarget) {
  const [first, ...rest] = target.sink.take({ header: false, data: false })
  if (first === undefined) throw new Error('nothing was sent')
  const pdu = Object.assign(new ScsiCommand().at(first.header, 0), { data: first.data })
  if (pdu.opcode !== Opcode.ScsiCommand) throw new Error(`opcode is ${pdu.opcode}`)
  return { pdu, rest }
}

function endsWith(t: Test, target: ScriptedTarget, task: WatchedTask, reason: RegExp): void {
  t.match(target.ended?.error?.message, reason)
  t.strictSame(target.ended?.unanswered, [task])
  t.equal(task.times, 0)
  t.equal(target.sink.closed, 1)
}

t.test('a write whose data fit goes out in one PDU', async (t) => {
  const { target, task, tag } = writing(500)
  const { pdu, rest } = command(target)
  t.equal(rest.length, 0)
  t.match(pdu, {
    final: true,
    write: true,
    read: false,
    immediate: false,
    attribute: 1,
    initiatorTaskTag: tag,
    expectedDataTransferLength: 500,
    cmdSN: 1,
    expStatSN: 1002,
    data: pattern(500),
  })
  t.equal(pdu.buffer.toString('hex', 8, 16), '0003000000000000')
  t.equal(pdu.buffer[pdu.cdbPosition], 0x2a)
  target.response(tag)
  t.match(task, { times: 1, error: null, status: 0, transferredLength: 500 })
})

t.test('unsolicited data follow the immediate ones up to FirstBurstLength', async (t) => {
  const { target, tag } = writing(2000, { firstBurstLength: 1300 })
  const { pdu, rest } = command(target)
  t.equal(pdu.final, false)
  t.equal(pdu.data.length, 512)
  t.strictSame(
    rest.map(({ header, data }) => [new DataOut().at(header, 0).final, data.length]),
    [
      [false, 512],
      [true, 276],
    ],
  )
  target.readyToTransfer(tag, { bufferOffset: 1300, desiredDataTransferLength: 700 })
  const common = { tag, ttt: 0 }
  t.strictSame(dataOuts(target), [
    { ...common, dataSN: 0, offset: 1300, length: 512, final: false },
    { ...common, dataSN: 1, offset: 1812, length: 188, final: true },
  ])
})

t.test('which data go unsolicited is what InitialR2T and ImmediateData say', async (t) => {
  const cases = [
    { initialR2T: false, immediateData: true, inCommand: 512, unsolicited: 512, final: false },
    { initialR2T: false, immediateData: false, inCommand: 0, unsolicited: 1024, final: false },
    { initialR2T: true, immediateData: true, inCommand: 512, unsolicited: 0, final: true },
    { initialR2T: true, immediateData: false, inCommand: 0, unsolicited: 0, final: true },
  ]
  for (const { initialR2T, immediateData, inCommand, unsolicited, final } of cases) {
    const script = { initialR2T, immediateData, firstBurstLength: 1024 }
    const { target } = writing(4096, script)
    const { pdu, rest } = command(target)
    t.equal(pdu.data.length, inCommand)
    t.equal(pdu.final, final)
    t.equal(
      rest.reduce((sum, { data }) => sum + data.length, 0),
      unsolicited,
    )
  }
})

t.test('a write of nothing is one final PDU', async (t) => {
  const { target } = writing(0)
  const { pdu, rest } = command(target)
  t.match(pdu, { final: true, write: true, expectedDataTransferLength: 0 })
  t.equal(rest.length, 0)
})

t.test('data segments before the last are whole words', async (t) => {
  const { target } = writing(2000, { maxRecvDataSegmentLength: 515, firstBurstLength: 1999 })
  const { pdu, rest } = command(target)
  t.strictSame(
    [pdu.data, ...rest.map(({ data }) => data)].map(({ length }) => length),
    [512, 512, 512, 463],
  )
})

t.test(
  'whatever was agreed on, and whatever the network does, the bytes written arrive',
  async () => {
    const digest = fc.constantFrom('None' as const, 'CRC32C' as const)
    const script = fc.record({
      initialR2T: fc.boolean(),
      immediateData: fc.boolean(),
      firstBurstLength: fc.integer({ min: 512, max: 3000 }),
      maxBurstLength: fc.integer({ min: 3000, max: 6000 }),
      maxRecvDataSegmentLength: fc.integer({ min: 512, max: 2000 }),
      headerDigest: digest.map((one) => [one]),
      dataDigest: digest.map((one) => [one]),
    })
    const lengths = fc.array(fc.nat(12000), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(script, lengths, fc.nat(), (policy, sizes, seed) => {
        const target = loggedIn({ policy, windowSize: 2 })
        const writes = sizes.map((length, index) => writeTask(pattern(length, index)))
        const receiver = new WriteReceiver(target, seed)
        for (const task of writes) target.session.execute(task)
        receiver.run()
        return writes.every((task) => {
          const sent = task.buffer.subarray(task.position, task.position + task.length)
          return task.times === 1 && receiver.written(task.cmdSN).equals(sent)
        })
      }),
      { numRuns: 300 },
    )
  },
)

t.test('an R2T may come while unsolicited data are still on their way out', async (t) => {
  const { target, tag } = held(2000, { firstBurstLength: 1536 })
  t.equal(command(target).rest.length, 0)
  const r2t = { bufferOffset: 1536, desiredDataTransferLength: 464, targetTransferTag: 9 }
  target.readyToTransfer(tag, r2t)
  t.equal(dataOuts(target).length, 0)
  drain(target)
  t.strictSame(dataOuts(target), [
    { tag, ttt: RESERVED_TAG, dataSN: 0, offset: 512, length: 512, final: false },
    { tag, ttt: RESERVED_TAG, dataSN: 1, offset: 1024, length: 512, final: true },
    { tag, ttt: 9, dataSN: 0, offset: 1536, length: 464, final: true },
  ])
})

t.test('R2Ts are answered in the order in which they came (RFC 7143 section 11.8)', async (t) => {
  const { target, tag: later } = held(2048, { firstBurstLength: 1024 })
  const first = writeTask(pattern(2048))
  drain(target)
  target.session.execute(first)
  target.receive()
  const { initiatorTaskTag: earlier } = first
  // The unsolicited data of `third` are held back, and its R2T comes between those of the others.
  target.sink.holding = true
  const third = writeTask(pattern(2048))
  target.session.execute(third)
  const ask = { bufferOffset: 1024, desiredDataTransferLength: 1024 }
  target.readyToTransfer(later, { ...ask, targetTransferTag: 1 })
  target.readyToTransfer(third.initiatorTaskTag, { ...ask, targetTransferTag: 2 })
  target.readyToTransfer(earlier, { ...ask, targetTransferTag: 3 })
  target.receive()
  drain(target)
  t.strictSame(
    dataOuts(target).map(({ ttt }) => ttt),
    [RESERVED_TAG, 1, 1, 2, 2, 3, 3],
  )
})

t.test('no command overtakes the unsolicited data of the one before', async (t) => {
  const { target } = held(2048, { firstBurstLength: 1024 })
  const next = writeTask(pattern(100))
  target.sink.backlogBytes = 0
  target.session.execute(next)
  t.equal(command(target).rest.length, 0)
  drain(target)
  const [data, command2] = target.receive()
  t.equal(data?.header[0], Opcode.DataOut)
  t.equal(command2?.header[0], Opcode.ScsiCommand)
})

t.test('a network that takes nothing stops commands and data, not answers', async (t) => {
  const { target } = writing(100)
  target.receive()
  target.sink.backlogBytes = target.sink.backlogLimitBytes + 1
  t.notOk(target.connection.ready)
  target.session.execute(writeTask(pattern(100)))
  t.equal(target.receive().length, 0)
  target.session.sendText([['SendTargets', 'All']], () => {})
  target.only(new TextRequest())
  drain(target)
  target.only(new ScsiCommand())
})

t.test('data of a command that has ended are not sent any more', async (t) => {
  const { target, task, tag } = held(2048, { firstBurstLength: 1024 })
  target.receive()
  target.response(tag, { status: 2 })
  t.equal(task.times, 1)
  const other = writeTask(pattern(4096))
  drain(target)
  t.equal(target.receive().length, 0)
  target.session.execute(other)
  target.receive()
  target.sink.holding = true
  target.sink.backlogBytes = target.sink.backlogLimitBytes + 1
  const ask = { bufferOffset: 1024, desiredDataTransferLength: 1024 }
  target.readyToTransfer(other.initiatorTaskTag, ask)
  target.response(other.initiatorTaskTag, { status: 2 })
  t.equal(other.times, 1)
  drain(target)
  t.equal(target.receive().length, 0)
})

t.test('an R2T that does not fit its command ends the connection', async (t) => {
  const good = { bufferOffset: 1024, desiredDataTransferLength: 1024, targetTransferTag: 1 }
  const cases: [Parameters<ScriptedTarget['readyToTransfer']>[1], RegExp][] = [
    [{ ...good, r2tSN: 1 }, /R2TSN is 1, wanted 0/],
    [{ ...good, targetTransferTag: RESERVED_TAG }, /Target Transfer Tag is reserved/],
    [{ ...good, bufferOffset: 0 }, /Buffer Offset is 0, wanted 1024/],
    [{ ...good, bufferOffset: 2048 }, /Buffer Offset is 2048, wanted 1024/],
    [{ ...good, desiredDataTransferLength: 0 }, /Length is 0, wanted 1 to 2048/],
    [{ ...good, desiredDataTransferLength: 2049 }, /Length is 2049, wanted 1 to 2048/],
    [{ ...good, initiatorTaskTag: 0x77 }, /R2T: no command has the tag 0x77/],
  ]
  for (const [fields, reason] of cases) {
    const { target, task, tag } = writing(4096, { firstBurstLength: 1024, maxBurstLength: 2048 })
    target.readyToTransfer(tag, fields)
    endsWith(t, target, task, reason)
  }
})

t.test('an R2T beyond the end of the data, or for a read, ends the connection', async (t) => {
  const { target, task, tag } = writing(1500, { firstBurstLength: 1024 })
  target.readyToTransfer(tag, { bufferOffset: 1024, desiredDataTransferLength: 477 })
  endsWith(t, target, task, /bytes 1024 to 1501 are beyond the 1500 to be written/)
  const read = writing(0)
  read.task.direction = 1
  read.target.readyToTransfer(read.tag, { desiredDataTransferLength: 4 })
  endsWith(t, read.target, read.task, /the command writes nothing/)
})

t.test('a second R2T before the first is answered ends the connection', async (t) => {
  const { target, task, tag } = held(4096, { firstBurstLength: 1024 })
  const ask = { desiredDataTransferLength: 1024 }
  target.readyToTransfer(tag, { ...ask, bufferOffset: 1024, r2tSN: 0 })
  target.readyToTransfer(tag, { ...ask, bufferOffset: 2048, r2tSN: 1 })
  endsWith(t, target, task, /the one before has not yet been answered/)
})

t.test('nothing is sent for an R2T that comes with the answer to a logout still due', async (t) => {
  const { target, task } = writing(4096, { firstBurstLength: 1024 })
  target.receive()
  target.session.logout()
  target.only(new LogoutRequest())
  target.connection.transportLost('closed')
  t.strictSame(target.ended?.unanswered, [task])
})

/** As `writing`, with a network that takes the command, and no more until it is drained. */
function held(length: number, policy: Script['policy']) {
  const target = loggedIn({ policy: { maxRecvDataSegmentLength: 512, ...policy } })
  target.sink.backlogLimitBytes = 0
  target.sink.holding = true
  const task = writeTask(pattern(length))
  target.session.execute(task)
  return { target, task, tag: task.initiatorTaskTag }
}

function drain(target: ScriptedTarget): void {
  target.sink.holding = false
  target.sink.backlogBytes = 0
  target.connection.onDrain()
}
