/**
 * Mounting with fusermount, which needs no root: it opens /dev/fuse, mounts, and sends the descriptor
 * back over a socket (libfuse, util/fusermount.c). With `auto_unmount` it stays, and unmounts when that
 * socket is closed, however this process ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import type { MountOptions } from '../fuse-driver.ts'
import { findFusermount, MountpointError } from '../mountpoint.ts'
import type { FuseSystemCalls } from './system-calls.ts'

/** Where fusermount finds its end of the socket. */
const SOCKET_IN_CHILD = 3

/** An open /dev/fuse behind a new mount, non-blocking; and the socket whose end ends the mount. */
export interface MountedDescriptor {
  readonly fd: number
  readonly guardSocket: number
}

/** Rejects with a MountpointError that has what fusermount said. */
export async function mountByFusermount(
  calls: FuseSystemCalls,
  options: MountOptions & { readonly maxReadBytes: number },
): Promise<MountedDescriptor> {
  const program = await findFusermount()
  const [ours, theirs] = calls.socketPair()
  const parameters = ['-o', mountOptions(options), '--', options.directory]
  const child = spawn(program, parameters, {
    stdio: ['ignore', 'ignore', 'pipe', theirs],
    env: { ...process.env, _FUSE_COMMFD: String(SOCKET_IN_CHILD) },
    // Ctrl-C is for us: what cleans up after us must not end with us.
    detached: true,
  })
  const said = collect(child)
  closeSync(theirs)
  const fd = await calls.receiveDescriptor(ours)
  if (fd <= 0) {
    closeSync(ours)
    throw new MountpointError('unusable', `${options.directory} cannot be mounted: ${await said}`)
  }
  child.unref()
  child.stderr?.destroy()
  calls.setNonBlocking(fd)
  return { fd, guardSocket: ours }
}

/** What the child writes to standard error, once it has ended. */
async function collect(child: ChildProcess): Promise<string> {
  let text = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return text.trim() === '' ? `fusermount ended with ${code}` : text.trim()
}

function mountOptions(options: MountOptions & { readonly maxReadBytes: number }): string {
  const list = [
    `fsname=${options.source.replaceAll(',', '_')}`,
    'subtype=platter',
    'default_permissions',
    'auto_unmount',
    `max_read=${options.maxReadBytes}`,
  ]
  if (options.allowOther) list.push('allow_other')
  return list.join(',')
}
