/** What every command that asks a running server has in common. */
import path from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { AdminError, callAdmin } from '../admin/client.ts'
import type { Input, OperationName, Output } from '../admin/operations.ts'
import { defaultSocketPath, defaultStateDirectory } from '../config.ts'
import { parseSize } from '../size.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'

/** Where the server is, and how to show its answer. */
export interface ClientFlags {
  readonly state?: string
  readonly socket?: string
  readonly json?: boolean
}

/** Gives a command the flags of ClientFlags. */
export function withClientFlags(command: Command): Command {
  return command
    .option('--state <dir>', 'state directory of the server to ask (default: as for serve)')
    .option(
      '--socket <path>',
      "the server's admin socket (default: admin.sock in the state directory)",
    )
    .option('--json', 'print the answer as JSON')
}

/** Runs one operation at the server. Throws CliFailure, with exit code 3 when none answers. */
export async function ask<N extends OperationName>(
  io: CliIo,
  flags: ClientFlags,
  name: N,
  input: Input<N>,
): Promise<Output<N>> {
  const stateDirectory =
    flags.state === undefined ? defaultStateDirectory(io.env) : path.resolve(io.cwd, flags.state)
  const socketPath =
    flags.socket === undefined
      ? defaultSocketPath(stateDirectory)
      : path.resolve(io.cwd, flags.socket)
  try {
    return await callAdmin(socketPath, name, input)
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    if (error.code !== 'unreachable') {
      throw new CliFailure(ExitCode.Failed, error.code, error.message)
    }
    const where = flags.state === undefined ? '' : ` --state ${flags.state}`
    throw new CliFailure(
      ExitCode.Unreachable,
      error.code,
      `${error.message}\nStart one with: platterd serve${where}`,
    )
  }
}

/** Prints an answer: as JSON, or as `text` makes it. */
export function show<T>(
  io: CliIo,
  flags: ClientFlags,
  answer: T,
  text: (answer: T) => string,
): void {
  io.out(flags.json === true ? `${JSON.stringify(answer, null, 2)}\n` : text(answer))
}

/** Goes on only when `--yes` was given or a person agrees. Throws CliFailure otherwise. */
export async function confirm(
  io: CliIo,
  yes: boolean | undefined,
  question: string,
): Promise<void> {
  if (yes === true) return
  if (io.ask === undefined) {
    throw new CliFailure(
      ExitCode.Usage,
      'not-confirmed',
      `${question} Nobody can be asked here: add --yes`,
    )
  }
  if (!(await io.ask(question))) {
    throw new CliFailure(ExitCode.Failed, 'not-confirmed', 'Nothing was changed.')
  }
}

/** A size argument or option, for commander. */
export function sizeArgument(text: string): number {
  try {
    return parseSize(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

/** A number of connections, for commander. */
export function countArgument(text: string): number {
  const count = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > 65535) throw new InvalidArgumentError(`got ${text}, wanted 1 to 65535`)
  return count
}

/** An `ARRAY/PARTITION` argument, for commander. */
export function partitionArgument(text: string): { array: string; name: string } {
  const [array, name, ...rest] = text.split('/')
  if (!array || !name || rest.length > 0) {
    throw new InvalidArgumentError(`got ${text}, wanted ARRAY/NAME such as r0/data`)
  }
  return { array, name }
}
