import t from 'tap'
import { SlabPool } from '../../src/net/slab-pool.ts'

t.test('a slab that was given back is lent again', async (t) => {
  const pool = new SlabPool(64, 2)
  const first = pool.take()
  const second = pool.take()
  t.equal(first.length, 64)
  t.not(first.buffer, second.buffer, 'two borrowers never share one')
  pool.giveBack(first)
  t.equal(pool.take(), first)
})

t.test('no more slabs are kept than was said', async (t) => {
  const pool = new SlabPool(64, 1)
  const [first, second] = [pool.take(), pool.take()]
  pool.giveBack(first)
  pool.giveBack(second)
  t.equal(pool.take(), first)
  t.not(pool.take(), second)
})
