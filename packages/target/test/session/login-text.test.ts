import { decodeText, encodeText, LoginStatus, type TextPair } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import {
  chapOnly,
  names,
  pairsOf,
  refuses,
  request,
  send,
  target,
  toFullFeature,
} from '../support/login-exchange.ts'

t.test('text may go on over several requests, cut anywhere', async (t) => {
  const data = encodeText([...names, ['InitialR2T', 'No']])
  for (const cut of [1, 20, data.length - 1]) {
    const login = target()
    const part = login.receive(request({ currentStage: 1, continued: true }), data.subarray(0, cut))
    t.match(part, { outcome: 'continue', transit: false, continued: false, text: Buffer.alloc(0) })
    const whole = login.receive(request(toFullFeature), data.subarray(cut))
    t.match(whole, { outcome: 'full-feature', parameters: { initialR2T: false } })
    t.equal(pairsOf(whole).TargetPortalGroupTag, '1', 'in the first answer that has text')
  }
})

t.test('a long answer goes in segments that the initiator takes, and is fetched', async (t) => {
  const login = target()
  const unknown = Array.from({ length: 60 }, (_, i): TextPair => [`X-org.example.key${i}`, 'x'])
  const pairs: TextPair[] = [...names, ['MaxRecvDataSegmentLength', '512'], ...unknown]
  let answer = send(login, toFullFeature, pairs)
  const pieces: Buffer[] = []
  while (answer.continued) {
    t.match(answer, { outcome: 'continue', transit: false })
    t.equal(answer.text.length, 512)
    pieces.push(answer.text)
    answer = send(login, toFullFeature)
  }
  t.match(answer, { outcome: 'full-feature', transit: true })
  t.ok(pieces.length > 2)
  const text = Object.fromEntries(decodeText(Buffer.concat([...pieces, answer.text])))
  t.equal(text['X-org.example.key59'], 'NotUnderstood')
  t.equal(text.MaxRecvDataSegmentLength, '262144')
})

t.test('new text before the whole answer was fetched is refused', async (t) => {
  const login = target()
  const unknown = Array.from({ length: 60 }, (_, i): TextPair => [`X-org.example.key${i}`, 'x'])
  send(login, toFullFeature, [...names, ['MaxRecvDataSegmentLength', '512'], ...unknown])
  refuses(t, send(login, toFullFeature, [['InitialR2T', 'No']]), LoginStatus.InitiatorError)
})

t.test('requests and text are bounded', async (t) => {
  const slow = target({ loginRequestsMax: 3 })
  for (let i = 0; i < 3; i++) {
    t.equal(send(slow, { currentStage: 0 }, i === 0 ? names : []).outcome, 'continue')
  }
  refuses(t, send(slow, { currentStage: 0 }), LoginStatus.InitiatorError, /3 requests/)
  const long = target({ textBytesMax: 1000 })
  t.equal(send(long, { currentStage: 1 }, names).outcome, 'continue')
  const answer = send(long, { currentStage: 1, continued: true }, [['A', 'x'.repeat(1000)]])
  refuses(t, answer, LoginStatus.InitiatorError, /1000 bytes/)
})

t.test('malformed text fails the login', async (t) => {
  for (const text of ['InitiatorName', '=\0', 'A B=1\0', 'InitiatorName=x']) {
    const answer = target().receive(request(toFullFeature), Buffer.from(text))
    refuses(t, answer, LoginStatus.InitiatorError)
  }
})

const anyRequests = fc.array(
  fc.record({
    currentStage: fc.integer({ min: 0, max: 3 }),
    nextStage: fc.integer({ min: 0, max: 3 }),
    transit: fc.boolean(),
    continued: fc.boolean(),
    text: fc.oneof(
      fc.constant(Buffer.alloc(0)),
      fc.constant(encodeText(names)),
      fc
        .array(
          fc.tuple(
            fc.constantFrom('AuthMethod', 'InitialR2T', 'MaxBurstLength', 'TargetAddress', 'X-a.b'),
            fc.constantFrom('None', 'Yes', '4096', 'Irrelevant', ''),
          ),
          { maxLength: 2 },
        )
        .map((pairs) => encodeText(pairs)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    ),
  }),
  { minLength: 1, maxLength: 6 },
)

t.test('whatever a peer sends, a login goes on, succeeds or fails with a status', async (t) => {
  fc.assert(
    fc.property(anyRequests, (requests) => {
      const login = target()
      for (const { text, ...fields } of requests) {
        const answer = login.receive(request(fields), text)
        const failed = answer.outcome === 'failed'
        t.equal(answer.status !== LoginStatus.Success, failed)
        t.notOk(answer.transit && (!fields.transit || answer.continued))
        if (answer.outcome !== 'continue') break
      }
    }),
    { numRuns: 200 },
  )
})

t.test('whatever a peer sends, it gets past no authentication', async (t) => {
  fc.assert(
    fc.property(anyRequests, (requests) => {
      const login = target({ requirementOf: chapOnly })
      for (const { text, ...fields } of requests) {
        const answer = login.receive(request(fields), text)
        t.notOk(answer.transit)
        t.not(answer.outcome, 'full-feature')
        if (answer.outcome === 'failed') break
      }
    }),
    { numRuns: 500 },
  )
})
