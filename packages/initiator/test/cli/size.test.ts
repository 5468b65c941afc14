import { InvalidArgumentError } from 'commander'
import t from 'tap'
import { formatSize, offsetArgument, sizeArgument } from '../../src/cli/size.ts'

t.test('sizes are read in binary units', async (t) => {
  t.strictSame(['1', '65536', '256K', '512m', '1.5G', '2TiB', '1KB'].map(sizeArgument), [
    1,
    65536,
    2 ** 18,
    2 ** 29,
    1.5 * 2 ** 30,
    2 ** 41,
    1024,
  ])
  t.equal(offsetArgument('0'), 0)
  for (const text of ['', '0', '-1', '1.5', 'K', '1X', '99999999P', '1e3', ' 1', 'NaN']) {
    t.throws(() => sizeArgument(text), InvalidArgumentError, text)
  }
})

t.test('sizes are written with three digits', async (t) => {
  t.strictSame([0, 999, 1024, 1536, 10 * 2 ** 20, 1023 * 2 ** 20, 2 ** 41].map(formatSize), [
    '0 B',
    '999 B',
    '1.00 KiB',
    '1.50 KiB',
    '10.0 MiB',
    '1023 MiB',
    '2.00 TiB',
  ])
})
