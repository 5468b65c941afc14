/** The package as a library: partitions of iSCSI targets as block devices, without a mount. */
export type { BlockDevice, BlockDone } from './block/block-device.ts'
export { BlockError, type BlockErrorCode } from './block/block-error.ts'
export {
  type ConnectedTarget,
  type ConnectOptions,
  connect,
  defaultInitiatorName,
  discover,
  type HostAuthentication,
  type HostOptions,
} from './host.ts'
export type { SessionEvent } from './net/persistent-session.ts'
export type { Endpoint } from './net/socket-connection.ts'
export type { DiscoveredTarget } from './session/discovery.ts'
export { AuthenticationError, ConnectionLostError, LoginError } from './session/errors.ts'
