/** A directory in which each block device is a file, from its mount to its end. */
import type { BlockDevice } from '../block/block-device.ts'
import { BlockFile } from './block-file.ts'
import { chooseDriver } from './choose-driver.ts'
import type { FuseDriver } from './fuse-driver.ts'
import { MountpointError, prepareMountpoint, unmount, untilUnmounted } from './mountpoint.ts'

/** The root directory has the one before. */
const FIRST_INODE = 2

export interface DeviceMountOptions {
  readonly directory: string
  readonly devices: readonly BlockDevice[]
  readonly source: string
  readonly allowOther?: boolean
  /** Told when the mount of a process that has died was cleaned away. */
  readonly onStale?: () => void
  /** What speaks with the kernel; see choose-driver.ts. */
  readonly driver?: FuseDriver
}

export class DeviceMount {
  /** Absolute. */
  readonly directory: string
  readonly #stopLooking = new AbortController()
  /** Resolves when it is no longer mounted, whoever unmounted it. */
  readonly unmounted: Promise<void>

  private constructor(directory: string) {
    this.directory = directory
    this.unmounted = untilUnmounted(directory, this.#stopLooking.signal)
  }

  /** Rejects with a MountpointError that says what to do. */
  static async mount(options: DeviceMountOptions): Promise<DeviceMount> {
    const { devices, driver = chooseDriver('auto') } = options
    const directory = await prepareMountpoint(options.directory, options.onStale ?? (() => {}))
    const files = devices.map((device, index) => new BlockFile(device, FIRST_INODE + index))
    const byName = new Map(files.map((file) => [file.name, file]))
    const allowOther = options.allowOther ?? false
    await driver(byName, { directory, source: options.source, allowOther })
    return new DeviceMount(directory)
  }

  /**
   * Unmounts it; false when programs have files of it open. By `force` it goes away for new users at
   * once, and for those when they close their files.
   */
  async unmount({ force }: { force: boolean }): Promise<boolean> {
    try {
      await unmount(this.directory, { lazy: force })
    } catch (error) {
      if (!(error instanceof MountpointError) || error.reason === 'unusable') throw error
      if (error.reason === 'busy') return false
    }
    this.#stopLooking.abort()
    await this.unmounted
    return true
  }
}
