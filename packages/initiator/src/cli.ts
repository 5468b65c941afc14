/** The `platter` command line: targets found, mounted and unmounted, their partitions read, written and copied. */
import { Command, CommanderError } from 'commander'
import { benchCommand } from './cli/bench-command.ts'
import { copyCommand } from './cli/copy-command.ts'
import { DAEMON_FLAG, reportFailure } from './cli/daemon.ts'
import { discoverCommand } from './cli/discover-command.ts'
import { failureOf } from './cli/failure.ts'
import { fstabArguments } from './cli/fstab-arguments.ts'
import { infoCommand } from './cli/info-command.ts'
import { type CliIo, ExitCode, processIo } from './cli/io.ts'
import { mountCommand } from './cli/mount-command.ts'
import { readCommand } from './cli/read-command.ts'
import { statusCommand } from './cli/status-command.ts'
import { unmountCommand } from './cli/unmount-command.ts'
import { writeCommand } from './cli/write-command.ts'
import { version } from './version.ts'

const lesson = `
A partition of another machine as a file:
  $ platter discover 192.0.2.7
  $ platter info 192.0.2.7               (what it lets us use)
  $ mkdir /mnt/san
  $ platter mount 192.0.2.7 /mnt/san      (stays; Ctrl-C unmounts)
  $ mkfs.ext4 /mnt/san/scratch            (in another terminal)

Several servers, each in a directory of its own, in the background:
  $ platter mount --daemon 192.0.2.7 backup=192.0.2.8 /mnt/san
  $ platter status --watch

Over two networks at once, either of which may fail:
  $ platter mount 192.0.2.7 /mnt/san --portal 198.51.100.7

Its bytes without a mount, to an image and back, or to another server:
  $ platter read 192.0.2.7/scratch scratch.img
  $ platter write scratch.img 192.0.2.7/scratch
  $ platter copy 192.0.2.7/scratch 198.51.100.7/scratch

Each partition is a file of its size, which programs use as they use a disk: dd, fio, losetup, mkfs,
qemu. Any iSCSI target will do; the partitions of one that gives them no names are lun0, lun1, …

With --json answers are for programs: on standard output, and an error as
{"error":{"code","message"}} on standard error.

Exit codes: 0 done, 1 failed or refused, 2 command line not understood, 3 the target cannot be reached,
130 and 143 ended by SIGINT and SIGTERM.
`

/**
 * Runs one command line, without the program's name, and resolves with its exit code. Errors are
 * told on `io.err`, as JSON when the command line asks for it.
 */
export async function run(args: readonly string[], io: CliIo = processIo()): Promise<number> {
  const program = createProgram(io)
  try {
    await program.parseAsync([...(fstabArguments(args) ?? args)], { from: 'user' })
    return ExitCode.Ok
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has told it already: help and version end with 0, all else is misuse.
      return error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage
    }
    const { code, exitCode, message } = failureOf(error as Error)
    if (args.includes(DAEMON_FLAG)) await reportFailure({ code, exitCode, message })
    const json = args.includes('--json')
    io.err(json ? `${JSON.stringify({ error: { code, message } })}\n` : `platter: ${message}\n`)
    return exitCode
  }
}

function createProgram(io: CliIo): Command {
  const program = new Command('platter')
    .description('Shows the partitions of iSCSI targets as files.')
    .version(version)
    .addHelpText('after', lesson)
  const commands = [
    discoverCommand,
    infoCommand,
    mountCommand,
    statusCommand,
    unmountCommand,
    readCommand,
    writeCommand,
    copyCommand,
    benchCommand,
  ]
  for (const command of commands.map((make) => make(io))) {
    program.addCommand(command)
  }
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
