import {
  ACCESS_INFORMATION_KEY,
  type AccessiblePartition,
  decodeText,
  parseAccessInformation,
  TextResponse,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { TargetNode } from '../../src/session/target-node.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { INITIATOR_NAME, makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

/** A session of a target that has `count` partitions for its host, the last LUN first. */
function start(count: number, wish: Parameters<ScriptedInitiator['login']>[0] = {}) {
  const { options } = makeNode(new MemoryVolume('m', 65536)).node
  const asked: string[] = []
  const node = new TargetNode({
    ...options,
    nodeArchitecture: 'Platter/0.1.0',
    maxConnections: () => 8,
    partitionsOf: (host) => {
      asked.push(host)
      return Array.from({ length: count }, (_, index) => partition(2 * (count - 1 - index)))
    },
  })
  const initiator = new ScriptedInitiator(node)
  initiator.login(wish)
  return { initiator, asked }
}

const partition = (lun: number): AccessiblePartition => ({
  lun,
  access: lun % 4 === 0 ? 'read-write' : 'read-only',
  sharing: 'exclusive',
  sizeBytes: 2 ** 40,
  array: 'a'.repeat(63),
  name: `p${lun}`,
})

/** The value of the answer, fetched to its end, and how many PDUs it took. */
function ask(initiator: ScriptedInitiator, value: string, key = ACCESS_INFORMATION_KEY) {
  const pieces: Buffer[] = []
  initiator.text({}, [[key, value]])
  let answer = initiator.receiveOne(TextResponse)
  for (; answer.continued; answer = initiator.receiveOne(TextResponse)) {
    t.equal(answer.final, false)
    pieces.push(answer.data)
    initiator.text({ ttt: answer.targetTransferTag })
  }
  const pairs = decodeText(Buffer.concat([...pieces, answer.data]))
  t.equal(pairs.length, 1)
  t.equal(pairs[0]?.[0], key)
  return { value: pairs[0]?.[1] ?? '', pdus: pieces.length + 1 }
}

t.test('a host is told of its access in one answer to X-org.platter.AccessInfo', async (t) => {
  const { initiator, asked } = start(2)
  t.strictSame(parseAccessInformation(ask(initiator, '0').value), {
    server: 'Platter/0.1.0',
    versionMin: 0,
    versionMax: 0,
    maxConnections: 8,
    portals: [{ host: '192.0.2.1', port: 3260, targetPortalGroupTag: 1 }],
    partitions: [partition(0), partition(2)],
    nextLun: undefined,
  })
  t.same(asked, [INITIATOR_NAME])
})

t.test('700 partitions are told page by page, each page over several PDUs', async (t) => {
  const { initiator } = start(700)
  const luns: number[] = []
  const pages: number[] = []
  for (let next: number | undefined = 0; next !== undefined; ) {
    const { value, pdus } = ask(initiator, `${next}`)
    t.ok(pdus > 1)
    const page = parseAccessInformation(value)
    luns.push(...page.partitions.map(({ lun }) => lun))
    pages.push(page.partitions.length)
    next = page.nextLun
  }
  t.same(pages, [256, 256, 188])
  t.same(
    luns,
    Array.from({ length: 700 }, (_, index) => 2 * index),
  )
})

t.test('beyond the last LUN there is nothing, and what is no LUN is refused', async (t) => {
  const { initiator } = start(2)
  const { partitions, nextLun } = parseAccessInformation(ask(initiator, '3').value)
  t.same([partitions, nextLun], [[], undefined])
  for (const value of ['', '?', '-1', 'All']) t.equal(ask(initiator, value).value, 'Reject')
  t.equal(ask(initiator, '0', 'X-org.platter.Access').value, 'NotUnderstood')
})

t.test('access information is for Normal sessions only', async (t) => {
  const { initiator, asked } = start(2, { discovery: true })
  initiator.text({}, [
    ['SendTargets', 'All'],
    [ACCESS_INFORMATION_KEY, '0'],
  ])
  const pairs = decodeText(initiator.receiveOne(TextResponse).data)
  t.same(pairs.at(-1), [ACCESS_INFORMATION_KEY, 'NotUnderstood'])
  t.same(asked, [])
})
