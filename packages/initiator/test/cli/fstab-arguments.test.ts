import t from 'tap'
import { fstabArguments } from '../../src/cli/fstab-arguments.ts'

t.test('what mount(8) says is a mount in the background', async (t) => {
  const options =
    'rw,nodev,nosuid,noauto,_netdev,nofail,x-systemd.automount,allow_other,secret-file=/etc/s'
  t.strictSame(fstabArguments(['192.0.2.7 b=192.0.2.8', '/mnt/san', '-o', options]), [
    'mount',
    '--daemon',
    '--allow-other',
    '--secret-file=/etc/s',
    '192.0.2.7',
    'b=192.0.2.8',
    '/mnt/san',
  ])
  t.match(fstabArguments(['192.0.2.7', '/mnt', '-o', 'ro']), ['mount', '--daemon', '--read-only'])
  t.strictSame(fstabArguments(['192.0.2.7', '/mnt', '-o', 'defaults']), [
    'mount',
    '--daemon',
    '192.0.2.7',
    '/mnt',
  ])
})

t.test('any other command line is taken as it is', async (t) => {
  const lines = [[], ['status'], ['mount', '192.0.2.7', '/mnt'], ['--help', 'x', '-o', 'rw']]
  for (const args of lines) t.equal(fstabArguments(args), undefined)
})
