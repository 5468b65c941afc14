/** What the other connections of a session are told when tasks have ended with theirs. */
import type { Test } from 'tap'
import { TargetOpcode } from './target-pdu.ts'
import { noTag, type RequestFields, type WireInitiator } from './wire-initiator.ts'

/** No response is due that would tell that their places are free again: a NOP-In does (RFC 7143 section 11.4.11). */
export async function isToldOfPlaces(t: Test, initiator: WireInitiator): Promise<void> {
  const { opcode, initiatorTaskTag, targetTransferTag } = await initiator.receive()
  t.strictSame([opcode, initiatorTaskTag, targetTransferTag], [TargetOpcode.NopIn, noTag, noTag])
}

/**
 * The next command is told of the loss, and the one after is executed (RFC 7143 section 11.14.5). Where the session
 * has several `connections` left, the target asks whether that has come (section 4.2.2.3.3).
 */
export async function isToldOfLoss(
  t: Test,
  initiator: WireInitiator,
  connections = 1,
  fields: RequestFields = {},
): Promise<void> {
  const tag = initiator.testUnitReady(fields)
  const { initiatorTaskTag, sense } = await initiator.receive()
  t.strictSame([initiatorTaskTag, ...sense], [tag, 0x06, 0x47, 0x7f])
  if (connections === 1) return
  const ping = await initiator.receive()
  t.strictSame([ping.opcode, ping.initiatorTaskTag], [TargetOpcode.NopIn, noTag])
  initiator.answerPing(ping)
}
