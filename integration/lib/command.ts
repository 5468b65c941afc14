/** Running other programs: to their end, or in the background until the clean-up. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { onCleanUp } from './cleanup.ts'

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly timeoutMs?: number
  readonly env?: Record<string, string>
}

/** Runs a program to its end and answers with what it said, whatever its exit status. */
export async function run(
  program: string,
  parameters: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(program, parameters, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout, stderr }
}

/** As `run`, but anything other than exit status 0 is an error that says what the program said. */
export async function runOk(
  program: string,
  parameters: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await run(program, parameters, options)
  if (status === 0) return stdout
  const ending = status === null ? 'was killed' : `exited with ${status}`
  throw new Error(`${program} ${parameters.join(' ')} ${ending}:\n${stdout}${stderr}`)
}

const logBytesMax = 256 * 1024

/** A program that runs until it is stopped; the clean-up kills it. Keeps the end of what it prints. */
export class BackgroundProcess {
  readonly child: ChildProcess
  readonly pid: number
  readonly name: string
  #log = ''
  readonly #exited: Promise<void>

  constructor(program: string, parameters: readonly string[], env: Record<string, string> = {}) {
    this.name = program
    this.child = spawn(program, parameters, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    this.child.on('error', (error) => {
      this.#log += `${error.message}\n`
    })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-logBytesMax)
      })
    }
    this.#exited = once(this.child, 'close').then(() => {})
    this.pid = this.child.pid ?? 0
    onCleanUp(() => {
      this.#kill('SIGKILL')
    })
  }

  get log(): string {
    return this.#log
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null && this.pid !== 0
  }

  /** Sends the signal and waits until the process has ended; answers with its exit status. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#kill(signal)
    await this.#exited
    return this.child.exitCode
  }

  /** Waits until `ready` says so; an error when the process ends first or takes too long. */
  async untilReady(ready: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (!(await ready())) {
      if (!this.running) throw new Error(`${this.name} has ended:\n${this.log}`)
      if (Date.now() > deadline) throw new Error(`${this.name} is not ready:\n${this.log}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Waits until the process has ended by itself; answers with its exit status. */
  async untilEnded(timeoutMs = 20_000): Promise<number | null> {
    await this.#inTime(this.#exited, timeoutMs)
    return this.child.exitCode
  }

  /** Waits for what the process is to bring about; an error when it ends first or takes too long. */
  whileRunning<T>(outcome: Promise<T>, timeoutMs: number): Promise<T> {
    const ended = this.#exited.then(() => {
      throw new Error(`${this.name} has ended:\n${this.log}`)
    })
    return this.#inTime(Promise.race([outcome, ended]), timeoutMs)
  }

  async #inTime<T>(outcome: Promise<T>, timeoutMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = new Error(`${this.name} is not done in ${timeoutMs} ms:\n${this.log}`)
      timer = setTimeout(() => reject(error), timeoutMs)
    })
    try {
      return await Promise.race([outcome, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #kill(signal: NodeJS.Signals): void {
    if (this.running) this.child.kill(signal)
  }
}
