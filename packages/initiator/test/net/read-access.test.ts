import { ACCESS_INFORMATION_KEY, formatAccessInformation, Opcode } from '@platter/protocol/iscsi'
import t from 'tap'
import { readAccess } from '../../src/net/read-access.ts'
import { LoopbackTarget, loopbackPolicy } from '../support/loopback-target.ts'
import { identity } from '../support/scripted-target.ts'

const who = identity(loopbackPolicy, 'Normal')
const partition = (lun: number) => ({
  lun,
  access: 'read-write' as const,
  sharing: 'shared' as const,
  sizeBytes: 4096,
  array: 'r0',
  name: `p${lun}`,
})
const page = (luns: readonly number[], nextLun: number | undefined) =>
  formatAccessInformation({
    server: 'Platter/1',
    versionMin: 0,
    versionMax: 0,
    maxConnections: 3,
    portals: [{ host: '192.0.2.1', port: 3260, targetPortalGroupTag: 1 }],
    partitions: luns.map(partition),
    nextLun,
  })

t.test('all pages are asked for, and become one', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const pages = new Map([
    ['0', page([0, 1], 5)],
    ['5', page([5], 9)],
    ['9', page([9], undefined)],
  ])
  target.answerText = ([[key, value] = ['', '']]) => [[key, pages.get(value) ?? 'Reject']]
  const access = await readAccess(target.endpoint, who)
  t.match(access, { server: 'Platter/1', maxConnections: 3, nextLun: undefined })
  t.strictSame(access?.partitions, [0, 1, 5, 9].map(partition))
  t.equal(target.peers.length, 1, 'in one session')
})

t.test('a target that does not know the question loses nothing by it', async (t) => {
  const target = await LoopbackTarget.listen(t)
  for (const answer of ['NotUnderstood', 'Reject', 'Irrelevant', undefined]) {
    target.answerText = () => (answer === undefined ? [] : [[ACCESS_INFORMATION_KEY, answer]])
    t.equal(await readAccess(target.endpoint, who), undefined)
  }
})

t.test('an answer that is nonsense or goes in circles is an error', async (t) => {
  const target = await LoopbackTarget.listen(t)
  target.answerText = () => [[ACCESS_INFORMATION_KEY, 'format:1,versions:a']]
  await t.rejects(readAccess(target.endpoint, who), /got versions:a, wanted a number/)
  target.answerText = () => [[ACCESS_INFORMATION_KEY, page([], 5)]]
  await t.rejects(readAccess(target.endpoint, who), /next:5 follows a page from LUN 5/)
  target.answerText = () => [[ACCESS_INFORMATION_KEY, page([], 0)]]
  await t.rejects(readAccess(target.endpoint, who), /next:0 follows a page from LUN 0/)
})

t.test('a target that closes before it answers is an error', async (t) => {
  const target = await LoopbackTarget.listen(t)
  target.ignored.add(Opcode.TextRequest)
  const answer = readAccess(target.endpoint, who)
  const peer = await target.nextPeer()
  peer.onIgnored = () => peer.socket.end()
  await t.rejects(answer, /the target closed the connection/)
})
