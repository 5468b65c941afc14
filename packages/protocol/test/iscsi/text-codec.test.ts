import fc from 'fast-check'
import t from 'tap'
import { ProtocolError } from '../../src/iscsi/errors.ts'
import {
  decodeText,
  encodeText,
  splitText,
  TextAssembler,
  type TextPair,
} from '../../src/iscsi/text-codec.ts'

const key = fc.stringMatching(/^[A-Za-z][A-Za-z0-9.\-+@_#]{0,62}$/)
const value = fc
  .string({ unit: 'grapheme', maxLength: 60 })
  .filter((text) => !text.includes('\0') && Buffer.byteLength(text) <= 255)
const pairs = fc.array(fc.tuple(key, value), { maxLength: 20 })

t.test('pairs come back as they were, in order', async (t) => {
  fc.assert(
    fc.property(pairs, (pairs) => {
      t.same(decodeText(encodeText(pairs)), pairs)
    }),
    { numRuns: 50 },
  )
})

t.test('each pair is ended by a zero byte', async (t) => {
  t.same(
    encodeText([
      ['HeaderDigest', 'None'],
      ['TargetAlias', 'Größe=1'],
    ]),
    Buffer.from('HeaderDigest=None\0TargetAlias=Größe=1\0'),
  )
  t.equal(encodeText([]).length, 0)
})

t.test('more than one zero byte may follow a pair (RFC 7143 section 6.1)', async (t) => {
  t.same(decodeText(Buffer.from('A=1\0\0\0B=\0\0')), [
    ['A', '1'],
    ['B', ''],
  ])
})

t.test('text that is not well-formed is refused', async (t) => {
  const wrong: [string, Buffer][] = [
    ['no end', Buffer.from('A=1')],
    ['no end of the last', Buffer.from('A=1\0B=2')],
    ['no "="', Buffer.from('A=1\0B\0')],
    ['no key', Buffer.from('=1\0')],
    ['a space in the key', Buffer.from('A B=1\0')],
    ['a digit first', Buffer.from('1A=1\0')],
    ['a key of 64 bytes', Buffer.from(`${'K'.repeat(64)}=1\0`)],
    ['a value of 256 bytes', Buffer.from(`TargetAlias=${'v'.repeat(256)}\0`)],
    ['not UTF-8', Buffer.from([0x41, 0x3d, 0xff, 0x00])],
  ]
  for (const [name, data] of wrong) t.throws(() => decodeText(data), ProtocolError, name)
})

t.test('values may be as long as their key allows; in a list, each element', async (t) => {
  const fits = [
    `TargetAlias=${'v'.repeat(255)}`,
    `CHAP_C=0x${'f'.repeat(2048)}`,
    `AuthMethod=${'v'.repeat(255)},${'w'.repeat(255)}`,
    `${'K'.repeat(63)}=1`,
  ]
  for (const text of fits) t.equal(decodeText(Buffer.from(`${text}\0`)).length, 1)
  t.throws(() => decodeText(Buffer.from(`CHAP_C=0x${'f'.repeat(8192)}\0`)), ProtocolError)
})

t.test('what could not be decoded again is not encoded', async (t) => {
  t.throws(() => encodeText([['A B', '1']]), RangeError)
  t.throws(() => encodeText([['', '1']]), RangeError)
  t.throws(() => encodeText([['A', 'x\0B=2']]), RangeError)
})

t.test('a text cut anywhere is put together again', async (t) => {
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 })
  fc.assert(
    fc.property(pairs, cuts, (pairs, cuts) => {
      const data = encodeText(pairs)
      const assembler = new TextAssembler(data.length)
      let position = 0
      for (let i = 0; position < data.length; i++) {
        const length = Math.min(cuts[i % cuts.length] as number, data.length - position)
        assembler.append(data, position, length)
        position += length
      }
      t.same(assembler.take(), pairs)
      t.equal(assembler.lengthBytes, 0)
    }),
    { numRuns: 50 },
  )
})

t.test('an assembler keeps its own copy of what it was given', async (t) => {
  const data = Buffer.from('A=1\0')
  const assembler = new TextAssembler(100)
  assembler.append(data, 0, data.length)
  data.fill(0xff)
  t.same(assembler.take(), [['A', '1']])
})

t.test('an assembler takes no more than its limit', async (t) => {
  const assembler = new TextAssembler(10)
  assembler.append(Buffer.alloc(10), 0, 10)
  t.throws(() => assembler.append(Buffer.alloc(1), 0, 1), ProtocolError)
})

t.test('a long text is split into full segments and a rest', async (t) => {
  const pairs: TextPair[] = [['TargetAlias', 'x'.repeat(100)]]
  const data = encodeText(pairs)
  const pieces = splitText(data, 50)
  t.same(
    pieces.map((piece) => piece.length),
    [50, 50, 13],
  )
  t.same(decodeText(Buffer.concat(pieces)), pairs)
  t.same(splitText(Buffer.alloc(0), 50), [Buffer.alloc(0)])
  t.equal(splitText(Buffer.alloc(100), 50).length, 2)
})
