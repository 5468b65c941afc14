import t from 'tap'
import { SlabPool } from '../../src/net/slab-pool.ts'

t.test('a slab is as long as was asked, or longer, with memory of its own', async (t) => {
  const pool = new SlabPool(1024 * 1024)
  for (const length of [0, 1, 8192, 8193, 65536, 65537, 300_000]) {
    const slab = pool.take(length)
    t.ok(slab.length >= length && slab.length < Math.max(2 * length, 8193))
    t.equal(slab.byteOffset, 0)
    t.equal(slab.buffer.byteLength, slab.length)
  }
})

t.test('what is given back is lent again, to a borrower of its size', async (t) => {
  const pool = new SlabPool(1024 * 1024)
  const [small, large] = [pool.take(5000), pool.take(50_000)]
  pool.giveBack(small)
  pool.giveBack(large)
  t.equal(pool.take(40_000), large)
  t.equal(pool.take(8192), small)
  t.not(pool.take(8192), small)
})

t.test('what is kept for later is bounded', async (t) => {
  const pool = new SlabPool(20_000)
  const slabs = [1, 2, 3].map(() => pool.take(8192))
  for (const slab of slabs) pool.giveBack(slab)
  const again = [1, 2, 3].map(() => pool.take(8192))
  t.equal(again.filter((slab) => slabs.includes(slab)).length, 2)
})

t.test('a slab beyond every class is an error', async (t) => {
  t.throws(() => new SlabPool(0).take(2 ** 31), RangeError)
})
