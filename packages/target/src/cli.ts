/** The `platterd` command line: the server, and thin clients of its admin API. */
import { Command, CommanderError } from 'commander'
import { arrayCommand } from './cli/array-commands.ts'
import { diskCommand } from './cli/disk-commands.ts'
import { grantCommand } from './cli/grant-commands.ts'
import { hostCommand } from './cli/host-commands.ts'
import { CliFailure, type CliIo, ExitCode, processIo } from './cli/io.ts'
import { partitionCommand } from './cli/partition-commands.ts'
import { redirectCommand } from './cli/redirect-commands.ts'
import { secretCommand } from './cli/secret-commands.ts'
import { serveCommand } from './cli/serve-command.ts'
import { sessionCommand, statusCommand } from './cli/status-commands.ts'
import { version } from './version.ts'

const lesson = `
A first partition:
  $ platterd serve &
  $ platterd disk create /srv/d0.disk --size 10G
  $ platterd disk create /srv/d1.disk --size 10G
  $ platterd array create r0 --level raid0 --chunk 64K /srv/d0.disk /srv/d1.disk
  $ platterd partition create r0/data --size 15G --host '*'
  $ platterd status

A partition of its own for one host, and one more that it may read as others do:
  $ platterd host create iqn.2024-01.org.example:web
  $ platterd partition create r0/web --size 1G --host iqn.2024-01.org.example:web
  $ platterd grant create r0/docs --host iqn.2024-01.org.example:web --shared --read-only

Every command but serve asks a running server over its admin socket. With --json its answer is for
programs: the answer on standard output, an error as {"error":{"code","message"}} on standard error.
Sizes take K, M, G, T (1K = 1024).

Exit codes: 0 done, 1 failed or refused, 2 command line not understood, 3 no server to ask.
`

/**
 * Runs one command line, without the program's name, and resolves with its exit code. Errors are
 * told on `io.err`, as JSON when the command line asks for it.
 */
export async function run(args: readonly string[], io: CliIo = processIo()): Promise<number> {
  const program = createProgram(io)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return ExitCode.Ok
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has told it already: help and version end with 0, all else is misuse.
      return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage
    }
    const { message } = error as Error
    const known = error instanceof CliFailure
    const code = known ? error.code : ((error as { code?: string }).code ?? 'failed')
    const json = args.includes('--json')
    io.err(json ? `${JSON.stringify({ error: { code, message } })}\n` : `platterd: ${message}\n`)
    return known ? error.exitCode : ExitCode.Failed
  }
}

function createProgram(io: CliIo): Command {
  const program = new Command('platterd')
    .description('Serves partitions of disk arrays to hosts, over iSCSI.')
    .version(version)
    .addHelpText('after', lesson)
  const commands = [
    serveCommand(io),
    diskCommand(io),
    arrayCommand(io),
    partitionCommand(io),
    hostCommand(io),
    grantCommand(io),
    redirectCommand(io),
    secretCommand(io),
    sessionCommand(io),
    statusCommand(io),
  ]
  for (const command of commands) program.addCommand(command)
  settle(program, io)
  return program
}

/** Commander's own way out is process.exit and the process's streams: neither is wanted. */
function settle(command: Command, io: CliIo): void {
  command.exitOverride()
  command.configureOutput({ writeOut: io.out, writeErr: io.err })
  command.showHelpAfterError('Add --help for how to use it.')
  for (const child of command.commands) settle(child, io)
}
