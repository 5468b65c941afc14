import t from 'tap'
import { formatPortal, pathArgument } from '../../src/cli/portal.ts'

t.test('a path is a portal with what is said of the way to it', async (t) => {
  t.strictSame(pathArgument('192.0.2.7'), { host: '192.0.2.7', port: 3260 })
  t.strictSame(pathArgument('[2001:db8::1]:860,source=eth1,weight=2.5'), {
    host: '2001:db8::1',
    port: 860,
    source: 'eth1',
    weight: 2.5,
  })
  t.equal(formatPortal({ host: '2001:db8::1', port: 860, source: 'eth1' }), '[2001:db8::1]:860')
})
