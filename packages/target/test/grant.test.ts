import t from 'tap'
import { findGrantConflicts, freeLun, type Grant, grantsOf } from '../src/grant.ts'

const id = (digit: string) => `0000000${digit}-0000-4000-8000-000000000000`
const grant = (host: string, partition: string, lun: number, rest: Partial<Grant> = {}): Grant => ({
  host,
  array: id('0'),
  partition: id(partition),
  lun,
  access: 'read-write',
  sharing: 'shared',
  ...rest,
})
const all = (partition: string, lun: number) => grant('*', partition, lun)

t.test('a host has its own grants, and those of all hosts for the rest', async (t) => {
  const grants = [all('1', 0), all('2', 1), grant('a', '2', 7), grant('b', '3', 2)]
  t.same(grantsOf(grants, 'a'), [grants[2], grants[0]])
  t.same(grantsOf(grants, 'b'), [grants[3], grants[0], grants[1]])
  t.same(grantsOf(grants, 'c'), [grants[0], grants[1]])
})

t.test('the LUN of a new grant is the one known elsewhere, or the lowest free one', async (t) => {
  t.equal(freeLun([], 'a', id('1')), 0)
  t.equal(freeLun([grant('a', '2', 0), grant('b', '2', 1)], 'a', id('1')), 1)
  t.equal(freeLun([grant('a', '2', 0), grant('b', '2', 1)], '*', id('1')), 2)
  t.equal(freeLun([all('2', 0), grant('b', '1', 9)], 'a', id('1')), 9, 'as b knows it')
  t.equal(freeLun([grant('a', '2', 9), grant('b', '1', 9)], 'a', id('1')), 0)
  const full = Array.from({ length: 16384 }, (_, lun) => all('2', lun))
  t.equal(freeLun(full, 'a', id('1')), undefined)
})

t.test('one LUN is one partition to a host, and an exclusive partition one host', async (t) => {
  const sole = (host: string, partition: string, lun: number) =>
    grant(host, partition, lun, { sharing: 'exclusive' })
  t.same(findGrantConflicts([grant('a', '1', 0), grant('b', '2', 0), all('3', 1)]), [])
  t.same(findGrantConflicts([all('1', 0), grant('a', '1', 0)]), [], 'the same partition twice')
  t.same(findGrantConflicts([sole('a', '1', 0), sole('b', '2', 0)]), [])
  const conflicts: [Grant[], RegExp][] = [
    [[grant('a', '1', 0), grant('a', '2', 0)], /grants\[1\]\.lun: got 0, which grants\[0\] has/],
    [[all('1', 0), grant('a', '2', 0)], /grants\[1\]\.lun/],
    [[grant('a', '1', 0), all('2', 0)], /grants\[1\]\.lun/],
    [[grant('a', '1', 0), grant('a', '1', 1)], /grants\[1\]\.partition: got that of grants\[0\]/],
    [[sole('a', '1', 0), grant('b', '1', 0)], /grants\[1\]\.sharing: one of it and grants\[0\]/],
    [[grant('a', '1', 0), sole('b', '1', 1)], /grants\[1\]\.sharing/],
    [[sole('*', '1', 0)], /grants\[0\]\.sharing: got exclusive, wanted shared/],
  ]
  for (const [grants, message] of conflicts) t.match(findGrantConflicts(grants).join(), message)
})
