/** Both sides of a negotiation with much to offer, for tests. */
import { Negotiation, type NegotiationOptions } from '../../src/iscsi/negotiation.ts'
import { type NegotiationPolicy, standardPolicy } from '../../src/iscsi/session-parameters.ts'

export const generous: NegotiationPolicy = {
  ...standardPolicy,
  maxConnections: 8,
  initialR2T: false,
  maxBurstLength: 1048576,
  firstBurstLength: 262144,
  maxOutstandingR2T: 16,
  defaultTime2Wait: 0,
  defaultTime2Retain: 60,
  errorRecoveryLevel: 2,
  headerDigest: ['CRC32C', 'None'],
  dataDigest: ['CRC32C', 'None'],
  maxRecvDataSegmentLength: 262144,
}

export function target(options: Partial<NegotiationOptions> = {}): Negotiation {
  const policy = generous
  return new Negotiation({
    role: 'target',
    policy,
    sessionType: 'Normal',
    leading: true,
    ...options,
  })
}

export function initiator(options: Partial<NegotiationOptions> = {}): Negotiation {
  return target({ role: 'initiator', ...options })
}

/** The answer's value to one key sent in the operational stage. */
export function answerOf(negotiation: Negotiation, key: string, value: string): string | undefined {
  return negotiation.receive(key, value, 'operational')?.[1]
}
