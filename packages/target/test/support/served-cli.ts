/** The command line in this process, against a server that it runs itself. */
import type { Test } from 'tap'
import type { CliIo } from '../../src/cli/io.ts'
import { run } from '../../src/cli.ts'

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

interface Surroundings {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly ask?: CliIo['ask']
  readonly input?: string
}

/** Runs a command of `platterd` in this process. */
export async function platterd(args: string[], surroundings: Surroundings = {}): Promise<Outcome> {
  let out = ''
  let err = ''
  const code = await run(args, {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    env: surroundings.env ?? {},
    cwd: surroundings.cwd ?? '/',
    ask: surroundings.ask,
    input: async () => surroundings.input ?? '',
    stopRequested: () => new Promise(() => {}),
  })
  return { code, out, err }
}

interface Serving {
  readonly directory: string
  /** Runs a command against the server, and parses its answer. */
  json(...args: string[]): Promise<unknown>
  text(...args: string[]): Promise<string>
  fails(...args: string[]): Promise<Outcome>
  stop(): Promise<number>
  readonly announced: string
}

/** `platterd serve` in this process, until the test is over. */
export async function serve(t: Test, directory: string, ...flags: string[]): Promise<Serving> {
  let stop = () => {}
  const stopped = new Promise<string>((resolve) => {
    stop = () => resolve('SIGTERM')
  })
  let announce = (_: string) => {}
  const announced = new Promise<string>((resolve) => {
    announce = resolve
  })
  let err = ''
  const exit = run(['serve', '--state', directory, '--portal', '127.0.0.1:0', ...flags], {
    out: announce,
    err: (text) => {
      err += text
    },
    env: {},
    cwd: '/',
    ask: undefined,
    input: async () => '',
    stopRequested: () => stopped,
  })
  t.teardown(() => {
    stop()
    return exit
  })
  const failed = exit.then((code) => Promise.reject(new Error(`serve ended with ${code}: ${err}`)))
  const text = await Promise.race([announced, failed])
  failed.catch(() => {})
  const ask = (args: string[]) => platterd([...args, '--state', directory], { cwd: directory })
  const succeed = async (args: string[]) => {
    const { code, out, err } = await ask(args)
    t.equal(code, 0, `${args.join(' ')}: ${err}`)
    return out
  }
  return {
    directory,
    announced: text,
    json: async (...args) => JSON.parse(await succeed([...args, '--json'])),
    text: (...args) => succeed(args),
    fails: (...args) => ask(args),
    stop: () => {
      stop()
      return exit
    },
  }
}
