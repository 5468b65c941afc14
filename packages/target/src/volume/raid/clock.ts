/** Time as background work sees it: the machine's, or a test's. */

export interface Clock {
  /** Milliseconds from some moment on; never goes back. */
  now(): number
  /** Calls `callback` once, later than this turn of the event loop. That does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer
}

export interface Timer {
  /** It will not call any more; nothing happens if it has called. */
  cancel(): void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs)
    timeout.unref()
    return { cancel: () => clearTimeout(timeout) }
  },
}

/** Resolves when the time is over, or at once when `signal` says that nobody waits any more. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const wake = () => {
      timer.cancel()
      signal.removeEventListener('abort', wake)
      resolve()
    }
    const timer = clock.after(delayMs, wake)
    signal.addEventListener('abort', wake)
  })
}
