import { createHash } from 'node:crypto'
import t from 'tap'
import {
  ChapAlgorithm,
  chapAlgorithmName,
  chapAlgorithms,
  chapResponse,
  isSameResponse,
  parseChapAlgorithms,
} from '../../src/iscsi/chap.ts'

const challenge = {
  identifier: 0x2a,
  bytes: Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
}
const secret = Buffer.from('a secret of 16 b')
/** What openssl makes of identifier, secret and challenge. */
const responses: readonly [ChapAlgorithm, string][] = [
  [ChapAlgorithm.Md5, '2ceeffc2254f2b5d6881c36cbf7f0003'],
  [ChapAlgorithm.Sha1, 'ac4785b93f9ce71006802f024c0ddad1226d45bc'],
  [ChapAlgorithm.Sha256, '4c7433ba73069d20553a8d1397556b3386ae6e63e0d7acd9da2bea5af394ac8f'],
  [ChapAlgorithm.Sha3_256, '65900c84c5e18fe81a1f3340a95f85d4ec72e8b4f24de718464f92c2aaeafadb'],
]

t.test(
  'the response is the hash of identifier, secret and challenge (RFC 1994 §4.1)',
  async (t) => {
    for (const [algorithm, response] of responses) {
      t.equal(chapResponse(algorithm, challenge, secret).toString('hex'), response, `${algorithm}`)
    }
  },
)

t.test('algorithms have the numbers that IANA gave them', async (t) => {
  t.same(chapAlgorithms, [5, 6, 7, 8])
  const lengths = chapAlgorithms.map((it) => chapResponse(it, challenge, secret).length)
  t.same(lengths, [16, 20, 32, 32])
  const sha3 = createHash('sha3-256').update('').digest('hex')
  t.match(sha3, /^a7ffc6f8bf1ed766/, 'SHA3, and not the Keccak that was before it')
})

t.test('responses are the same when every byte is', async (t) => {
  const one = Buffer.from('0102', 'hex')
  t.ok(isSameResponse(one, Buffer.from(one)))
  t.notOk(isSameResponse(one, Buffer.from('0103', 'hex')))
  t.notOk(isSameResponse(one, Buffer.from('010200', 'hex')))
  t.notOk(isSameResponse(one, Buffer.alloc(0)))
})

t.test('a list of algorithms by name is taken in its order, or not at all', async (t) => {
  t.same(parseChapAlgorithms('sha3-256, sha256'), [8, 7])
  t.same(parseChapAlgorithms(chapAlgorithms.map(chapAlgorithmName).join(',')), chapAlgorithms)
  for (const text of ['', 'md4', 'sha256,', 'SHA256', 'md5,md5', '7']) {
    t.equal(parseChapAlgorithms(text), undefined, text)
  }
})
