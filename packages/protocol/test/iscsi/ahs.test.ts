import t from 'tap'
import { AdditionalHeaderSegments } from '../../src/iscsi/ahs.ts'
import { BHS_LENGTH } from '../../src/iscsi/bhs.ts'
import { ProtocolError } from '../../src/iscsi/errors.ts'
import { RejectReason } from '../../src/iscsi/status.ts'

/** A header with these segments after it, somewhere in a buffer with other bytes around. */
function read(ahsHex: string, segments = new AdditionalHeaderSegments()): AdditionalHeaderSegments {
  const ahs = Buffer.from(ahsHex.replaceAll(' ', ''), 'hex')
  const header = Buffer.alloc(BHS_LENGTH)
  header[4] = ahs.length / 4
  return segments.read(
    Buffer.concat([Buffer.alloc(7, 0xff), header, ahs, Buffer.alloc(9, 0xff)]),
    7,
  )
}

t.test('a header without segments has a CDB of 16 bytes and no second length', async (t) => {
  const segments = read('')
  t.equal(segments.cdbLength, 16)
  t.equal(segments.extendedCdbLength, 0)
  t.equal(segments.bidirectionalReadLength, null)
})

t.test('an extended CDB of 32 bytes has 16 in its segment', async (t) => {
  const segments = read('0011 01 00 000102030405060708090a0b0c0d0e0f')
  t.equal(segments.cdbLength, 32)
  t.equal(segments.extendedCdbLength, 16)
  t.equal(segments.extendedCdbPosition, 7 + BHS_LENGTH + 4)
})

t.test('an extended CDB of any length is padded to whole words', async (t) => {
  t.equal(read('0002 01 00 aa000000').cdbLength, 17)
  t.equal(read('0003 01 00 aabb0000').cdbLength, 18)
  const segments = read('0003 01 00 aabb0000 0005 02 00 00010000')
  t.equal(segments.cdbLength, 18)
  t.equal(segments.bidirectionalReadLength, 65536)
})

t.test(
  'a length of the bidirectional read is found before and after an extended CDB',
  async (t) => {
    const segments = read('0005 02 00 ffffffff 0005 01 00 aabbccdd')
    t.equal(segments.bidirectionalReadLength, 0xffffffff)
    t.equal(segments.cdbLength, 20)
  },
)

t.test('reserved bits and bytes are not looked at', async (t) => {
  t.equal(read('0005 c2 ff 00000200').bidirectionalReadLength, 512)
})

t.test('what one command had is forgotten with the next', async (t) => {
  const segments = read('0005 02 00 00000200 0005 01 00 aabbccdd')
  read('', segments)
  t.equal(segments.cdbLength, 16)
  t.equal(segments.bidirectionalReadLength, null)
})

t.test('segments that are not laid out as the RFC says are refused', async (t) => {
  const refused: readonly (readonly [ahs: string, message: string])[] = [
    ['0006 01 00 aabbccdd', 'AHSLength 6 exceeds the 5 bytes left'],
    ['ffff 01 00', 'AHSLength 65535 exceeds the 1 bytes left'],
    ['0005 01 00 aabbccdd 0005 02 00', 'AHSLength 5 exceeds the 1 bytes left'],
    ['0001 01 00', 'AHSLength of an extended CDB is 1, wanted at least 2'],
    ['0000 01 00', 'AHSLength of an extended CDB is 0, wanted at least 2'],
    ['0004 02 00 00000200', 'AHSLength of a bidirectional read length is 4, wanted 5'],
    ['0009 02 00 0000020000000000', 'AHSLength of a bidirectional read length is 9, wanted 5'],
    ['0005 01 00 aabbccdd 0005 01 00 aabbccdd', 'a second extended CDB'],
    ['0005 02 00 00000000 0005 02 00 00000200', 'a second bidirectional read length'],
    ['0005 00 00 00000000', 'AHSType 0 is unknown'],
    ['0005 3f 00 00000000', 'AHSType 63 is unknown'],
    ['0000 00 00', 'AHSType 0 is unknown'],
  ]
  for (const [ahs, message] of refused) {
    t.throws(
      () => read(ahs),
      new ProtocolError('ahs', message, {
        kind: 'reject',
        reason: RejectReason.InvalidPduField,
      }),
      ahs,
    )
  }
})
