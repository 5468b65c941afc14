/** What a command has of the outside world; tests put their own in its place. */
import { createInterface } from 'node:readline/promises'
import { text } from 'node:stream/consumers'

export interface CliIo {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly env: NodeJS.ProcessEnv
  /** Relative paths are taken from here. */
  readonly cwd: string
  /** All of standard input, as text. */
  readonly input: () => Promise<string>
  /** Asks a person yes or no; undefined when there is no person to ask. */
  readonly ask: ((question: string) => Promise<boolean>) | undefined
  /** Resolves when the process is told to stop; only `serve` waits for it. */
  readonly stopRequested: () => Promise<string>
}

/** `0` done, `1` failed or refused, `2` not understood, `3` no server to ask. */
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

/** The process's own streams, terminal and signals. */
export function processIo(): CliIo {
  const interactive = process.stdin.isTTY === true && process.stderr.isTTY === true
  return {
    out: (line) => process.stdout.write(line),
    err: (line) => process.stderr.write(line),
    env: process.env,
    cwd: process.cwd(),
    input: () => text(process.stdin),
    ask: interactive ? askOnTerminal : undefined,
    stopRequested: awaitStopSignal,
  }
}

async function askOnTerminal(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`${question} [y/N] `)
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

/** The first SIGINT or SIGTERM asks to stop; one more of either stops at once, by the signal's default. */
function awaitStopSignal(): Promise<string> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals) => {
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      resolve(signal)
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })
}
