/** What a command has of the outside world; tests put their own in its place. */
import { write } from 'node:fs'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'

export interface CliIo {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** All of standard input, as text. */
  readonly input: () => Promise<string>
  /** Standard input as it comes. */
  readonly inputStream: () => AsyncIterable<Buffer>
  /** Resolves when all of the bytes are in standard output. */
  readonly outBytes: (bytes: Buffer) => Promise<void>
  /** Columns of the terminal that standard error is; undefined if it is none. */
  readonly columns: () => number | undefined
  /**
   * Calls `onStop` with the name of each SIGINT and SIGTERM; the answer undoes it, and signals end the
   * process again.
   */
  readonly onStopSignal: (onStop: (signal: string) => void) => () => void
}

/** `0` done, `1` failed or refused, `2` not understood, `3` no target to ask; signals as shells have them. */
export const ExitCode = {
  Ok: 0,
  Failed: 1,
  Usage: 2,
  Unreachable: 3,
  Interrupted: 130,
  Terminated: 143,
} as const

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

/** Flags that do not go together, or do not fit what is there. */
export function misuse(message: string): CliFailure {
  return new CliFailure(ExitCode.Usage, 'invalid-flag', message)
}

/** The process's own streams and signals. */
export function processIo(): CliIo {
  return {
    out: (said) => process.stdout.write(said),
    err: (said) => process.stderr.write(said),
    input: () => text(process.stdin),
    inputStream: () => process.stdin,
    outBytes: writeToStandardOutput,
    columns: () => (process.stderr.isTTY ? process.stderr.columns : undefined),
    onStopSignal: (onStop) => {
      process.on('SIGINT', onStop).on('SIGTERM', onStop)
      return () => process.off('SIGINT', onStop).off('SIGTERM', onStop)
    },
  }
}

const STDOUT = 1
const FULL_PIPE_WAIT_MS = 5
const writeTo = promisify(write)

/** Not by process.stdout, which holds the whole process up while a pipe is full. */
async function writeToStandardOutput(bytes: Buffer): Promise<void> {
  for (let put = 0; put < bytes.length; ) {
    try {
      put += (await writeTo(STDOUT, bytes, put, bytes.length - put, null)).bytesWritten
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      await new Promise((resolve) => setTimeout(resolve, FULL_PIPE_WAIT_MS))
    }
  }
}
