import {
  encodeText,
  LogoutResponse,
  RESERVED_TAG,
  type TextPair,
  TextRequest,
  TextResponse,
} from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ConnectionLostError } from '../../src/session/errors.ts'
import { loggedIn, type Script, type ScriptedTarget } from '../support/scripted-target.ts'

interface Answer {
  readonly error: Error | null
  readonly pairs: readonly TextPair[]
}

/** A discovery session that has asked for all targets. */
function asking(script: Script = { sessionType: 'Discovery' }) {
  const target = loggedIn(script)
  const answers: Answer[] = []
  target.session.sendText([['SendTargets', 'All']], (error, pairs) =>
    answers.push({ error, pairs }),
  )
  const request = target.only(new TextRequest())
  return { target, answers, request, tag: request.initiatorTaskTag }
}

function unanswered(): never {
  throw new Error('a question that was not asked got an answer')
}

const targets: TextPair[] = [
  ['TargetName', 'iqn.2026-11.org.platter:a'],
  ['TargetAddress', '192.0.2.1:3260,1'],
  ['TargetName', 'iqn.2026-11.org.platter:b'],
]

function respond(
  target: ScriptedTarget,
  fields: Parameters<typeof target.sendStatus<TextResponse>>[1],
  data?: Buffer,
): void {
  const last = { final: true, targetTransferTag: RESERVED_TAG }
  target.sendStatus(new TextResponse(), { ...last, ...fields }, data)
}

function endsWith(t: Test, target: ScriptedTarget, answers: Answer[], reason: RegExp): void {
  t.match(target.ended?.error?.message, reason)
  t.equal(answers.length, 1)
  t.ok(answers[0]?.error instanceof ConnectionLostError)
  t.match(answers[0]?.error?.message, reason)
  t.strictSame(answers[0]?.pairs, [])
}

t.test('a question and its answer take one PDU each', async (t) => {
  const { target, answers, request, tag } = asking()
  t.match(request, {
    immediate: true,
    final: true,
    continued: false,
    targetTransferTag: RESERVED_TAG,
    cmdSN: 1,
    data: encodeText([['SendTargets', 'All']]),
  })
  respond(target, { initiatorTaskTag: tag }, encodeText(targets))
  t.strictSame(answers, [{ error: null, pairs: targets }])
  t.equal(target.ended, null)
})

t.test('however an answer is cut, all of it is asked for, with the tag of each piece', async () => {
  const text = encodeText(targets)
  fc.assert(
    fc.property(
      fc.array(fc.nat(text.length), { maxLength: 5 }),
      fc.boolean(),
      (cuts, continued) => {
        const { target, answers, tag } = asking()
        const ends = [...cuts.sort((a, b) => a - b), text.length]
        let start = 0
        for (const [index, end] of ends.entries()) {
          const piece = text.subarray(start, end)
          start = end
          if (index === ends.length - 1) respond(target, { initiatorTaskTag: tag }, piece)
          else {
            const more = {
              initiatorTaskTag: tag,
              final: false,
              continued,
              targetTransferTag: index,
            }
            respond(target, more, piece)
            const next = target.only(new TextRequest())
            if (next.initiatorTaskTag !== tag || next.targetTransferTag !== index) return false
            if (next.data.length !== 0 || next.expStatSN !== target.statSN) return false
          }
        }
        return answers.length === 1 && JSON.stringify(answers[0]?.pairs) === JSON.stringify(targets)
      },
    ),
  )
})

t.test(
  'one question is asked at a time, and the next may come from the answer to it',
  async (t) => {
    const target = loggedIn()
    let second = 0
    const ask = () => target.session.sendText([['SendTargets', '']], () => second++)
    target.session.sendText([['SendTargets', '']], ask)
    t.throws(ask, /a text negotiation is under way/)
    const { initiatorTaskTag } = target.only(new TextRequest())
    respond(target, { initiatorTaskTag })
    const next = target.only(new TextRequest())
    t.not(next.initiatorTaskTag, initiatorTaskTag)
    respond(target, { initiatorTaskTag: next.initiatorTaskTag })
    t.equal(second, 1)
  },
)

t.test('a question must fit one PDU that the target takes', async (t) => {
  const target = loggedIn({ policy: { maxRecvDataSegmentLength: 512 } })
  const long: TextPair[] = [['X-org.example.long', 'x'.repeat(512)]]
  t.throws(() => target.session.sendText(long, unanswered), /does not fit one PDU/)
  target.session.sendText([['SendTargets', 'All']], () => {})
  target.only(new TextRequest())
})

t.test('an answer that is not of the form ends the connection, and the question', async (t) => {
  const cases: [Parameters<typeof respond>[1], Buffer, RegExp][] = [
    [{ initiatorTaskTag: 1 }, Buffer.alloc(0), /an answer to no request/],
    [{ continued: true }, Buffer.alloc(0), /F and C are both set/],
    [{ final: false }, Buffer.alloc(0), /no Target Transfer Tag to go on with/],
    [{}, Buffer.from('TargetName\0'), /has no "="/],
    [{}, Buffer.from('TargetName=iqn'), /not ended by a zero byte/],
  ]
  for (const [fields, data, reason] of cases) {
    const { target, answers, tag } = asking()
    respond(target, { initiatorTaskTag: tag, ...fields }, data)
    endsWith(t, target, answers, reason)
  }
})

t.test('a target that tells without end is not listened to', async (t) => {
  const { target, answers, tag } = asking({ wishes: { maxRecvDataSegmentLength: 1048576 } })
  const more = { initiatorTaskTag: tag, final: false, continued: true, targetTransferTag: 1 }
  for (let round = 0; answers.length === 0 && round < 9; round++) {
    respond(target, more, Buffer.alloc(1048576, 'a'))
  }
  endsWith(t, target, answers, /exceeds the limit of 4194304/)
})

t.test('a target that does not answer, whatever else it says, is given up', async (t) => {
  const { target, answers, tag } = asking()
  target.session.onTimer(1000)
  target.session.onTimer(16_000)
  t.equal(target.ended, null)
  const more = { initiatorTaskTag: tag, final: false, targetTransferTag: 1 }
  respond(target, more, Buffer.alloc(0))
  target.session.onTimer(16_001)
  endsWith(t, target, answers, /no answer to a text within 15000 ms/)
})

t.test('time for a question begins when it is asked', async (t) => {
  const { target, tag } = asking()
  target.session.onTimer(1000)
  respond(target, { initiatorTaskTag: tag })
  target.session.sendText([['SendTargets', 'All']], () => {})
  target.session.onTimer(16_002)
  t.equal(target.ended, null)
})

t.test('a question that is open at logout has no answer', async (t) => {
  const { target, answers, tag } = asking()
  target.session.logout()
  const [logout] = target.receive()
  const more = { initiatorTaskTag: tag, final: false, targetTransferTag: 1 }
  respond(target, more, Buffer.alloc(0))
  t.equal(target.receive().length, 0, 'no request may follow the Logout Request')
  t.throws(() => target.session.sendText([], unanswered), /is IN_LOGOUT/)
  const initiatorTaskTag = logout?.header.readUInt32BE(16) ?? 0
  target.sendStatus(new LogoutResponse(), { initiatorTaskTag })
  t.equal(target.ended?.error, null)
  t.match(answers, [{ error: /logged out/, pairs: [] }])
})

t.test('no question is asked where there is no connection', async (t) => {
  const target = loggedIn()
  let again: unknown
  target.session.sendText([], () => {
    try {
      target.session.sendText([], unanswered)
    } catch (error) {
      again = error
    }
  })
  target.connection.transportLost('closed')
  t.match(again, { message: /is FREE/ })
  t.throws(() => target.session.sendText([], unanswered), /the session has no connection/)
})
