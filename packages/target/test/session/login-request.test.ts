import { LoginStatus, type TextPair } from '@platter/protocol/iscsi'
import t from 'tap'
import {
  authNone,
  chapOnly,
  initiatorName,
  names,
  type RequestFields,
  refuses,
  request,
  send,
  target,
  targetName,
  toFullFeature,
  toOperational,
} from '../support/login-exchange.ts'

t.test('names are compared without regard to case', async (t) => {
  const answer = send(target(), toFullFeature, [
    ['InitiatorName', initiatorName.toUpperCase()],
    ['TargetName', targetName.toUpperCase()],
  ])
  t.match(answer, { outcome: 'full-feature', identity: { initiatorName, targetName } })
})

t.test('the first request must name both nodes (RFC 7143 section 6.3)', async (t) => {
  const first = (pairs: TextPair[]) => send(target(), toOperational, [...pairs, ...authNone])
  refuses(t, first([['TargetName', targetName]]), LoginStatus.MissingParameter, /InitiatorName/)
  refuses(t, first([['InitiatorName', initiatorName]]), LoginStatus.MissingParameter, /TargetName/)
  refuses(t, first([]), LoginStatus.MissingParameter)
})

t.test('wrong names and session types are refused, each with its status', async (t) => {
  const first = (pairs: TextPair[]) => send(target(), toFullFeature, pairs)
  const initiator: TextPair = ['InitiatorName', initiatorName]
  refuses(t, first([initiator, ['TargetName', `${targetName}2`]]), LoginStatus.NotFound)
  refuses(t, first([initiator, ['TargetName', 'not a name']]), LoginStatus.NotFound)
  refuses(t, first([['InitiatorName', 'host'], names[1]!]), LoginStatus.InitiatorError)
  refuses(t, first([...names, ['SessionType', 'Other']]), LoginStatus.SessionTypeNotSupported)
})

t.test('the names and the session type come in the first request only', async (t) => {
  for (const pair of [['SessionType', 'Discovery'], ...names] as TextPair[]) {
    const login = target()
    send(login, toOperational, [...names, ...authNone])
    refuses(t, send(login, toFullFeature, [pair]), LoginStatus.InitiatorError, new RegExp(pair[0]))
  }
})

t.test('version 0 is the only one (RFC 7143 section 11.12.4)', async (t) => {
  const other = { ...toFullFeature, versionMin: 1, versionMax: 2 }
  refuses(t, send(target(), other, names), LoginStatus.UnsupportedVersion)
  const range = { ...toFullFeature, versionMin: 0, versionMax: 2 }
  t.match(send(target(), range, names), { outcome: 'full-feature', versionActive: 0 })
})

t.test('a later request has the versions of the first (RFC 7143 section 11.12.4)', async (t) => {
  for (const change of [{ versionMax: 1 }, { versionMin: 1, versionMax: 1 }]) {
    const login = target()
    send(login, toOperational, [...names, ...authNone])
    const answer = send(login, { ...toFullFeature, ...change })
    refuses(t, answer, LoginStatus.InitiatorError, /versionMax changed .* from 0 to 1/)
  }
  const wide = { versionMin: 0, versionMax: 2 }
  const login = target()
  send(login, { ...toOperational, ...wide }, [...names, ...authNone])
  const narrowed = send(login, { ...toFullFeature, versionMax: 0 })
  refuses(t, narrowed, LoginStatus.InitiatorError, /versionMax changed/)
  const same = target()
  send(same, { ...toOperational, ...wide }, [...names, ...authNone])
  t.match(send(same, { ...toFullFeature, ...wide }), { outcome: 'full-feature', versionActive: 0 })
})

t.test('stages go from 0 to 1 or 3 and from 1 to 3, and in no other way', async (t) => {
  const first: RequestFields[] = [
    { currentStage: 2 },
    { currentStage: 3 },
    { currentStage: 0, transit: true, nextStage: 0 },
    { currentStage: 0, transit: true, nextStage: 2 },
    { currentStage: 1, transit: true, nextStage: 0 },
    { currentStage: 1, transit: true, nextStage: 1 },
  ]
  for (const fields of first) {
    refuses(t, send(target(), fields, names), LoginStatus.InitiatorError, /[CN]SG/)
  }
})

t.test('a first request that goes on stays in its stage', async (t) => {
  for (const currentStage of [1, 2, 3]) {
    const login = target({ requirementOf: chapOnly })
    login.receive(request({ currentStage: 0, continued: true }), Buffer.from('Init'))
    const answer = send(login, { currentStage, transit: currentStage === 1, nextStage: 3 })
    refuses(t, answer, LoginStatus.InitiatorError, /CSG/)
  }
})

t.test('a request that goes on cannot end a stage', async (t) => {
  const answer = send(target(), { ...toFullFeature, continued: true }, names)
  refuses(t, answer, LoginStatus.InitiatorError, /T and C/)
})

t.test('identifiers must stay the same throughout a login', async (t) => {
  const changes: RequestFields[] = [
    { isid: '00023d000002' },
    { cid: 2 },
    { tsih: 9 },
    { initiatorTaskTag: 8 },
  ]
  for (const change of changes) {
    const login = target()
    send(login, toOperational, [...names, ...authNone])
    const answer = send(login, { ...toFullFeature, ...change })
    refuses(t, answer, LoginStatus.InitiatorError, new RegExp(`${Object.keys(change)[0]} changed`))
  }
  const cut = target()
  cut.receive(request({ currentStage: 1, continued: true }), Buffer.from('Init'))
  refuses(t, send(cut, { ...toFullFeature, cid: 2 }), LoginStatus.InitiatorError, /cid changed/)
})

t.test('a refusal names no stage that there is not (RFC 7143 §11.13.3)', async (t) => {
  const answer = send(target(), { currentStage: 2 }, names)
  refuses(t, answer, LoginStatus.InitiatorError)
  t.equal(answer.currentStage, 0)
  t.equal(send(target(), { currentStage: 3 }, names).currentStage, 3)
})
