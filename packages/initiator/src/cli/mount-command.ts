/** `platter mount`: logs in, mounts, and stays until it is unmounted or told to stop. */
import { Command, InvalidArgumentError, Option } from 'commander'
import type { BlockDevice } from '../block/block-device.ts'
import { chooseDriver, type DriverName, driverNames } from '../fuse/choose-driver.ts'
import { DeviceMount } from '../fuse/mount.ts'
import { type ConnectedTarget, connect, discover } from '../host.ts'
import type { SessionEvent } from '../net/persistent-session.ts'
import type { Endpoint } from '../net/socket-connection.ts'
import type { DiscoveredTarget } from '../session/discovery.ts'
import { readAuthentication } from './authentication.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'
import { formatPortal, nameArgument, type PortalFlags, withPortal } from './portal.ts'

interface Flags extends PortalFlags {
  readonly target?: string
  readonly allowOther?: boolean
  /** In ms. */
  readonly retryFor: number
  readonly driver: DriverName
}

/** How often an unmount that was asked for is tried while files are open, in ms. */
const TRY_AGAIN_MS = 500

export function mountCommand(io: CliIo): Command {
  return withPortal(new Command('mount'))
    .description('show each partition of a target as a file, until unmounted or Ctrl-C')
    .argument('<directory>', 'an empty directory')
    .option('--target <iqn>', 'which target, where the portal tells of several', nameArgument)
    .option('--allow-other', 'let other users use the files too (see fuse.conf(5))')
    .option(
      '--retry-for <seconds>',
      'how long I/O waits for a target that is gone, before it fails',
      secondsArgument,
      120_000,
    )
    .addOption(
      new Option('--driver <driver>', 'what speaks FUSE: our own, fuse-native, or whichever works')
        .choices(driverNames)
        .default('auto'),
    )
    .action((portal: Endpoint, directory: string, flags: Flags) =>
      mount(io, portal, directory, flags),
    )
}

function secondsArgument(text: string): number {
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0) return seconds * 1000
  throw new InvalidArgumentError(`got ${text}, wanted a number of seconds`)
}

async function mount(io: CliIo, portal: Endpoint, directory: string, flags: Flags): Promise<void> {
  const { initiatorName } = flags
  const host = { initiatorName, authentication: await readAuthentication(io, flags) }
  const found = chooseTarget(await discover(portal, host), portal, flags.target)
  const target = await connect(portalOf(found, portal), found.name, {
    ...host,
    retryForMs: flags.retryFor,
    onEvent: (event) => tellEvent(io, found.name, event),
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

function chooseTarget(
  targets: readonly DiscoveredTarget[],
  portal: Endpoint,
  wanted: string | undefined,
): DiscoveredTarget {
  const fitting = wanted === undefined ? targets : targets.filter(({ name }) => name === wanted)
  const [first] = fitting
  if (first !== undefined && fitting.length === 1) return first
  const names = targets.map(({ name }) => `\n  ${name}`).join('')
  const where = formatPortal(portal)
  if (targets.length === 0) {
    throw new CliFailure(ExitCode.Failed, 'no-target', `${where} has no target for us`)
  }
  if (wanted === undefined) {
    const message = `${where} has several targets; choose one with --target:${names}`
    throw new CliFailure(ExitCode.Usage, 'several-targets', message)
  }
  throw new CliFailure(ExitCode.Failed, 'no-target', `${where} has no ${wanted}; it has:${names}`)
}

/** The portal that was asked, if the target is there; else the first that it names. */
function portalOf(target: DiscoveredTarget, asked: Endpoint): Endpoint {
  const same = target.portals.some(({ host, port }) => host === asked.host && port === asked.port)
  return same ? asked : (target.portals[0] ?? asked)
}

function tellMounted(io: CliIo, directory: string, target: ConnectedTarget, flags: Flags): void {
  const { targetName, devices } = target
  const partitions = devices.map(({ name, sizeBytes, readOnly }) => ({ name, sizeBytes, readOnly }))
  if (flags.json === true) {
    io.out(`${JSON.stringify({ directory, targetName, partitions })}\n`)
    return
  }
  io.out(`${targetName} is mounted on ${directory}\n${devices.map(describe).join('')}`)
}

function describe({ name, sizeBytes, readOnly }: BlockDevice): string {
  return `  ${name}  ${sizeBytes} bytes${readOnly ? ', read-only' : ''}\n`
}

/** Standard output is for the answer; this is for the person who watches. */
function tellEvent(io: CliIo, targetName: string, event: SessionEvent): void {
  const said =
    event.type === 'restored' ? event.type : `${event.type}: ${event.error.message}; trying again`
  io.err(`platter: ${targetName}: ${said}\n`)
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
