import t from 'tap'
import { ConfigError, readServeConfig } from '../src/config.ts'

t.test('pings are told in whole seconds, up to an hour', async (t) => {
  const config = readServeConfig({ pingAfter: '1', pingTimeout: '3600' }, {})
  t.match(config, { pingAfterMs: 1000, pingTimeoutMs: 3_600_000 })
  t.equal(readServeConfig({}, {}).pingAfterMs, undefined)
  for (const pingAfter of ['0', '3601', '-1', '1.5', '1s', '']) {
    t.throws(() => readServeConfig({ pingAfter }, {}), ConfigError, pingAfter)
  }
})
