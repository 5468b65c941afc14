import { LoginStatus, Opcode } from '@platter/protocol/iscsi'
import t from 'tap'
import { discoverTargets } from '../../src/net/discover.ts'
import { LoopbackTarget, loopbackPolicy } from '../support/loopback-target.ts'
import { identity } from '../support/scripted-target.ts'

const who = identity(loopbackPolicy, 'Discovery')

t.test('the targets of a portal are told, and the session is ended in order', async (t) => {
  const target = await LoopbackTarget.listen(t)
  target.targets = [
    ['TargetName', 'iqn.2026-11.org.platter:a'],
    ['TargetAddress', '192.0.2.1:3260,1'],
    ['TargetName', 'iqn.2026-11.org.platter:b'],
  ]
  t.strictSame(await discoverTargets(target.endpoint, who), [
    {
      name: 'iqn.2026-11.org.platter:a',
      portals: [{ host: '192.0.2.1', port: 3260, targetPortalGroupTag: 1 }],
    },
    { name: 'iqn.2026-11.org.platter:b', portals: [] },
  ])
  t.equal(target.peers.length, 1)
})

t.test('a portal without targets tells of none', async (t) => {
  const target = await LoopbackTarget.listen(t)
  t.strictSame(await discoverTargets(target.endpoint, who), [])
})

t.test('a portal that refuses, is not there or talks nonsense is an error', async (t) => {
  const target = await LoopbackTarget.listen(t)
  target.targets = [['TargetName', 'disk']]
  await t.rejects(discoverTargets(target.endpoint, who), /disk is not an iSCSI name/)
  target.loginStatus = LoginStatus.AuthorizationFailure
  await t.rejects(discoverTargets(target.endpoint, who), { name: 'LoginError', status: 0x0202 })
  target.stop()
  await t.rejects(discoverTargets(target.endpoint, who), /ECONNREFUSED/)
})

t.test('a portal that closes before it answers is an error', async (t) => {
  const target = await LoopbackTarget.listen(t)
  target.ignored.add(Opcode.TextRequest)
  const answer = discoverTargets(target.endpoint, who)
  const peer = await target.nextPeer()
  peer.onIgnored = () => peer.socket.end()
  await t.rejects(answer, /the target closed the connection/)
})
