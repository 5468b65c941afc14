/** `platterd serve`: runs a target until it is told to stop. */
import { authenticationFloors, chapAlgorithmName, chapAlgorithms } from '@platter/protocol/iscsi'
import { Command, Option } from 'commander'
import type { Partition, Status } from '../admin/model.ts'
import {
  ConfigError,
  nodeArchitectureDetails,
  readServeConfig,
  type ServeConfig,
  type ServeFlags,
} from '../config.ts'
import { createLog, logLevels } from '../log.ts'
import { defaultServerLimits } from '../server-limits.ts'
import { formatSize } from '../size.ts'
import { countArgument } from './client-command.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'

type Flags = ServeFlags & { readonly json?: boolean }

/** Sessions get this long to end when the server stops; then it stops without them. */
const stopTimeoutMs = 10_000

export function serveCommand(io: CliIo): Command {
  const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value]
  return withLimits(new Command('serve'))
    .description('serve partitions over iSCSI, and the admin API to the other commands')
    .option('--state <dir>', 'state directory (default: $PLATTER_STATE or ~/.local/state/platter)')
    .option(
      '--portal <host:port>',
      'listen here; may be repeated (default: 127.0.0.1:3260)',
      collect,
    )
    .option('--target-name <iqn>', 'iSCSI name; kept in the state directory from then on')
    .option(
      '--max-connections <number>',
      'connections of one session, unless set for its host (default: 8)',
      countArgument,
    )
    .option('--socket <path>', 'admin socket (default: admin.sock in the state directory)')
    .option('--ping-after <seconds>', 'ping a host that has been silent for so long (default: 30)')
    .option('--ping-timeout <seconds>', 'end a connection whose host does not answer (default: 30)')
    .option('--disk-timeout <seconds>', 'give up a disk that does not answer (default: 30)')
    .addOption(new Option('--log-level <level>', 'what to log (default: info)').choices(logLevels))
    .option('--json-log', 'log JSON lines')
    .option('--json', 'print what is served as one line of JSON once it is')
    .addOption(
      new Option(
        '--min-auth <least>',
        'let in only hosts that show this (default: none on loopback addresses, else chap)',
      ).choices(authenticationFloors),
    )
    .option(
      '--chap-algorithms <list>',
      `those that hosts may use (default: ${chapAlgorithms.map(chapAlgorithmName).join(',')})`,
    )
    .option(
      '--slow-logins-after <failures>',
      'slow down the logins of an address that failed to authenticate so often (default: 10)',
      countArgument,
    )
    .addOption(
      new Option(
        '--node-architecture <detail>',
        'what to tell hosts of this software that tell of theirs (default: version)',
      ).choices(nodeArchitectureDetails),
    )
    .option(
      '--allow-unauthenticated',
      'let in hosts that have no secret, from wherever they can reach a portal',
    )
    .action((flags: Flags) => serve(io, flags))
}

function withLimits(command: Command): Command {
  const { loginTimeoutMs, ...counts } = defaultServerLimits
  const count = (flag: string, what: string, standard: number) =>
    command.option(`${flag} <number>`, `${what} (default: ${standard})`, countArgument)
  count('--max-sessions', 'sessions in all', counts.sessions)
  count('--max-sessions-per-host', 'sessions of a host, unless set', counts.sessionsPerHost)
  count('--max-connections-per-host', 'connections of a host', counts.connectionsPerHost)
  count('--max-tcp-connections', 'connections in all, logged in or not', counts.tcpConnections)
  count('--max-logins', 'logins under way in all', counts.logins)
  count('--max-logins-per-address', 'logins under way of an address', counts.loginsPerAddress)
  count('--max-commands', 'commands of a session in progress', counts.commands)
  command.option(
    '--data-ports <which>',
    'where hosts log in, unless set: fixed or dynamic, or dynamic:LOW-HIGH (default: fixed)',
  )
  command.option('--data-port-timeout <seconds>', 'a data port unused is closed (default: 120)')
  const seconds = `a login must be done in (default: ${loginTimeoutMs / 1000})`
  return command.option('--login-timeout <seconds>', seconds)
}

async function serve(io: CliIo, flags: Flags): Promise<void> {
  const config = readConfig(io, flags)
  const log = createLog({ level: config.logLevel, json: config.jsonLog, write: io.err })
  // Only serving needs the whole server; the other commands start faster without.
  const { createTarget } = await import('../target.ts')
  const { serveAdmin } = await import('../admin/server.ts')
  const stopRequested = io.stopRequested()
  const target = await createTarget({ ...config, log })
  try {
    const admin = await serveAdmin({
      target,
      socketPath: config.socketPath,
      onInternalError: (error) => log.error('admin request failed', { error: `${error.stack}` }),
    })
    try {
      await target.start()
      io.out(describeService(target.status(), target.listPartitions(), config, flags))
      log.info('stopping', { signal: await stopRequested })
    } finally {
      await admin.close()
    }
  } finally {
    await target.stop(stopTimeoutMs)
  }
}

function readConfig(io: CliIo, flags: Flags): ServeConfig {
  try {
    return readServeConfig(flags, io.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new CliFailure(ExitCode.Usage, 'invalid-flag', error.message)
  }
}

function describeService(
  status: Status,
  partitions: readonly Partition[],
  config: ServeConfig,
  flags: Flags,
): string {
  const base = `iscsi://${status.portals[0]}/${status.targetName}`
  if (flags.json === true) {
    return `${JSON.stringify({ ...status, socket: config.socketPath, partitions })}\n`
  }
  const lines = [
    `platterd ${status.version} serves ${status.targetName}`,
    `  state      ${status.stateDirectory}`,
    `  admin      ${config.socketPath}`,
    ...status.portals.map((portal) => `  portal     ${portal}`),
    ...partitions.flatMap(({ array, name, sizeBytes, grants }) => [
      `  partition  ${array}/${name}  ${formatSize(sizeBytes)}`,
      ...grants.map(({ host, lun }) => `    for ${host}: ${base}/${lun}`),
    ]),
    ...status.problems.map((problem) => `  problem    ${problem}`),
  ]
  return `${lines.join('\n')}\n`
}
