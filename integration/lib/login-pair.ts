/** A login of our initiator to our target in one process: no sockets, and a test may sit in between. */
import { type AuthenticationPolicy, Login, type LoginStep } from '@platter/initiator/session'
import {
  BHS_LENGTH,
  Challenges,
  decodeText,
  encodeText,
  LoginRequest,
  LoginResponse,
  standardPolicy,
  type TextPair,
} from '@platter/protocol/iscsi'
import {
  type AuthenticationRequirement,
  type LoginAnswer,
  TargetLogin,
} from '@platter/target/session'

export const initiatorName = 'iqn.2026-11.org.platter:host'
export const targetName = 'iqn.2026-11.org.platter:san'
const isid = Buffer.from('800000000001', 'hex')

/** Fields of a Login Request beside its text. */
export interface RequestFields {
  currentStage: number
  nextStage: number
  transit: boolean
  versionMin: number
}

export interface PairOptions {
  readonly host: Omit<AuthenticationPolicy, 'challenges'>
  readonly requirement: AuthenticationRequirement
  readonly sessionType?: 'Normal' | 'Discovery'
  readonly targetName?: string
  /** Challenges of the target, where several logins are to share them. */
  readonly challenges?: Challenges
  /** Changes what the initiator sends; the fields in place. */
  readonly onRequest?: (pairs: TextPair[], fields: RequestFields) => TextPair[]
  /** Changes what the target sends. */
  readonly onResponse?: (pairs: TextPair[], fields: { transit: boolean }) => TextPair[]
}

/** How it ended at each end; `target` is the status of the last response. */
export interface PairOutcome {
  readonly target: number
  /** The target has let it into the full feature phase. */
  readonly admitted: boolean
  /** The initiator has taken the session, or the error that it has left with. */
  readonly initiator: 'session' | Error
}

/** Takes a login to its end. */
export function runLogin(options: PairOptions): PairOutcome {
  const { host, sessionType = 'Normal', onRequest, onResponse } = options
  const wanted = options.targetName ?? targetName
  const initiator = new Login(
    {
      initiatorName,
      targetName: sessionType === 'Normal' ? wanted : undefined,
      sessionType,
      isid,
      policy: standardPolicy,
      authentication: { ...host, challenges: new Challenges() },
    },
    0,
  )
  const target = targetLogin(options)
  let answer: LoginAnswer | undefined
  const admitted = () => answer?.outcome === 'full-feature'
  try {
    for (let step: LoginStep = initiator.start(); ; ) {
      answer = deliver(target, step, onRequest)
      const response = encode(answer, onResponse)
      const result = initiator.receive(response.pdu, response.text)
      if (!('text' in result)) {
        return { target: answer.status, admitted: admitted(), initiator: 'session' }
      }
      step = result
    }
  } catch (error) {
    const status = answer?.status ?? -1
    return { target: status, admitted: admitted(), initiator: error as Error }
  }
}

function targetLogin({ requirement, challenges }: PairOptions): TargetLogin {
  return new TargetLogin({
    targetName,
    targetPortalGroupTag: 1,
    portal: '127.0.0.1:3260',
    negotiation: standardPolicy,
    challenges: challenges ?? new Challenges(),
    requirementOf: (name) =>
      name === initiatorName ? requirement : { ...requirement, credentials: undefined },
    loginRequestsMax: 32,
    textBytesMax: 65536,
    admit: () => undefined,
    maxConnections: () => 1,
    isFor: () => true,
    redirect: () => undefined,
  })
}

function deliver(
  target: TargetLogin,
  step: LoginStep,
  change: PairOptions['onRequest'],
): LoginAnswer {
  const { currentStage, nextStage, transit } = step
  const fields = { currentStage, nextStage, transit, versionMin: 0 }
  const pairs = decodeText(step.text)
  const text = encodeText(change?.(pairs, fields) ?? pairs)
  const pdu = new LoginRequest().init(Buffer.alloc(BHS_LENGTH), 0)
  isid.copy(pdu.buffer, pdu.isidPosition)
  return target.receive(Object.assign(pdu, fields, { versionMax: fields.versionMin }), text)
}

function encode(answer: LoginAnswer, change: PairOptions['onResponse']) {
  const fields = { transit: answer.transit }
  const pairs = answer.status === 0 ? decodeText(answer.text) : []
  const text = encodeText(change?.(pairs, fields) ?? pairs)
  const pdu = new LoginResponse().init(Buffer.alloc(BHS_LENGTH), 0)
  isid.copy(pdu.buffer, pdu.isidPosition)
  Object.assign(pdu, {
    ...fields,
    currentStage: answer.currentStage,
    nextStage: answer.nextStage,
    tsih: answer.outcome === 'full-feature' ? 7 : 0,
    statusClass: answer.status >> 8,
    statusDetail: answer.status & 0xff,
  })
  return { pdu, text }
}
