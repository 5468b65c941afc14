import t from 'tap'
import { ConfigError, readServeConfig, type ServeFlags } from '../src/config.ts'
import { defaultServerLimits } from '../src/server-limits.ts'

t.test('pings are told in whole seconds, up to an hour', async (t) => {
  const config = readServeConfig({ pingAfter: '1', pingTimeout: '3600', diskTimeout: '5' }, {})
  t.match(config, { pingAfterMs: 1000, pingTimeoutMs: 3_600_000, diskTimeoutMs: 5000 })
  t.equal(readServeConfig({}, {}).pingAfterMs, undefined)
  for (const pingAfter of ['0', '3601', '-1', '1.5', '1s', '']) {
    t.throws(() => readServeConfig({ pingAfter }, {}), ConfigError, pingAfter)
  }
})

t.test(
  'hosts from other machines must authenticate, unless plain words say otherwise',
  async (t) => {
    const floorOf = (flags: ServeFlags) => readServeConfig(flags, {}).minAuth
    const loopback = ['127.0.0.1:3260', '[::1]', 'localhost', '127.1.2.3']
    t.equal(floorOf({}), 'none')
    t.equal(floorOf({ portal: loopback }), 'none')
    for (const open of ['0.0.0.0', '[::]:3260', '192.0.2.1', 'example.org', '[2001:db8::1]']) {
      const portal = [...loopback, open]
      t.equal(floorOf({ portal }), 'chap', open)
      t.equal(floorOf({ portal, minAuth: 'chap-mutual' }), 'chap-mutual')
      t.equal(floorOf({ portal, allowUnauthenticated: true }), 'none')
      t.equal(floorOf({ portal, minAuth: 'none', allowUnauthenticated: true }), 'none')
      t.throws(() => floorOf({ portal, minAuth: 'none' }), /refused for the portal/)
    }
    t.equal(floorOf({ portal: loopback, minAuth: 'chap' }), 'chap')
    for (const minAuth of ['chap', 'chap-mutual']) {
      t.throws(() => floorOf({ minAuth, allowUnauthenticated: true }), /contradict each other/)
    }
    t.throws(() => floorOf({ minAuth: 'CHAP' }), /--min-auth: got CHAP, wanted none \| chap/)
  },
)

t.test('CHAP algorithms are told by name, and all are allowed if none are', async (t) => {
  t.same(readServeConfig({}, {}).chapAlgorithms, [5, 6, 7, 8])
  t.same(readServeConfig({ chapAlgorithms: 'sha3-256,sha256' }, {}).chapAlgorithms, [8, 7])
  for (const chapAlgorithms of ['', 'md4', 'sha256,', '5']) {
    t.throws(() => readServeConfig({ chapAlgorithms }, {}), ConfigError, chapAlgorithms)
  }
})

t.test('what is told of this software is a word of the command line', async (t) => {
  t.equal(readServeConfig({}, {}).nodeArchitecture, 'version')
  for (const nodeArchitecture of ['none', 'name', 'version']) {
    t.equal(readServeConfig({ nodeArchitecture }, {}).nodeArchitecture, nodeArchitecture)
  }
  t.throws(() => readServeConfig({ nodeArchitecture: 'all' }, {}), ConfigError)
})

t.test('limits are the standard ones where nothing else is said', async (t) => {
  t.same(readServeConfig({}, {}).limits, defaultServerLimits)
  const flags = { maxSessions: 3, maxCommands: 16, loginTimeout: '5' }
  t.same(readServeConfig(flags, {}).limits, {
    ...defaultServerLimits,
    sessions: 3,
    commands: 16,
    loginTimeoutMs: 5000,
  })
  t.throws(() => readServeConfig({ loginTimeout: '0' }, {}), /--login-timeout: got 0/)
})
