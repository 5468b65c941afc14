/** The package as a library: partitions of iSCSI targets as block devices, without a mount. */
export type { BlockDevice, BlockDone } from './block/block-device.ts'
export { BlockError, type BlockErrorCode } from './block/block-error.ts'
export { BlockPromises } from './block/block-promises.ts'
export type { PartitionChange } from './block/partitions.ts'
export {
  type Access,
  type ConnectedTarget,
  type ConnectOptions,
  connect,
  defaultInitiatorName,
  discover,
  type HostAuthentication,
  type HostOptions,
  inspectAccess,
} from './host.ts'
export type { Endpoint } from './net/endpoint.ts'
export type { PathOptions, PathStatus } from './net/path.ts'
export type { SessionEvent } from './net/session-options.ts'
export type { MultiMode } from './net/target-transport.ts'
export type { DiscoveredTarget } from './session/discovery.ts'
export { AuthenticationError, ConnectionLostError, LoginError } from './session/errors.ts'
export type { PolicyName } from './session/placement.ts'
