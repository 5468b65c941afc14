import { encodeText, LoginStatus, type TextPair } from '@platter/protocol/iscsi'
import t from 'tap'
import type { LoginRedirect } from '../../src/session/login-policy.ts'
import {
  authNone,
  chapOnly,
  initiatorName,
  names,
  pairsOf,
  send,
  target,
  toFullFeature,
  toOperational,
} from '../support/login-exchange.ts'

const elsewhere: LoginRedirect = { address: '192.0.2.7:3261', permanent: false }

function redirecting(to: LoginRedirect | undefined = elsewhere) {
  const asked: string[] = []
  const redirect = (name: string) => {
    asked.push(name)
    return to
  }
  return { login: target({ redirect }), asked }
}

t.test('a login is sent elsewhere, for now or for good (RFC 7143 §11.13.5)', async (t) => {
  for (const [permanent, status] of [
    [false, LoginStatus.TargetMovedTemporarily],
    [true, LoginStatus.TargetMovedPermanently],
  ] as const) {
    const { login, asked } = redirecting({ ...elsewhere, permanent })
    const answer = send(login, toFullFeature, names)
    t.match(answer, { outcome: 'failed', status, transit: false, continued: false })
    t.same(pairsOf(answer), { TargetAddress: '192.0.2.7:3261' }, 'with no portal group tag')
    t.same(asked, [initiatorName])
    t.match(send(login, toFullFeature, names), { status: LoginStatus.InitiatorError })
  }
})

t.test('where to is told in the security stage only to who is authenticated', async (t) => {
  const { login, asked } = redirecting()
  const first = send(login, { currentStage: 0 }, names)
  t.match(first, { outcome: 'continue', status: LoginStatus.Success })
  t.same(asked, [], 'it has not said how it will authenticate')
  const second = send(login, toOperational, authNone)
  t.match(second, { outcome: 'failed', status: LoginStatus.TargetMovedTemporarily })

  const never = target({ requirementOf: chapOnly, redirect: () => elsewhere })
  t.match(send(never, toOperational, [...names, ...authNone]), {
    status: LoginStatus.AuthenticationFailure,
    text: encodeText([['AuthMethod', 'Reject']]),
  })
})

t.test('discovery, and connections of a session that is here, are not sent away', async (t) => {
  const discovery: TextPair[] = [
    ['InitiatorName', initiatorName],
    ['SessionType', 'Discovery'],
  ]
  t.match(send(redirecting().login, toFullFeature, discovery), { outcome: 'full-feature' })
  const further = { ...toFullFeature, tsih: 5, cid: 2 }
  t.match(send(redirecting().login, further, names), { outcome: 'full-feature' })
})

t.test('a wrong name is a wrong name first', async (t) => {
  const { login, asked } = redirecting()
  const pairs: TextPair[] = [names[0]!, ['TargetName', 'iqn.2024-01.org.platter:other']]
  t.match(send(login, toFullFeature, pairs), { status: LoginStatus.NotFound })
  t.same(asked, [])
})
