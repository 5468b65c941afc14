import { LoginResponse, LoginStatus, type TextPair } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { LoginError } from '../../src/session/errors.ts'
import {
  type Fields,
  INITIATOR_NAME,
  ISID,
  type Script,
  ScriptedTarget,
  TARGET_NAME,
} from '../support/scripted-target.ts'

const toOperational = { transit: true, currentStage: 0, nextStage: 1 }
const toFullFeature = { transit: true, currentStage: 1, nextStage: 3, tsih: 7 }
const authNone: TextPair[] = [['AuthMethod', 'None']]

/** A target whose initiator has sent its first request. */
function started(script: Script = {}): ScriptedTarget {
  const target = new ScriptedTarget(script)
  target.connection.start()
  return target
}

/** A target that has been offered the operational keys; returns them as well. */
function offered(script: Script = {}): { target: ScriptedTarget; pairs: TextPair[] } {
  const target = started(script)
  target.loginRequest()
  target.loginResponse(toOperational, authNone)
  return { target, pairs: target.loginRequest().pairs }
}

function endsWith(t: Test, target: ScriptedTarget, reason: RegExp): void {
  t.match(target.ended?.error?.message, reason)
  t.equal(target.endings, 1)
  t.equal(target.loggedIn, 0)
  t.equal(target.sink.closed, 1)
  t.equal(target.connection.state, 'FREE')
}

t.test(
  'the first request says who logs in to what, and that it needs no authentication',
  async (t) => {
    const target = started({ cmdSN: 77 })
    const request = target.loginRequest()
    t.strictSame(request.pairs, [
      ['InitiatorName', INITIATOR_NAME],
      ['TargetName', TARGET_NAME],
      ['SessionType', 'Normal'],
      ['AuthMethod', 'None'],
    ])
    t.equal(request.buffer.toString('hex', request.isidPosition, request.isidPosition + 6), ISID)
    t.match(request, {
      immediate: true,
      transit: true,
      continued: false,
      currentStage: 0,
      nextStage: 1,
      versionMin: 0,
      versionMax: 0,
      tsih: 0,
      cid: 0,
      cmdSN: 77,
      expStatSN: 0,
    })
    t.equal(target.connection.state, 'IN_LOGIN')
  },
)

t.test(
  'the second offers what was wished for; after its answer commands may be sent',
  async (t) => {
    const target = started({ statSN: 0xffffffff, wishes: { firstBurstLength: 4096 } })
    const first = target.loginRequest()
    target.loginResponse(toOperational, authNone)
    const second = target.loginRequest()
    t.match(second, { ...toFullFeature, tsih: 0, cmdSN: first.cmdSN, expStatSN: 0 })
    t.equal(second.initiatorTaskTag, first.initiatorTaskTag)
    t.match(Object.fromEntries(second.pairs), {
      HeaderDigest: 'None,CRC32C',
      InitialR2T: 'No',
      FirstBurstLength: '4096',
      MaxRecvDataSegmentLength: '65536',
      ErrorRecoveryLevel: '0',
    })
    target.loginResponse(toFullFeature, target.negotiate(second.pairs))
    t.equal(target.loggedIn, 1)
    t.equal(target.session.tsih, 7)
    t.equal(target.connection.state, 'LOGGED_IN')
    t.ok(target.connection.ready)
    t.equal(target.ended, null)
  },
)

t.test('a discovery session names no target, and offers no keys of commands', async (t) => {
  const target = started({ sessionType: 'Discovery' })
  t.strictSame(target.loginRequest().pairs, [
    ['InitiatorName', INITIATOR_NAME],
    ['SessionType', 'Discovery'],
    ['AuthMethod', 'None'],
  ])
  target.loginResponse(toOperational)
  const { pairs } = target.loginRequest()
  t.notOk(pairs.some(([key]) => key === 'InitialR2T' || key === 'MaxBurstLength'))
  target.loginResponse(toFullFeature, target.negotiate(pairs))
  t.equal(target.loggedIn, 1)
})

t.test('what this side can do in one way only is offered in that way', async (t) => {
  const { pairs } = offered({
    wishes: {
      maxOutstandingR2T: 8,
      dataPDUInOrder: false,
      dataSequenceInOrder: false,
      errorRecoveryLevel: 2,
      taskReporting: ['FastAbort'],
    },
  })
  t.match(Object.fromEntries(pairs), {
    MaxOutstandingR2T: '1',
    DataPDUInOrder: 'Yes',
    DataSequenceInOrder: 'Yes',
    ErrorRecoveryLevel: '0',
    TaskReporting: undefined,
  })
})

t.test('an answer in pieces is asked for piece by piece (C bit)', async (t) => {
  const { target, pairs } = offered()
  const answers = target.negotiate(pairs)
  const partial = { currentStage: 1, continued: true }
  target.loginResponse(partial, answers.slice(0, 2))
  const empty = target.loginRequest()
  t.match(empty, { transit: false, continued: false, currentStage: 1, pairs: [] })
  target.loginResponse(partial, answers.slice(2, 4))
  target.loginRequest()
  target.loginResponse({ currentStage: 1 }, answers.slice(4))
  t.match(target.loginRequest(), { transit: true, nextStage: 3, pairs: [] })
  target.loginResponse(toFullFeature)
  t.equal(target.loggedIn, 1)
})

t.test('a target that stays in a stage is asked again to leave it', async (t) => {
  const target = started()
  target.loginRequest()
  target.loginResponse({ currentStage: 0 }, [['TargetPortalGroupTag', '1']])
  t.match(target.loginRequest(), { ...toOperational, pairs: [] })
  target.loginResponse(toOperational)
  t.match(target.loginRequest(), { currentStage: 1 })
})

t.test('keys that a target offers are answered, unknown ones too', async (t) => {
  const { target, pairs } = offered()
  const answers = target.negotiate(pairs)
  target.loginResponse({ currentStage: 1 }, [...answers, ['X-org.example.size', '7']])
  t.strictSame(target.loginRequest().pairs, [['X-org.example.size', 'NotUnderstood']])
  target.loginResponse(toFullFeature)
  t.equal(target.loggedIn, 1)
})

t.test('a refusal ends the session with its status, whatever its other fields are', async (t) => {
  const { target } = offered()
  const refusal = { statusClass: 2, statusDetail: 2, statSN: 0, expCmdSN: 0, maxCmdSN: 0 }
  target.loginResponse(refusal)
  endsWith(t, target, /login refused: AuthorizationFailure \(0x0202\)$/)
  const { error } = target.ended ?? {}
  t.ok(error instanceof LoginError)
  t.match(error, { status: LoginStatus.AuthorizationFailure, movedTo: undefined, temporary: false })
})

t.test('a redirect says where the target is', async (t) => {
  const target = started()
  target.loginRequest()
  const moved = { statusClass: 1, statusDetail: 1 }
  target.loginResponse(moved, [
    ['TargetName', TARGET_NAME],
    ['TargetAddress', '192.0.2.7:3261,2'],
  ])
  endsWith(t, target, /TargetMovedTemporarily \(0x0101\), to 192\.0\.2\.7:3261,2$/)
  t.match(target.ended?.error, { movedTo: '192.0.2.7:3261,2' })
})

t.test('a redirect to nowhere is one all the same', async (t) => {
  const target = started()
  target.loginRequest()
  target.loginResponse({ statusClass: 1, statusDetail: 2 })
  t.match(target.ended?.error, { status: 0x0102, movedTo: undefined })
})

t.test("a target's own trouble may pass, what it has against us does not", async (t) => {
  t.ok(new LoginError(LoginStatus.ServiceUnavailable, undefined).temporary)
  t.ok(new LoginError(LoginStatus.TooManyConnections, undefined).temporary)
  t.notOk(new LoginError(LoginStatus.NotFound, undefined).temporary)
  t.match(new LoginError(0x0299, undefined).message, /0x299 \(0x0299\)/)
})

t.test('a response that cannot be right ends the connection', async (t) => {
  const cases: [Fields<LoginResponse>, RegExp][] = [
    [{ initiatorTaskTag: 5 }, /Initiator Task Tag is 5/],
    [{ versionActive: 1 }, /Version-active is 1, wanted 0/],
    [{ currentStage: 1 }, /CSG is 1, wanted 0/],
    [{ nextStage: 3 }, /NSG is 3, wanted 1/],
    [{ continued: true }, /T and C are both set/],
  ]
  for (const [fields, reason] of cases) {
    const target = started()
    target.loginRequest()
    target.loginResponse({ ...toOperational, ...fields })
    endsWith(t, target, reason)
  }
})

t.test('another ISID in the response ends the connection', async (t) => {
  const target = started()
  const { initiatorTaskTag } = target.loginRequest()
  target.sendPdu(new LoginResponse(), { ...toOperational, initiatorTaskTag })
  endsWith(t, target, /ISID is 000000000000, wanted 400000010000/)
})

t.test('a StatSN that was not due ends the connection', async (t) => {
  const { target } = offered({ statSN: 10 })
  target.loginResponse({ ...toFullFeature, statSN: 12 })
  endsWith(t, target, /StatSN is 12, wanted 11/)
})

t.test('the last response must give the session a TSIH', async (t) => {
  const { target, pairs } = offered()
  target.loginResponse({ ...toFullFeature, tsih: 0 }, target.negotiate(pairs))
  endsWith(t, target, /TSIH is 0, wanted any but 0/)
})

t.test('a stage cannot end with answers missing, theirs or ours', async (t) => {
  const theirs = offered()
  theirs.target.loginResponse(toFullFeature, [['MaxBurstLength', '65536']])
  endsWith(t, theirs.target, /ended before all keys were answered/)
  const ours = offered()
  const answers = ours.target.negotiate(ours.pairs)
  ours.target.loginResponse(toFullFeature, [...answers, ['OFMarker', 'Yes']])
  endsWith(t, ours.target, /stage 1 was ended with OFMarker still to be answered/)
})

t.test('T is not to be set in answer to a request without it', async (t) => {
  const { target, pairs } = offered()
  target.loginResponse({ currentStage: 1, continued: true }, target.negotiate(pairs))
  target.loginRequest()
  target.loginResponse(toFullFeature)
  endsWith(t, target, /T is set, which the request had not asked for/)
})

t.test('a target that insists on an authentication is left', async (t) => {
  const target = started()
  target.loginRequest()
  target.loginResponse({ currentStage: 0 }, [['AuthMethod', 'CHAP']])
  endsWith(t, target, /answers AuthMethod=CHAP to an offer of None/)
})

t.test('an answer that no offer of ours allows ends the connection', async (t) => {
  const { target } = offered({ wishes: { maxBurstLength: 65536 } })
  target.loginResponse({ currentStage: 1 }, [['MaxBurstLength', '131072']])
  endsWith(t, target, /MaxBurstLength=131072 is no possible answer to the offer of 65536/)
})

t.test('a login without end is given up, and so is one with endless text', async (t) => {
  const idle = started()
  for (let round = 0; idle.ended === null && round < 100; round++) {
    idle.loginRequest()
    idle.loginResponse({ currentStage: 0 })
  }
  endsWith(t, idle, /no end after 32 exchanges/)
  const chatty = started()
  for (let round = 0; chatty.ended === null && round < 100; round++) {
    chatty.loginRequest()
    const text: TextPair[] = [[`X-a${round}`, 'x'.repeat(8000)]]
    chatty.loginResponse({ currentStage: 0, continued: true }, text)
  }
  endsWith(t, chatty, /text of \d+ bytes exceeds the limit of 65536/)
})

t.test(
  'more keys than can be answered in one request end the connection, not the process',
  async (t) => {
    const target = started()
    target.loginRequest()
    const keys = Array.from({ length: 600 }, (_, index): TextPair => [`X-a${index}`, '1'])
    target.loginResponse({ currentStage: 0 }, keys)
    endsWith(t, target, /asks for \d+ bytes of answers, at most 8192 fit/)
  },
)

t.test('any text at all in a response is survived', async () => {
  const key = fc.constantFrom('AuthMethod', 'MaxBurstLength', 'TargetAddress', 'X-a', 'InitialR2T')
  const value = fc.oneof(fc.constantFrom('Yes', 'No', 'None', 'Reject', '1', '0x10'), fc.string())
  const pair = fc.tuple(
    key,
    value.map((text) => text.replaceAll('\0', '')),
  )
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 6 }), fc.boolean(), fc.boolean(), (pairs, T, late) => {
      const target = late ? offered().target : started()
      if (!late) target.loginRequest()
      const stage = late ? toFullFeature : toOperational
      target.loginResponse({ ...stage, transit: T }, pairs)
      return target.endings === target.sink.closed && target.endings <= 1
    }),
  )
})
