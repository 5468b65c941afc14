import t from 'tap'
import { partitionArgument } from '../../src/cli/partition.ts'

t.test('a partition is named by its portal and itself, or by its URL', async (t) => {
  const iqn = 'iqn.2026-11.org.example:disks'
  const portal = { host: '192.0.2.7', port: 3260 }
  t.strictSame(partitionArgument('192.0.2.7/scratch'), {
    portal,
    targetName: undefined,
    unit: 'scratch',
  })
  t.strictSame(partitionArgument(`[2001:db8::7]:3261,source=eth1/${iqn}/lun0`), {
    portal: { host: '2001:db8::7', port: 3261, source: 'eth1' },
    targetName: iqn,
    unit: 'lun0',
  })
  t.strictSame(partitionArgument(`iscsi://192.0.2.7/${iqn}/3`), {
    portal,
    targetName: iqn,
    unit: 3,
  })
})

t.test('anything else is refused', async (t) => {
  for (const text of [
    '192.0.2.7',
    '192.0.2.7/',
    '/scratch',
    '192.0.2.7/disks/scratch',
    '192.0.2.7/iqn.2026-11.org.example:a/scratch/more',
    'iscsi://192.0.2.7/3',
    'iscsi://192.0.2.7/iqn.2026-11.org.example:a/scratch',
    'http://192.0.2.7/scratch',
  ]) {
    t.throws(() => partitionArgument(text), { message: /wanted HOST/ }, text)
  }
  t.throws(() => partitionArgument('iscsi://me%secret@192.0.2.7/iqn.2026-11.org.example:a/0'), {
    message: /not taken from the command line: use --chap-user and --secret-file/,
  })
})
