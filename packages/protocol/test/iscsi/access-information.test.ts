import fc from 'fast-check'
import t from 'tap'
import {
  ACCESS_INFORMATION_KEY,
  type AccessInformation,
  formatAccessInformation,
  parseAccessInformation,
} from '../../src/iscsi/access-information.ts'
import { decodeText, encodeText, KEY_BYTES_MAX } from '../../src/iscsi/text-codec.ts'

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
const plain = { noNullPrototype: true }
const partition = fc.record(
  {
    lun: fc.integer({ min: 0, max: 16383 }),
    access: fc.constantFrom('read-write' as const, 'read-only' as const),
    sharing: fc.constantFrom('exclusive' as const, 'shared' as const),
    sizeBytes: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    array: name,
    name,
  },
  plain,
)
const portal = fc.record(
  {
    host: fc.oneof(
      fc.ipV4(),
      fc.ipV6().filter((host) => !host.includes('.')),
    ),
    port: fc.integer({ min: 1, max: 65535 }),
    targetPortalGroupTag: fc.integer({ min: 0, max: 65535 }),
  },
  plain,
)
const version = fc.integer({ min: 0, max: 255 })
const information: fc.Arbitrary<AccessInformation> = fc.record(
  {
    server: fc.stringMatching(/^[A-Za-z0-9.+@_/:-]{0,200}$/),
    versionMin: version,
    versionMax: version,
    maxConnections: fc.integer({ min: 1, max: 65535 }),
    portals: fc.array(portal, { maxLength: 5 }),
    partitions: fc.array(partition, { maxLength: 256 }),
    nextLun: fc.option(fc.integer({ min: 0, max: 16383 }), { nil: undefined }),
  },
  plain,
)

t.test('what is told is what is read, and each element a text-value of 255 bytes', async (t) => {
  fc.assert(
    fc.property(information, (told) => {
      const value = formatAccessInformation(told)
      t.strictSame(parseAccessInformation(value), told)
      const [pair, ...more] = decodeText(encodeText([[ACCESS_INFORMATION_KEY, value]]))
      t.strictSame([pair, more], [[ACCESS_INFORMATION_KEY, value], []])
      for (const element of value.split(',')) {
        t.ok(element.length <= 255, element)
        t.match(element, /^[A-Za-z0-9.\-+@_/[\]:]*$/, 'RFC 7143 section 6.1')
      }
    }),
    { numRuns: 60 },
  )
})

t.test('the key is a private one of the form that RFC 7143 asks for', async (t) => {
  t.match(ACCESS_INFORMATION_KEY, /^X-org\.platter\.[A-Za-z]+$/)
  t.ok(ACCESS_INFORMATION_KEY.length <= KEY_BYTES_MAX)
})

const least = 'format:1,server:Platter/1,versions:0/0,connections:8'

t.test('elements of a kind that is not known are passed over', async (t) => {
  const told = parseAccessInformation(`${least},colour:blue,word,next:7`)
  t.match(told, { server: 'Platter/1', maxConnections: 8, partitions: [], nextLun: 7 })
})

t.test('what is not of the form is an error that names the element', async (t) => {
  for (const [value, wanted] of [
    ['', /got , wanted format:1/],
    ['format:2,server:x', /got format:2, wanted format:1/],
    ['format:1', /got versions:, wanted a number/],
    ['format:1,versions:0/1/2,connections:1', /got versions:0\/1\/2, wanted MIN\/MAX/],
    ['format:1,versions:0/0', /got connections:, wanted a number/],
    [`${least},portal:192.0.2.1:3260`, /got portal:192\.0\.2\.1:3260, wanted TAG\/HOST:PORT/],
    [`${least},portal:x/192.0.2.1:3260`, /got portal:x, wanted a number/],
    [`${least},portal:1/`, /wanted TAG\/HOST:PORT/],
    [`${least},partition:0/read-write/exclusive/1/a`, /wanted LUN\/ACCESS/],
    [`${least},partition:0/write/exclusive/1/a/b`, /wanted LUN\/ACCESS/],
    [`${least},partition:0/read-only/mine/1/a/b`, /wanted LUN\/ACCESS/],
    [`${least},partition:0/read-only/shared/1/a/b/c`, /wanted LUN\/ACCESS/],
    [`${least},partition:-1/read-only/shared/1/a/b`, /got partition:-1, wanted a number/],
    [`${least},next:last`, /got next:last, wanted a number/],
  ] as const) {
    t.throws(() => parseAccessInformation(value), wanted)
  }
})
