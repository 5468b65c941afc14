import t from 'tap'
import { formatSize, parseSize } from '../src/size.ts'

t.test('units are binary, in any case, with or without iB', async (t) => {
  const sizes: [string, number][] = [
    ['512', 512],
    ['64K', 65536],
    ['64kib', 65536],
    ['1.5G', 1610612736],
    ['2T', 2199023255552],
    ['0.5K', 512],
  ]
  for (const [text, bytes] of sizes) t.equal(parseSize(text), bytes, text)
})

t.test('what is no whole number of bytes is refused', async (t) => {
  for (const text of ['', 'x', '-1', '0', '1.0001K', '1E', '1 G B', '9999999T', '0x10', '1e3']) {
    t.throws(() => parseSize(text), { message: /^size: got/ }, text)
  }
})

t.test('sizes are printed in both forms', async (t) => {
  const sizes: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB (1024)'],
    [1610612736, '1.5 GiB (1610612736)'],
    [1099511627777, '1 TiB (1099511627777)'],
    [10 * 1024 ** 3, '10 GiB (10737418240)'],
  ]
  for (const [bytes, text] of sizes) t.equal(formatSize(bytes), text)
})
