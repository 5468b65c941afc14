import t from 'tap'
import { EarlyDataBuffers } from '../../src/session/early-data.ts'

const KiB = 1024

t.test('large buffers are used again, small ones are as long as is asked', async (t) => {
  const buffers = new EarlyDataBuffers(256 * KiB)
  const large = buffers.take(40 * KiB)
  t.equal(large.length, 256 * KiB)
  const small = buffers.take(4 * KiB)
  t.equal(small.length, 4 * KiB)
  buffers.giveBack(small)
  buffers.giveBack(large)
  t.not(buffers.take(4 * KiB), small)
  t.equal(buffers.take(256 * KiB), large)
  t.not(buffers.take(256 * KiB), large, 'it is in use')
})

t.test('two MiB of them are kept, and no more', async (t) => {
  const buffers = new EarlyDataBuffers(256 * KiB)
  const taken = Array.from({ length: 10 }, () => buffers.take(256 * KiB))
  for (const buffer of taken) buffers.giveBack(buffer)
  const again = Array.from({ length: 10 }, () => buffers.take(256 * KiB))
  t.equal(again.filter((buffer) => taken.includes(buffer)).length, 8)
})
