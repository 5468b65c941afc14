/** `platter` commands in the test's own process: what a process costs each time is not what is tested. */
import type { Outcome } from './command.ts'

type Run = (parameters: readonly string[], io: object) => Promise<number>

/** The command line of the installed package, which is no part of what it exports. */
const { run } = (await import(
  new URL('cli.js', import.meta.resolve('@platter/initiator')).href
)) as { run: Run }

/** Runs one command to its end, whatever comes of it; what would be bytes on standard output is dropped. */
export async function platter(...parameters: string[]): Promise<Outcome> {
  let stdout = ''
  let stderr = ''
  const status = await run(parameters, {
    out: (text: string) => {
      stdout += text
    },
    err: (text: string) => {
      stderr += text
    },
    outBytes: async () => {},
    input: async () => '',
    inputStream: async function* () {},
    columns: () => undefined,
    onStopSignal: () => () => {},
  })
  return { status, stdout, stderr }
}

/** As `platter`, but anything other than exit code 0 is an error that says what it said. */
export async function platterOk(...parameters: string[]): Promise<string> {
  const { status, stdout, stderr } = await platter(...parameters)
  if (status === 0) return stdout
  throw new Error(`platter ${parameters.join(' ')} ended with ${status}: ${stdout}${stderr}`)
}
