import {
  BHS_LENGTH,
  NopIn,
  NopOut,
  Opcode,
  RESERVED_TAG,
  ScsiCommand,
} from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  loggedIn,
  pattern,
  readTask,
  type Script,
  ScriptedTarget,
  writeTask,
} from '../support/scripted-target.ts'

const digests: Script = { policy: { headerDigest: ['CRC32C'], dataDigest: ['CRC32C'] } }

function endsWith(t: Test, target: ScriptedTarget, reason: RegExp): void {
  t.match(target.ended?.error?.message, reason)
  t.equal(target.endings, 1)
  t.equal(target.sink.closed, 1)
  t.equal(target.connection.state, 'FREE')
}

t.test('a login that takes too long is given up, connected or not', async (t) => {
  for (const begun of [false, true]) {
    const target = new ScriptedTarget()
    if (begun) target.connection.start()
    target.session.onTimer(15_000)
    t.equal(target.ended, null)
    target.session.onTimer(15_001)
    endsWith(t, target, /no login within 15000 ms/)
  }
})

t.test('a connection that is lost during login ends it', async (t) => {
  const target = new ScriptedTarget()
  target.connection.start()
  target.connection.transportLost('closed by peer')
  endsWith(t, target, /closed by peer/)
})

t.test('what is no Login Response during login ends the connection', async (t) => {
  const target = new ScriptedTarget()
  target.connection.start()
  target.sendPdu(new NopIn(), { initiatorTaskTag: RESERVED_TAG, targetTransferTag: 1 })
  endsWith(t, target, /got NopIn during login, wanted LoginResponse/)
})

t.test('a response in single bytes is one all the same', async (t) => {
  const target = new ScriptedTarget()
  const { receive } = target.connection
  target.connection.receive = (buffer, start, end) => {
    for (let at = start; at < end; at++) receive.call(target.connection, buffer, at, at + 1)
  }
  target.login()
  t.equal(target.loggedIn, 1)
})

t.test('commands may be executed from within loggedIn', async (t) => {
  const task = readTask(4)
  const target = loggedIn({ ...digests, onLoggedIn: (session) => session.execute(task) })
  target.only(new ScsiCommand())
  target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(4))
  t.equal(task.times, 1)
})

t.test('digests are sent and checked once they are agreed on', async (t) => {
  const target = loggedIn(digests)
  const write = writeTask(pattern(501))
  target.session.execute(write)
  t.strictSame(target.only(new ScsiCommand()).data, pattern(501))
  target.response(write.initiatorTaskTag)
  t.equal(write.times, 1)
})

t.test('a header or a data segment that fails its digest ends the connection', async (t) => {
  const cases: [number, RegExp][] = [
    [20, /header digest is/],
    [BHS_LENGTH + 1, /header digest is/],
    [BHS_LENGTH + 4 + 100, /a data segment failed its digest/],
    [BHS_LENGTH + 4 + 512, /a data segment failed its digest/],
  ]
  for (const [position, reason] of cases) {
    const target = loggedIn(digests)
    const task = readTask(512)
    target.session.execute(task)
    const { send } = target
    target.send = (bytes) => {
      bytes[position] = (bytes[position] as number) ^ 0x10
      send.call(target, bytes)
    }
    target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(512))
    endsWith(t, target, reason)
    t.strictSame(target.ended?.unanswered, [task])
    t.ok(
      task.buffer.every((byte) => byte === 0xee),
      'nothing of it was written',
    )
    t.equal(task.times, 0)
  }
})

t.test('a data segment longer than we said we take ends the connection', async (t) => {
  const target = loggedIn({ wishes: { maxRecvDataSegmentLength: 512 } })
  const task = readTask(1024)
  target.session.execute(task)
  target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(513))
  endsWith(t, target, /DataSegmentLength 513 exceeds MaxRecvDataSegmentLength 512/)
  t.ok(task.buffer.every((byte) => byte === 0xee))
})

t.test('a login response longer than the standard allows ends the connection', async (t) => {
  const target = new ScriptedTarget()
  target.connection.start()
  const { initiatorTaskTag } = target.loginRequest()
  t.ok(initiatorTaskTag)
  const value = 'x'.repeat(4090)
  target.loginResponse({ currentStage: 0 }, [
    ['X-a', value],
    ['X-b', value],
    ['X-c', value],
  ])
  endsWith(t, target, /exceeds MaxRecvDataSegmentLength 8192/)
})

t.test('a login that nobody answers is given up sooner', async (t) => {
  const target = new ScriptedTarget({ pathTimeoutMs: 4000 })
  target.connection.start()
  target.session.onTimer(1000)
  target.session.onTimer(5000)
  t.equal(target.ended, null)
  target.session.onTimer(5001)
  endsWith(t, target, /no answer to the login within 4000 ms/)
})

t.test('a silent target is asked whether it is there; its answer is enough', async (t) => {
  const target = loggedIn({ pathTimeoutMs: 5000 })
  target.session.onTimer(1000)
  target.session.onTimer(6000)
  t.equal(target.receive().length, 0)
  target.session.onTimer(6001)
  const ping = target.only(new NopOut())
  t.match(ping, { immediate: true, targetTransferTag: RESERVED_TAG, expStatSN: target.statSN })
  t.not(ping.initiatorTaskTag, RESERVED_TAG)
  const { initiatorTaskTag } = ping
  target.sendStatus(new NopIn(), { initiatorTaskTag, targetTransferTag: RESERVED_TAG })
  target.session.onTimer(8502)
  target.session.onTimer(13_502)
  t.equal(target.receive().length, 0)
  target.session.onTimer(13_503)
  t.not(target.only(new NopOut()).initiatorTaskTag, initiatorTaskTag)
  t.equal(target.ended, null)
})

t.test('a target that owes an answer is asked sooner, and given up in time', async (t) => {
  const target = loggedIn({ pathTimeoutMs: 5000 })
  const task = readTask(4)
  target.session.execute(task)
  target.receive()
  target.session.onTimer(1000)
  target.session.onTimer(3500)
  t.equal(target.receive().length, 0)
  target.session.onTimer(3501)
  target.only(new NopOut())
  target.session.onTimer(6001)
  t.equal(target.ended, null)
  target.session.onTimer(6002)
  endsWith(t, target, /no answer to a ping within 2500 ms/)
  t.strictSame(target.ended?.unanswered, [task])
})

t.test('that the network took what we sent does not prove that the target is there', async (t) => {
  const target = loggedIn({ pathTimeoutMs: 5000 })
  target.session.onTimer(1000)
  target.session.onTimer(6001)
  for (let nowMs = 7000; nowMs <= 8500; nowMs += 500) {
    target.connection.onDrain()
    target.session.onTimer(nowMs)
  }
  target.session.onTimer(8502)
  endsWith(t, target, /no answer to a ping/)
})

t.test('a long queue that moves on does', async (t) => {
  const target = loggedIn()
  target.session.onTimer(1000)
  target.sink.backlogBytes = 1_000_000
  for (let nowMs = 2000; nowMs <= 60_000; nowMs += 1000) {
    target.sink.backlogBytes -= 10_000
    target.connection.onDrain()
    target.session.onTimer(nowMs)
  }
  t.equal(target.receive().length, 0)
  t.equal(target.ended, null)
})

t.test(
  'a target that does not answer a logout is given up, and is not asked meanwhile',
  async (t) => {
    const target = loggedIn()
    target.session.logout()
    target.receive()
    for (let nowMs = 1000; nowMs <= 16_000; nowMs += 1000) {
      target.sendPdu(new NopIn(), {
        initiatorTaskTag: RESERVED_TAG,
        targetTransferTag: RESERVED_TAG,
      })
      target.session.onTimer(nowMs)
    }
    t.equal(target.receive().length, 0)
    t.equal(target.ended, null)
    target.session.onTimer(16_001)
    endsWith(t, target, /no answer to the logout within 15000 ms/)
  },
)

t.test('a fault of ours is not taken for one of the target', async (t) => {
  const target = loggedIn()
  const task = readTask(4)
  task.done = () => {
    throw new TypeError('a mistake')
  }
  target.session.execute(task)
  t.throws(() => target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(4)), /a mistake/)
  target.connection.transportLost('internal fault')
  endsWith(t, target, /internal fault/)
})

/** A session with two reads and a write under way, in each of which an answer may land. */
function busy(script: Script) {
  const target = loggedIn(script)
  const tasks = [readTask(700), readTask(300), writeTask(pattern(900))]
  for (const task of tasks) target.session.execute(task)
  target.receive()
  const before = tasks.map(({ buffer }) => Buffer.from(buffer))
  const intact = () =>
    tasks.every(({ buffer, position, length, direction }, index) => {
      const from = direction === 1 ? position : 0
      const to = direction === 1 ? position + length : 0
      const old = before[index] as Buffer
      return buffer.every((byte, at) => (at >= from && at < to) || byte === old[at])
    })
  return { target, tasks, intact }
}

/** Each task is done, handed back, or under way: exactly one of them. */
function accounted({ target, tasks }: ReturnType<typeof busy>): boolean {
  return tasks.every((task) => {
    const returned = target.ended?.unanswered.filter((each) => each === task).length ?? 0
    return task.times + returned === (target.ended === null ? task.times : 1) && task.times <= 1
  })
}

t.test(
  'random bytes end the connection at worst, and write nothing where they must not',
  async () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 120 }), { maxLength: 20 })
    fc.assert(
      fc.property(chunks, fc.boolean(), (pieces, early) => {
        const scene = busy({})
        const { target } = early ? { target: new ScriptedTarget() } : scene
        if (early) target.connection.start()
        for (const piece of pieces) target.send(Buffer.from(piece))
        return scene.intact() && accounted(scene) && target.endings === target.sink.closed
      }),
    )
  },
)

t.test('headers that are nearly right end the connection at worst, too', async () => {
  const opcodes = Object.values(Opcode).filter((opcode) => opcode >= 0x20)
  const number = fc.oneof(fc.nat(4), fc.nat(1000), fc.nat({ max: 0xffffffff }))
  const pdu = fc.record({
    opcode: fc.constantFrom(...opcodes),
    flags: fc.constantFrom(0, 0x80, 0x81, 0x83, 0x85, 0x01, 0x40),
    task: fc.nat(3),
    tag: number,
    statSN: fc.boolean(),
    words: fc.array(number, { minLength: 3, maxLength: 3 }),
    length: fc.oneof(fc.constant(0), fc.nat(1200)),
  })
  fc.assert(
    fc.property(fc.array(pdu, { maxLength: 6 }), (pdus) => {
      const scene = busy({})
      const { target, tasks } = scene
      for (const { opcode, flags, task, tag, statSN, words, length } of pdus) {
        const bytes = Buffer.alloc(BHS_LENGTH + ((length + 3) & ~3), 0x5a)
        bytes.fill(0, 0, BHS_LENGTH)
        bytes[0] = opcode
        bytes[1] = flags
        bytes.writeUIntBE(length, 5, 3)
        bytes.writeUInt32BE(tasks[task]?.initiatorTaskTag ?? tag, 16)
        bytes.writeUInt32BE(tag, 20)
        bytes.writeUInt32BE(statSN ? target.statSN : tag, 24)
        bytes.writeUInt32BE(4, 28)
        bytes.writeUInt32BE(40, 32)
        for (const [index, word] of words.entries()) bytes.writeUInt32BE(word, 36 + 4 * index)
        target.send(bytes)
        if (!scene.intact() || !accounted(scene)) return false
      }
      return target.endings === target.sink.closed
    }),
    { numRuns: 1000 },
  )
})
