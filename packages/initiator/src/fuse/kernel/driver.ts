/**
 * Our own driver: the kernel's FUSE protocol, spoken over /dev/fuse in the event loop. It has many
 * requests of a file in flight, and moves up to 1 MiB in each.
 */
import { closeSync } from 'node:fs'
import type { FuseDriver, MountOptions } from '../fuse-driver.ts'
import { MountpointError } from '../mountpoint.ts'
import type { Tree } from '../tree.ts'
import { FuseChannel } from './channel.ts'
import { FuseFileSystem } from './file-system.ts'
import { type MountedDescriptor, mountByFusermount } from './fusermount.ts'
import { MAX_TRANSFER_BYTES } from './request.ts'
import { type FuseSystemCalls, loadFuseSystemCalls } from './system-calls.ts'

/** How long the kernel may take to begin, in ms. */
const INIT_TIMEOUT_MS = 10_000

export const mountKernel: FuseDriver = async (tree, options) => {
  const calls = systemCalls()
  const mounted = await mountByFusermount(calls, { ...options, maxReadBytes: MAX_TRANSFER_BYTES })
  await agreedWithKernel(calls, mounted, tree, options)
}

/** Serves the mount from now on; resolves when the kernel has agreed on the protocol. */
function agreedWithKernel(
  calls: FuseSystemCalls,
  { fd, guardSocket }: MountedDescriptor,
  tree: Tree,
  options: MountOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const silent = setTimeout(settle, INIT_TIMEOUT_MS, new Error('the kernel asks nothing of it'))
    function settle(error: Error | null): void {
      clearTimeout(silent)
      if (error === null) resolve()
      else reject(unusable(options.directory, error))
    }
    const fileSystem = new FuseFileSystem(tree, options, settle)
    // It lives as long as the mount: what watches its descriptor holds it.
    new FuseChannel({
      calls,
      fd,
      onRequest: (request) => fileSystem.handle(request),
      onEnd: (error) => {
        closeSync(guardSocket)
        settle(error ?? new Error('it was unmounted at once'))
      },
      closeDescriptor: closeSync,
    })
  })
}

function unusable(directory: string, error: Error): MountpointError {
  return new MountpointError('unusable', `${directory} cannot be mounted: ${error.message}`)
}

/** Whether it can be used here: null, or why not. */
export function kernelDriverUnavailable(): string | null {
  try {
    loadFuseSystemCalls()
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function systemCalls(): FuseSystemCalls {
  try {
    return loadFuseSystemCalls()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new MountpointError('unusable', `the kernel driver cannot be used: ${reason}`)
  }
}
