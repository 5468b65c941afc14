import t from 'tap'
import { describeMount, describeStatus } from '../../src/cli/mount-description.ts'
import type { MountStatus } from '../../src/cli/mount-status.ts'

const path = {
  path: '192.0.2.7:3260',
  weight: 1,
  connections: 2,
  opened: 2,
  lost: 0,
  commands: 100,
  readBytes: 2 ** 20,
  writtenBytes: 0,
  commandMs: 50,
  bytesInFlight: 0,
  error: null,
}
const status: MountStatus = {
  directory: '/mnt/san',
  pid: 17,
  version: '0.1.0',
  since: '2026-11-25T00:00:00.000Z',
  servers: [
    {
      name: 'a',
      targetName: 'iqn.2026-11.org.platter:a',
      mode: 'connections',
      connections: 3,
      error: null,
      paths: [path, { ...path, path: '198.51.100.7:3260', error: 'no answer', lost: 1 }],
      partitions: [{ name: 'data', sizeBytes: 3 * 2 ** 29, readOnly: true }],
    },
    {
      name: 'b',
      targetName: null,
      mode: null,
      connections: 0,
      error: 'ECONNREFUSED',
      paths: [],
      partitions: [],
    },
  ],
}

t.test('who has mounted is told what, over which paths, and what cannot be reached', async (t) => {
  t.equal(
    describeMount(status),
    [
      'iqn.2026-11.org.platter:a is mounted on /mnt/san',
      '  3 connections in one session, over 192.0.2.7:3260 and 198.51.100.7:3260',
      '  data  1.50 GiB, read-only',
      'b cannot be reached: ECONNREFUSED',
      '',
    ].join('\n'),
  )
})

t.test('a status tells how each path fares, and what has gone over it', async (t) => {
  const traffic = '1.00 MiB read, 0 B written, 100 commands, 0.50 ms each'
  const text = describeStatus(status)
  t.match(text, '/mnt/san  mounted since 2026-11-25T00:00:00.000Z, process 17')
  t.match(text, `  192.0.2.7:3260  up, 2 connections; ${traffic}\n`)
  t.match(text, '  198.51.100.7:3260  DOWN: no answer, lost 1 time; ')
  t.match(text, 'b  not reached: ECONNREFUSED')
})

t.test('with an earlier one it tells what goes over it in a second', async (t) => {
  const [a, b] = status.servers as [MountStatus['servers'][0], MountStatus['servers'][0]]
  const later = { ...path, commands: 140, writtenBytes: 4 * 2 ** 20, commandMs: 130 }
  const now = { ...status, servers: [{ ...a, paths: [later] }, b] }
  const traffic = '0 B/s read, 2.00 MiB/s written, 20 commands/s, 2.00 ms each'
  t.match(describeStatus(now, { status, seconds: 2 }), `up, 2 connections; ${traffic}\n`)
})
