/** The package as a library: a target in one's own process. */
export type { ArrayInfo, Disk, Partition, Session, Status } from './admin/model.ts'
export { type AdminServer, type AdminServerOptions, serveAdmin } from './admin/server.ts'
export {
  type NewArray,
  type PartitionKey,
  TargetError,
  type TargetErrorCode,
} from './admin/target-facade.ts'
export { createLog, type Log, type LogLevel, silentLog } from './log.ts'
export type { PortalAddress } from './net/portals.ts'
export { createTarget, type Target, type TargetOptions } from './target.ts'
