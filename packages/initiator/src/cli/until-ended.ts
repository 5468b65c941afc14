/** How long a mount stays: until somebody unmounts it, or a signal asks for it. */
import type { TreeMount } from '../fuse/mount.ts'
import type { CliIo } from './io.ts'

/** How often an unmount that was asked for is tried while files are open, in ms. */
const TRY_AGAIN_MS = 500

/** The signals that ask for the end: listened for from before the mount is there, so that none kills it. */
export class StopSignals {
  /** Resolves at the first. */
  readonly asked: Promise<void>
  readonly stopListening: () => void
  #count = 0

  constructor(io: CliIo) {
    let ask = (): void => {}
    this.asked = new Promise((resolve) => {
      ask = resolve
    })
    this.stopListening = io.onStopSignal(() => {
      this.#count++
      ask()
    })
  }

  /** A second one asks for it whatever is open. */
  get isForced(): boolean {
    return this.#count > 1
  }
}

/** Resolves when it is unmounted. */
export async function untilEnded(
  io: CliIo,
  mounted: Pick<TreeMount, 'unmounted' | 'unmount'>,
  signals: StopSignals,
): Promise<void> {
  const unmounted = mounted.unmounted.then(() => true)
  if (await Promise.race([unmounted, signals.asked.then(() => false)])) return
  for (let told = false; !(await mounted.unmount({ force: signals.isForced })); told = true) {
    if (!told) {
      io.err('platter: files are in use; unmounting when they are closed\n')
      io.err('platter: once more Ctrl-C (or SIGTERM) does it now, and what is open fails\n')
    }
    await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS))
  }
}
