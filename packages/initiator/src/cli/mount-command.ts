/** `platter mount`: logs in, mounts, and stays until it is unmounted or told to stop. */
import path from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { chooseDriver, type DriverName, driverNames } from '../fuse/choose-driver.ts'
import { TreeMount, type TreeMountOptions } from '../fuse/mount.ts'
import { Directory, Tree } from '../fuse/tree.ts'
import type { HostOptions } from '../host.ts'
import { MountedServer } from '../mounted-server.ts'
import { ConnectionLostError } from '../session/errors.ts'
import { readHost } from './authentication.ts'
import { connectTarget } from './connect-target.ts'
import {
  DAEMON_FLAG,
  defaultLog,
  reportMounted,
  startDaemon,
  withPidFile,
  withTimes,
} from './daemon.ts'
import type { CliIo } from './io.ts'
import { describeMount } from './mount-description.ts'
import { type MountStatus, reportStatus } from './mount-status.ts'
import { type PathFlags, withPaths } from './path-flags.ts'
import { formatPortal, nameArgument, type PortalFlags, withHost } from './portal.ts'
import { parseServers, type ServerArgument } from './server-argument.ts'
import { StopSignals, untilEnded } from './until-ended.ts'

interface Flags extends PortalFlags, PathFlags {
  readonly target?: string
  readonly layout?: (typeof layouts)[number]
  readonly readOnly?: boolean
  readonly allowOther?: boolean
  readonly driver: DriverName
  readonly daemon?: boolean
  /** It is the daemon. */
  readonly asDaemon?: boolean
  readonly log?: string
  readonly pidFile?: string
}

/** All files in the mount's root, or those of each server in a directory of its own. */
const layouts = ['flat', 'servers'] as const

export function mountCommand(io: CliIo): Command {
  return withPaths(withHost(new Command('mount')))
    .description('show each partition of a target as a file, until unmounted or Ctrl-C')
    .usage('[options] <server...> <directory>')
    .argument(
      '<server...>',
      'HOST or HOST:PORT of each server; NAME=HOST calls it so, HOST+HOST are portals of the same one',
    )
    .option('--target <iqn>', 'which target, where the portal tells of several', nameArgument)
    .addOption(
      new Option(
        '--layout <layout>',
        'a directory for each server, or all files beside each other (default: flat for one server)',
      ).choices(layouts),
    )
    .option('--read-only', 'show files that can only be read')
    .option('--allow-other', 'let other users use the files too (see fuse.conf(5))')
    .addOption(
      new Option('--driver <driver>', 'what speaks FUSE: our own, fuse-native, or whichever works')
        .choices(driverNames)
        .default('auto'),
    )
    .option('--daemon', 'end when it is mounted; another process stays (platter unmount ends it)')
    .option('--log <file>', 'where that process logs to (default: in ~/.local/state/platter)')
    .option('--pid-file <file>', 'where the id of the process that stays is, while it is mounted')
    .addOption(new Option(DAEMON_FLAG).hideHelp())
    .action(async (args: string[], flags: Flags, command: Command) => {
      const { servers, directory } = understand(command, args, flags)
      const show = (status: MountStatus) => tellMounted(io, status, flags)
      if (flags.daemon === true) {
        const { rawArgs } = command.parent as Command & { readonly rawArgs: readonly string[] }
        show(await startDaemon(rawArgs, flags.log ?? defaultLog(directory)))
      } else if (flags.asDaemon === true) {
        await mount(withTimes(io), servers, directory, flags, reportMounted)
      } else await mount(io, servers, directory, flags, show)
    })
}

/** What the arguments say, or ends the command line as misuse. */
function understand(
  command: Command,
  args: readonly string[],
  { portal, target }: Flags,
): { readonly servers: readonly ServerArgument[]; readonly directory: string } {
  const [directory, ...texts] = args.toReversed()
  if (directory === undefined || texts.length === 0) {
    command.error("error: missing required argument 'directory'")
  }
  try {
    const servers = parseServers(texts.reverse())
    const [first, second] = servers as [ServerArgument, ServerArgument?]
    if (second === undefined) {
      const [leading, ...others] = first.portals
      const portals = [leading, ...others, ...portal] as const
      return { servers: [{ ...first, portals }], directory }
    }
    if (portal.length > 0) {
      throw new InvalidArgumentError(
        '--portal is for one server; write HOST+HOST for each of several',
      )
    }
    if (target !== undefined) {
      throw new InvalidArgumentError('--target is for one server')
    }
    return { servers, directory }
  } catch (error) {
    if (error instanceof InvalidArgumentError) command.error(`error: ${error.message}`)
    throw error
  }
}

async function mount(
  io: CliIo,
  servers: readonly ServerArgument[],
  directory: string,
  flags: Flags,
  onMounted: (status: MountStatus) => void | Promise<void>,
): Promise<void> {
  const host = await readHost(io, flags)
  const tree = new Tree()
  const mounted: MountedServer[] = []
  const status = reportStatus(tree, path.resolve(directory), mounted)
  for (const server of servers) {
    mounted.push(mountedServer(io, server, servers.length, tree, host, flags))
  }
  try {
    await showAll(io, mounted)
    const options = {
      directory,
      tree,
      source: servers.map(({ portals: [first] }) => formatPortal(first)).join(' '),
      allowOther: flags.allowOther ?? false,
      driver: chooseDriver(flags.driver),
      onStale: () =>
        io.err(`platter: cleaning up a mount on ${directory} whose process has died\n`),
    }
    await mountUntilEnded(io, options, flags.pidFile, () => onMounted(status()))
  } finally {
    await closeAll(mounted)
  }
}

async function mountUntilEnded(
  io: CliIo,
  options: TreeMountOptions,
  pidFile: string | undefined,
  onMounted: () => void | Promise<void>,
): Promise<void> {
  const signals = new StopSignals(io)
  try {
    const treeMount = await TreeMount.mount(options)
    await withPidFile(pidFile, async () => {
      await onMounted()
      await untilEnded(io, treeMount, signals)
    })
  } finally {
    signals.stopListening()
  }
}

function mountedServer(
  io: CliIo,
  { name, portals }: ServerArgument,
  count: number,
  tree: Tree,
  host: HostOptions,
  flags: Flags,
): MountedServer {
  const say = (text: string) => io.err(`platter: ${name}: ${text}\n`)
  let directory = tree.root
  if ((flags.layout ?? (count === 1 ? 'flat' : 'servers')) === 'servers') {
    directory = new Directory()
    tree.add(tree.root, name, directory)
  }
  return new MountedServer({
    name,
    tree,
    directory,
    readOnly: flags.readOnly ?? false,
    say,
    connect: () => connectTarget({ portals, targetName: flags.target, host, flags, say }),
  })
}

/** Shows all that can be reached, in their order; the others follow when they can, unless there are none. */
async function showAll(io: CliIo, servers: readonly MountedServer[]): Promise<void> {
  const outcomes = await Promise.allSettled(servers.map((server) => server.reach()))
  const errors = outcomes.map((outcome) =>
    outcome.status === 'rejected' ? (outcome.reason as Error) : undefined,
  )
  const fatal =
    errors.find((error) => error !== undefined && !(error instanceof ConnectionLostError)) ??
    (errors.includes(undefined) ? undefined : errors[0])
  if (fatal !== undefined) throw fatal
  for (const [index, server] of servers.entries()) {
    const error = errors[index]
    if (error !== undefined) io.err(`platter: ${server.name}: ${error.message}; trying again\n`)
    server.show()
  }
}

/** Rejects with the first error of any, when all are closed. */
async function closeAll(servers: readonly MountedServer[]): Promise<void> {
  const outcomes = await Promise.allSettled(servers.map((server) => server.close()))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

function tellMounted(io: CliIo, status: MountStatus, { json }: Flags): void {
  if (json === true) io.out(`${JSON.stringify(status)}\n`)
  else io.out(describeMount(status))
}
