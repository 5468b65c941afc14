/** Login Requests to a TargetLogin, and what to expect of its answers, for tests. */
import {
  BHS_LENGTH,
  Challenges,
  chapAlgorithms,
  decodeText,
  encodeText,
  LoginRequest,
  type LoginStatus,
  standardPolicy,
  type TextPair,
} from '@platter/protocol/iscsi'
import type { Test } from 'tap'
import { type LoginAnswer, TargetLogin } from '../../src/session/login.ts'
import type { LoginPolicy } from '../../src/session/login-policy.ts'

export const initiatorName = 'iqn.2024-01.org.example:host'
export const targetName = 'iqn.2024-01.org.platter:san'

export const policy: LoginPolicy = {
  targetName,
  targetPortalGroupTag: 1,
  portal: '192.0.2.1:3260',
  negotiation: {
    ...standardPolicy,
    maxConnections: 4,
    initialR2T: false,
    headerDigest: ['CRC32C', 'None'],
    maxRecvDataSegmentLength: 262144,
  },
  challenges: new Challenges(),
  requirementOf: () => ({ floor: 'none', chapAlgorithms, credentials: undefined }),
  loginRequestsMax: 16,
  textBytesMax: 65536,
  admit: () => undefined,
  maxConnections: () => 4,
  isFor: () => true,
  redirect: () => undefined,
}

/** No host gets in without CHAP, and there is none that has a secret. */
export const chapOnly: LoginPolicy['requirementOf'] = () => ({
  floor: 'chap',
  chapAlgorithms,
  credentials: undefined,
})

export function target(overrides: Partial<LoginPolicy> = {}): TargetLogin {
  return new TargetLogin({ ...policy, ...overrides })
}

export const names: TextPair[] = [
  ['InitiatorName', initiatorName],
  ['TargetName', targetName],
]
export const authNone: TextPair[] = [['AuthMethod', 'None']]
export const toOperational = { currentStage: 0, transit: true, nextStage: 1 }
export const toFullFeature = { currentStage: 1, transit: true, nextStage: 3 }

export type RequestFields = Partial<
  Pick<
    LoginRequest,
    | 'versionMin'
    | 'versionMax'
    | 'currentStage'
    | 'nextStage'
    | 'transit'
    | 'continued'
    | 'tsih'
    | 'cid'
    | 'initiatorTaskTag'
  >
> & { isid?: string }

export function request({ isid = '00023d000001', ...fields }: RequestFields): LoginRequest {
  const pdu = new LoginRequest().init(Buffer.alloc(BHS_LENGTH), 0)
  pdu.buffer.write(isid, pdu.isidPosition, 'hex')
  return Object.assign(pdu, { cid: 1, initiatorTaskTag: 7, ...fields })
}

export function send(
  login: TargetLogin,
  fields: RequestFields,
  pairs: TextPair[] = [],
): LoginAnswer {
  return login.receive(request(fields), encodeText(pairs))
}

export function refuses(t: Test, answer: LoginAnswer, status: LoginStatus, reason?: RegExp): void {
  t.match(answer, { outcome: 'failed', status, transit: false })
  // It tells nothing but that none of the methods offered will do.
  const { AuthMethod = 'Reject', ...told } = pairsOf(answer)
  t.same({ AuthMethod, ...told }, { AuthMethod: 'Reject' })
  if (reason !== undefined) t.match(answer.outcome === 'failed' && answer.detail, reason)
}

export function pairsOf(answer: LoginAnswer): Record<string, string> {
  return Object.fromEntries(decodeText(answer.text))
}
