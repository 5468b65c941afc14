/** `platter mount`: logs in, mounts, and stays until it is unmounted or told to stop. */
import { Command, Option } from 'commander'
import type { BlockDevice } from '../block/block-device.ts'
import { chooseDriver, type DriverName, driverNames } from '../fuse/choose-driver.ts'
import { DeviceMount } from '../fuse/mount.ts'
import { type ConnectedTarget, connect } from '../host.ts'
import type { PathOptions } from '../net/path.ts'
import type { MultiMode } from '../net/target-transport.ts'
import { readAuthentication } from './authentication.ts'
import { chooseTarget } from './choose-target.ts'
import type { CliIo } from './io.ts'
import { connectOptions, type PathFlags, withPaths } from './path-flags.ts'
import { PathWatcher } from './path-watcher.ts'
import { formatPortal, nameArgument, type PortalFlags, withPortal } from './portal.ts'
import { discoverAtAny, pathsTo } from './target-paths.ts'

interface Flags extends PortalFlags, PathFlags {
  readonly target?: string
  readonly allowOther?: boolean
  readonly driver: DriverName
}

/** How often an unmount that was asked for is tried while files are open, in ms. */
const TRY_AGAIN_MS = 500

export function mountCommand(io: CliIo): Command {
  return withPaths(withPortal(new Command('mount')))
    .description('show each partition of a target as a file, until unmounted or Ctrl-C')
    .argument('<directory>', 'an empty directory')
    .option('--target <iqn>', 'which target, where the portal tells of several', nameArgument)
    .option('--allow-other', 'let other users use the files too (see fuse.conf(5))')
    .addOption(
      new Option('--driver <driver>', 'what speaks FUSE: our own, fuse-native, or whichever works')
        .choices(driverNames)
        .default('auto'),
    )
    .action((portal: PathOptions, directory: string, flags: Flags) =>
      mount(io, portal, directory, flags),
    )
}

async function mount(
  io: CliIo,
  portal: PathOptions,
  directory: string,
  flags: Flags,
): Promise<void> {
  const { initiatorName } = flags
  const host = { initiatorName, authentication: await readAuthentication(io, flags) }
  const asked = [portal, ...flags.portal] as const
  const found = chooseTarget(await discoverAtAny(asked, host), portal, flags.target)
  const watcher = new PathWatcher((text) => io.err(`platter: ${found.name}: ${text}\n`))
  const target = await connect(pathsTo(found, asked), found.name, {
    ...host,
    ...connectOptions(flags),
    onEvent: (event) => watcher.tell(event),
  })
  try {
    const mounted = await DeviceMount.mount({
      directory,
      devices: target.devices,
      source: formatPortal(portal),
      allowOther: flags.allowOther ?? false,
      driver: chooseDriver(flags.driver),
      onStale: () =>
        io.err(`platter: cleaning up a mount on ${directory} whose process has died\n`),
    })
    tellMounted(io, mounted.directory, target, flags)
    await untilEnded(io, mounted)
  } finally {
    await target.close()
  }
}

function tellMounted(io: CliIo, directory: string, target: ConnectedTarget, flags: Flags): void {
  const { targetName, devices, mode, connections } = target
  const partitions = devices.map(({ name, sizeBytes, readOnly }) => ({ name, sizeBytes, readOnly }))
  const paths = target.paths().map(({ path }) => path)
  if (flags.json === true) {
    const answer = { directory, targetName, partitions, mode, connections, paths }
    io.out(`${JSON.stringify(answer)}\n`)
    return
  }
  io.err(`platter: ${describeMode(mode, connections)}, over ${paths.join(' and ')}\n`)
  io.out(`${targetName} is mounted on ${directory}\n${devices.map(describe).join('')}`)
}

function describeMode(mode: MultiMode, connections: number): string {
  if (connections === 1) return 'one connection'
  if (mode === 'connections') return `${connections} connections in one session`
  return `${connections} sessions of one connection, which is all that the target allows`
}

function describe({ name, sizeBytes, readOnly }: BlockDevice): string {
  return `  ${name}  ${sizeBytes} bytes${readOnly ? ', read-only' : ''}\n`
}

/** Resolves when it has been unmounted, by somebody else or because a signal asked for it. */
async function untilEnded(io: CliIo, mounted: DeviceMount): Promise<void> {
  const asked = new AbortController()
  let force = false
  const stopListening = io.onStopSignal(() => {
    force = asked.signal.aborted
    asked.abort()
  })
  const stopAsked = new Promise<void>((resolve) =>
    asked.signal.addEventListener('abort', () => resolve()),
  )
  try {
    await Promise.race([mounted.unmounted, stopAsked])
    if (!asked.signal.aborted) return
    for (let told = false; !(await mounted.unmount({ force })); told = true) {
      if (!told) {
        io.err('platter: files are in use; unmounting when they are closed\n')
        io.err('platter: once more Ctrl-C (or SIGTERM) does it now, and what is open fails\n')
      }
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS))
    }
  } finally {
    stopListening()
  }
}
