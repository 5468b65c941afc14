/**
 * What a single Login Request says, and what a login may say only once: its identifiers, the names of
 * the nodes, the stages it asks for (RFC 7143 sections 6.3 and 11.12). login.ts keeps the state.
 */
import {
  type LoginRequest,
  LoginStatus,
  ProtocolError,
  parseName,
  type TextPair,
} from '@platter/protocol/iscsi'

/** CSG and NSG (RFC 7143 section 11.12.3). */
export const StageNumber = { Security: 0, Operational: 1, FullFeature: 3 } as const

/** What the first request said, and all that follow must repeat. */
export interface LoginHeader {
  readonly isid: string
  readonly tsih: number
  readonly cid: number
  readonly initiatorTaskTag: number
  readonly versionMax: number
  readonly versionMin: number
}

const unchanging = ['isid', 'tsih', 'cid', 'initiatorTaskTag', 'versionMax', 'versionMin'] as const

/** What the text of the first request said of the two nodes. */
export interface LoginNames {
  readonly sessionType: 'Normal' | 'Discovery'
  readonly initiatorName: string
  readonly targetName: string | undefined
}

/** The fields of a request that stay the same; nothing of the request is kept. */
export function headerOf(request: LoginRequest): LoginHeader {
  const { buffer, isidPosition, tsih, cid, initiatorTaskTag, versionMax, versionMin } = request
  const isid = buffer.toString('hex', isidPosition, isidPosition + 6)
  return { isid, tsih, cid, initiatorTaskTag, versionMax, versionMin }
}

/** Throws a ProtocolError if a later request differs from the first. */
export function checkUnchanged(first: LoginHeader, now: LoginHeader): void {
  for (const field of unchanging) {
    if (now[field] !== first[field]) {
      throw refused(
        `${field} changed in the midst of a login, from ${first[field]} to ${now[field]}`,
      )
    }
  }
}

/** Stages go from 0 to 1 or 3, and from 1 to 3; throws a ProtocolError for another wish. */
export function checkTransit({ transit, continued, currentStage, nextStage }: LoginRequest): void {
  if (!transit) return
  if (continued) throw refused('T and C are both set')
  const known = nextStage === StageNumber.Operational || nextStage === StageNumber.FullFeature
  if (!known || nextStage <= currentStage) {
    throw refused(`NSG is ${nextStage} in stage ${currentStage}`)
  }
}

const firstRequestKeys: ReadonlySet<string> = new Set([
  'InitiatorName',
  'TargetName',
  'SessionType',
])

/** The pairs of a later request, which must not name the nodes anew. */
export function laterPairs(pairs: readonly TextPair[]): readonly TextPair[] {
  const late = pairs.find(([key]) => firstRequestKeys.has(key))
  if (late !== undefined) throw refused(`text key ${late[0]} belongs in the first request`)
  return pairs
}

/** The names in the text of the first request; throws a ProtocolError if they are not all there. */
export function namesOf(pairs: readonly TextPair[]): LoginNames {
  const first = (name: string) => pairs.find(([key]) => key === name)?.[1]
  const sessionType = first('SessionType') ?? 'Normal'
  if (sessionType !== 'Normal' && sessionType !== 'Discovery') {
    throw refused(`SessionType is ${sessionType}`, LoginStatus.SessionTypeNotSupported)
  }
  const initiator = first('InitiatorName')
  if (initiator === undefined) {
    throw refused('the first request has no InitiatorName', LoginStatus.MissingParameter)
  }
  const initiatorName = parseName(initiator)?.name
  if (initiatorName === undefined) throw refused(`InitiatorName ${initiator} is not an iSCSI name`)
  const target = first('TargetName')
  if (target === undefined && sessionType === 'Normal') {
    throw refused('the first request has no TargetName', LoginStatus.MissingParameter)
  }
  // What is not a name at all is also the name of no target.
  const targetName = target === undefined ? undefined : (parseName(target)?.name ?? target)
  return { sessionType, initiatorName, targetName }
}

/** The login is to fail with `status`, and with `pairs` as its text. */
export function refused(
  message: string,
  status: LoginStatus = LoginStatus.InitiatorError,
  pairs: readonly TextPair[] = [],
): ProtocolError {
  return new ProtocolError('login', message, { kind: 'login', status, pairs })
}
