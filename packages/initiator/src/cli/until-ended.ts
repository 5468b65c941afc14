/** How long a mount stays: until somebody unmounts it, or a signal asks for it. */
import type { TreeMount } from '../fuse/mount.ts'
import type { CliIo } from './io.ts'

/** How often an unmount that was asked for is tried while files are open, in ms. */
const TRY_AGAIN_MS = 500

/** Resolves when it is unmounted. A second signal does it while files are open. */
export async function untilEnded(io: CliIo, mounted: TreeMount): Promise<void> {
  const asked = new AbortController()
  let force = false
  const stopListening = io.onStopSignal(() => {
    force = asked.signal.aborted
    asked.abort()
  })
  const stopAsked = new Promise<void>((resolve) =>
    asked.signal.addEventListener('abort', () => resolve()),
  )
  try {
    await Promise.race([mounted.unmounted, stopAsked])
    if (!asked.signal.aborted) return
    for (let told = false; !(await mounted.unmount({ force })); told = true) {
      if (!told) {
        io.err('platter: files are in use; unmounting when they are closed\n')
        io.err('platter: once more Ctrl-C (or SIGTERM) does it now, and what is open fails\n')
      }
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS))
    }
  } finally {
    stopListening()
  }
}
