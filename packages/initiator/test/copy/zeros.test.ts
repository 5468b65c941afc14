import fc from 'fast-check'
import t from 'tap'
import { zeroRuns } from '../../src/copy/zeros.ts'

const UNIT = 64 * 1024

t.test('runs are zeros or not, touch one another and cover all', (t) => {
  const units = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: UNIT }), fc.nat(UNIT - 1), (isZero, tail, at) => {
      const bytes = Buffer.alloc((isZero.length - 1) * UNIT + tail)
      for (const [index, zero] of isZero.entries()) {
        const end = Math.min((index + 1) * UNIT, bytes.length)
        if (!zero) bytes[Math.min(index * UNIT + at, end - 1)] = 1
      }
      let covered = 0
      let before: boolean | undefined
      for (const { start, end, zero } of zeroRuns(bytes)) {
        if (start !== covered || end <= start || zero === before) return false
        if (zero !== bytes.subarray(start, end).every((byte) => byte === 0)) return false
        covered = end
        before = zero
      }
      return covered === bytes.length
    }),
    { numRuns: 100 },
  )
  t.end()
})
