import fc from 'fast-check'
import t from 'tap'
import {
  formatBase64,
  formatHex,
  parseBinary,
  parseBoolean,
  parseList,
  parseNumber,
  parseRange,
} from '../../src/iscsi/text-value.ts'

t.test('numbers are decimal or hex constants below 2^64', async (t) => {
  t.equal(parseNumber('0'), 0)
  t.equal(parseNumber('262144'), 262144)
  t.equal(parseNumber('0x40000'), 262144)
  t.equal(parseNumber('0XfF'), 255)
  t.equal(parseNumber('18446744073709551615'), 2 ** 64)
  for (const text of [
    '',
    '-1',
    '+1',
    '007',
    '1.5',
    '1e3',
    ' 1',
    '0x',
    '0b1',
    '18446744073709551616',
  ]) {
    t.equal(parseNumber(text), undefined, JSON.stringify(text))
  }
})

t.test('a range is two numbers that do not fall', async (t) => {
  t.same(parseRange('2~0x10'), [2, 16])
  t.same(parseRange('5~5'), [5, 5])
  for (const text of ['5', '6~5', '1~2~3', '~', '1~']) t.equal(parseRange(text), undefined, text)
})

t.test('booleans are Yes and No and nothing else', async (t) => {
  t.equal(parseBoolean('Yes'), true)
  t.equal(parseBoolean('No'), false)
  for (const text of ['yes', 'NO', '', 'true']) t.equal(parseBoolean(text), undefined, text)
})

t.test('a list has no empty elements', async (t) => {
  t.same(parseList(''), [])
  t.same(parseList('CRC32C,None'), ['CRC32C', 'None'])
  t.equal(parseList('CRC32C,'), undefined)
})

t.test('binary values are hex, base64 or decimal', async (t) => {
  t.same(parseBinary('0x0aFF'), Buffer.from([0x0a, 0xff]))
  t.same(parseBinary('0xaff'), Buffer.from([0x0a, 0xff]))
  t.same(parseBinary('0bCv8='), Buffer.from([0x0a, 0xff]))
  t.same(parseBinary('2815'), Buffer.from([0x0a, 0xff]))
  for (const text of ['', '0x', '0xg0', '0b', '0bCv8', '0bC=8=', 'abc', '18446744073709551616']) {
    t.equal(parseBinary(text), undefined, JSON.stringify(text))
  }
})

t.test('binary values come back from both encodings', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 1024 }), (bytes) => {
      const value = Buffer.from(bytes)
      return (
        parseBinary(formatHex(value))?.equals(value) === true &&
        parseBinary(formatBase64(value))?.equals(value) === true
      )
    }),
  )
})
