/** Which of the two drivers a mount gets. */
import type { FuseDriver } from './fuse-driver.ts'
import { kernelDriverUnavailable, mountKernel } from './kernel/driver.ts'
import { mountNative } from './native/driver.ts'

/** `auto` is `kernel` wherever that can be used, else `native`. */
export const driverNames = ['auto', 'kernel', 'native'] as const
export type DriverName = (typeof driverNames)[number]

export function chooseDriver(name: DriverName): FuseDriver {
  if (name === 'native') return mountNative
  if (name === 'kernel') return mountKernel
  return kernelDriverUnavailable() === null ? mountKernel : mountNative
}
