import fc from 'fast-check'
import t from 'tap'
import { divide, inverse, multiply, powerOfTwo } from '../../../src/volume/raid/galois.ts'
import { modelProduct } from './parity-model.ts'

const element = fc.integer({ min: 0, max: 255 })
const nonZero = fc.integer({ min: 1, max: 255 })

t.test('every product is that of the polynomials', async (t) => {
  const wrong: string[] = []
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) {
      if (multiply(a, b) !== modelProduct(a, b)) wrong.push(`${a} * ${b} = ${multiply(a, b)}`)
    }
  }
  t.strictSame(wrong, [])
  // From "The mathematics of RAID-6": what leaves the byte comes back as 0x1d.
  t.equal(multiply(0x80, 2), 0x1d)
  t.equal(powerOfTwo(8), 0x1d)
})

t.test('it is a field', async (t) => {
  const laws = fc.property(element, element, element, (a, b, c) => {
    const commutes = multiply(a, b) === multiply(b, a)
    const associates = multiply(multiply(a, b), c) === multiply(a, multiply(b, c))
    const distributes = multiply(a, b ^ c) === (multiply(a, b) ^ multiply(a, c))
    return commutes && associates && distributes && multiply(a, 1) === a && multiply(a, 0) === 0
  })
  fc.assert(laws, { numRuns: 2000 })
  const division = fc.property(element, nonZero, (a, b) => {
    return multiply(divide(a, b), b) === a && multiply(b, inverse(b)) === 1
  })
  fc.assert(division, { numRuns: 2000 })
  t.throws(() => inverse(0), RangeError)
  t.throws(() => divide(7, 0), RangeError)
})

t.test('the powers of 2 are all elements but 0, and come again after 255', async (t) => {
  const powers = Array.from({ length: 255 }, (_, exponent) => powerOfTwo(exponent))
  t.equal(new Set(powers).size, 255)
  t.notOk(powers.includes(0))
  const laws = fc.property(
    fc.integer({ min: -600, max: 600 }),
    fc.integer({ min: -600, max: 600 }),
    (a, b) => {
      const sum = multiply(powerOfTwo(a), powerOfTwo(b)) === powerOfTwo(a + b)
      return (
        sum && powerOfTwo(a + 255) === powerOfTwo(a) && powerOfTwo(-a) === inverse(powerOfTwo(a))
      )
    },
  )
  fc.assert(laws, { numRuns: 1000 })
})
