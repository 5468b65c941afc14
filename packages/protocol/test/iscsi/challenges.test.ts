import t from 'tap'
import { Challenges } from '../../src/iscsi/challenges.ts'

t.test('challenges differ, and are known again', async (t) => {
  const challenges = new Challenges()
  const issued = Array.from({ length: 1000 }, () => challenges.issue())
  const texts = new Set(issued.map(({ bytes }) => bytes.toString('hex')))
  t.equal(texts.size, issued.length)
  for (const { bytes, identifier } of issued) {
    t.equal(bytes.length, 32)
    t.ok(identifier >= 0 && identifier <= 255)
    t.ok(challenges.isOurs(Buffer.from(bytes)))
  }
  t.ok(new Set(issued.map(({ identifier }) => identifier)).size > 100)
  t.notOk(challenges.isOurs(Buffer.alloc(32)))
})

t.test('what is remembered is bounded', async (t) => {
  let next = 0
  const challenges = new Challenges((length) => {
    const bytes = Buffer.alloc(length)
    bytes.writeUIntBE(next++ & (length === 1 ? 0xff : 0xffff), 0, Math.min(length, 2))
    return bytes
  })
  const first = challenges.issue()
  for (let i = 0; i < 4096; i++) challenges.issue()
  t.notOk(challenges.isOurs(first.bytes))
})
