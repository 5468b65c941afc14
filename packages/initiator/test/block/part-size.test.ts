import t from 'tap'
import { partBytes } from '../../src/block/part-size.ts'

const KiB = 1024
const unknown = {
  connections: 4,
  unsolicitedBytes: 0,
  blockSizeBytes: 512,
  transferBlocksMax: 0,
  transferBlocksOptimal: 0,
  transferBlocksGranularity: 0,
}

t.test('one connection gets what the unit takes, up to 1 MiB', async (t) => {
  const one = { ...unknown, connections: 1, unsolicitedBytes: 65536, transferBlocksOptimal: 128 }
  t.equal(partBytes(one), 1024 * KiB)
  t.equal(partBytes({ ...one, transferBlocksMax: 1000 }), 1000 * 512)
})

t.test('several divide 1 MiB between them, but not into parts that cost more', async (t) => {
  const cases = [2, 3, 4, 8, 16, 64].map((connections) => partBytes({ ...unknown, connections }))
  t.strictSame(cases, [512 * KiB, 349_184, 256 * KiB, 128 * KiB, 64 * KiB, 64 * KiB])
})

t.test(
  'a part is no longer than what the target takes unasked, and what is best for the unit',
  async (t) => {
    t.equal(partBytes({ ...unknown, unsolicitedBytes: 128 * KiB }), 128 * KiB)
    t.equal(partBytes({ ...unknown, unsolicitedBytes: 8 * KiB }), 64 * KiB)
    t.equal(partBytes({ ...unknown, transferBlocksOptimal: 384 }), 192 * KiB)
    t.equal(partBytes({ ...unknown, transferBlocksMax: 64 }), 32 * KiB)
  },
)

t.test('a part is a multiple of what the unit says, and of its blocks', async (t) => {
  t.equal(partBytes({ ...unknown, connections: 3, transferBlocksGranularity: 128 }), 320 * KiB)
  t.equal(partBytes({ ...unknown, transferBlocksGranularity: 4096 }), 256 * KiB)
  t.equal(partBytes({ ...unknown, connections: 3, blockSizeBytes: 4096 }), 340 * KiB)
})

t.test('what was asked for is rounded up to blocks, and cut at what the unit takes', async (t) => {
  t.equal(partBytes(unknown, 96 * KiB), 96 * KiB)
  t.equal(partBytes({ ...unknown, connections: 1 }, 1000), 1024)
  t.equal(partBytes({ ...unknown, transferBlocksMax: 64 }, 96 * KiB), 32 * KiB)
})
