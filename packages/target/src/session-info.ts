/** Sessions as the admin API tells of them. */
import type { Session as SessionInfo } from './admin/model.ts'
import type { Session } from './session/session.ts'

/** `isDynamic`: whether a portal was opened for its host alone. */
export function describeSession(
  { identity, connections }: Session,
  isDynamic: (portal: string) => boolean,
): SessionInfo {
  return {
    initiatorName: identity.initiatorName,
    isid: identity.isid,
    tsih: identity.tsih,
    type: identity.type === 'Discovery' ? 'discovery' : 'normal',
    authentication: identity.authentication,
    nodeArchitecture: identity.nodeArchitecture ?? null,
    connections: [...connections.values()].map(({ cid, remote, local }) => ({
      cid,
      remote,
      local,
      dynamicPort: isDynamic(local),
    })),
  }
}
