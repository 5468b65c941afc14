import t from 'tap'
import { parseServers } from '../../src/cli/server-argument.ts'

const portal = (host: string, port = 3260) => ({ host, port })

t.test('a server has a name, and portals', async (t) => {
  t.strictSame(parseServers(['192.0.2.7', 'backup=192.0.2.8:860+[2001:db8::8],weight=2']), [
    { name: '192.0.2.7', portals: [portal('192.0.2.7')] },
    {
      name: 'backup',
      portals: [portal('192.0.2.8', 860), { ...portal('2001:db8::8'), weight: 2 }],
    },
  ])
  t.match(parseServers(['192.0.2.7,source=eth1']), [
    { name: '192.0.2.7', portals: [{ source: 'eth1' }] },
  ])
})

t.test('servers at one host are told apart by their ports', async (t) => {
  const names = (...texts: string[]) => parseServers(texts).map(({ name }) => name)
  t.strictSame(names('a:1', 'a:2', 'b'), ['a:1', 'a:2', 'b'])
  t.strictSame(names('a:1', 'x=a:2'), ['a', 'x'])
  t.strictSame(names('[2001:db8::8]:860', '[2001:db8::8]'), [
    '[2001:db8::8]:860',
    '[2001:db8::8]:3260',
  ])
})

t.test('two of one name, and names that are no names, are refused', async (t) => {
  t.throws(() => parseServers(['a', 'a']), /two servers that are called a:3260/)
  t.throws(() => parseServers(['b=a', 'b=c']), /two servers that are called b/)
  for (const name of ['', '.', '..', '.platter', 'a/b', 'a b']) {
    t.throws(() => parseServers([`${name}=192.0.2.7`]), /as a server's name/, name)
  }
  t.throws(() => parseServers(['a+']), /wanted HOST/)
})
