/** What a command has of the outside world; tests put their own in its place. */
import { text } from 'node:stream/consumers'

export interface CliIo {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** All of standard input, as text. */
  readonly input: () => Promise<string>
  /**
   * Calls `onStop` with the name of each SIGINT and SIGTERM; the answer undoes it, and signals end the
   * process again.
   */
  readonly onStopSignal: (onStop: (signal: string) => void) => () => void
}

/** `0` done, `1` failed or refused, `2` not understood, `3` no target to ask. */
export const ExitCode = { Ok: 0, Failed: 1, Usage: 2, Unreachable: 3 } as const

/** Ends a command with an exit code and a message for people. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure'
  readonly exitCode: number
  readonly code: string

  constructor(exitCode: number, code: string, message: string) {
    super(message)
    this.exitCode = exitCode
    this.code = code
  }
}

/** The process's own streams and signals. */
export function processIo(): CliIo {
  return {
    out: (said) => process.stdout.write(said),
    err: (said) => process.stderr.write(said),
    input: () => text(process.stdin),
    onStopSignal: (onStop) => {
      process.on('SIGINT', onStop).on('SIGTERM', onStop)
      return () => process.off('SIGINT', onStop).off('SIGTERM', onStop)
    },
  }
}
