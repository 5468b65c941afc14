/** A tree of files at a directory, from its mount to its end. */
import { chooseDriver } from './choose-driver.ts'
import type { FuseDriver } from './fuse-driver.ts'
import { MountpointError, prepareMountpoint, unmount, untilUnmounted } from './mountpoint.ts'
import { readAheadByRequests } from './read-ahead.ts'
import type { Tree } from './tree.ts'

export interface TreeMountOptions {
  readonly directory: string
  readonly tree: Tree
  readonly source: string
  readonly allowOther?: boolean
  /** Told when the mount of a process that has died was cleaned away. */
  readonly onStale?: () => void
  /** What speaks with the kernel; see choose-driver.ts. */
  readonly driver?: FuseDriver
}

export class TreeMount {
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
  static async mount(options: TreeMountOptions): Promise<TreeMount> {
    const { tree, driver = chooseDriver('auto') } = options
    const directory = await prepareMountpoint(options.directory, options.onStale ?? (() => {}))
    const allowOther = options.allowOther ?? false
    await driver(tree, { directory, source: options.source, allowOther })
    await readAheadByRequests(directory)
    return new TreeMount(directory)
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
