/** `platterd status` and `platterd session …` */
import { Command } from 'commander'
import type { DataPort, LoginFailures, Session, Status } from '../admin/model.ts'
import { ask, type ClientFlags, show, withClientFlags } from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

export function statusCommand(io: CliIo): Command {
  return withClientFlags(new Command('status'))
    .description('say what is served, where, and what needs attention')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'status', {}), formatStatus)
    })
}

export function sessionCommand(io: CliIo): Command {
  const session = new Command('session').description('the hosts that are logged in')
  withClientFlags(session.command('list'))
    .description('list who is logged in, and over which connections')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'session list', {}), formatSessions)
    })
  withClientFlags(session.command('failures'))
    .description('list the addresses whose hosts have failed to authenticate lately')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'session failures', {}), formatFailures)
    })
  withClientFlags(session.command('end'))
    .description('ask a host to log out, and drop its sessions if it has not soon after')
    .argument('<host>', 'the iSCSI name of the host, or * for all hosts')
    .action(async (host: string, flags: ClientFlags) => {
      const ended = await ask(io, flags, 'session end', { host })
      show(io, flags, ended, ({ sessionCount: count }) => {
        return `${count === 1 ? '1 session was' : `${count} sessions were`} asked to log out\n`
      })
    })
  return session
}

function formatStatus(status: Status): string {
  const lines = [
    `platterd    ${status.version}, process ${status.pid}, up ${status.uptimeSeconds} s`,
    `target      ${status.targetName}`,
    `portals     ${status.portals.join(', ')}`,
    ...status.dataPorts.map((port) => `data port   ${describePort(port)}`),
    `state       ${status.stateDirectory}`,
    `disks       ${status.diskCount}`,
    `arrays      ${status.arrayCount}`,
    `partitions  ${status.partitionCount}`,
    `sessions    ${status.sessionCount}`,
    ...status.problems.map((problem) => `problem     ${problem}`),
  ]
  return `${lines.join('\n')}\n`
}

function describePort({ host, portal, secondsLeft }: DataPort): string {
  const use = secondsLeft === null ? 'in use' : `closed in ${secondsLeft} s unless used`
  return `${portal} for ${host}, ${use}`
}

function formatSessions(sessions: readonly Session[]): string {
  const rows = sessions.flatMap((it) =>
    it.connections.map((connection) => [
      it.initiatorName,
      it.type,
      it.isid,
      String(it.tsih),
      String(connection.cid),
      connection.remote,
      connection.dynamicPort ? `${connection.local} (dynamic)` : connection.local,
      it.authentication,
    ]),
  )
  const titles = ['INITIATOR', 'TYPE', 'ISID', 'TSIH', 'CID', 'FROM', 'TO', 'AUTHENTICATION']
  return formatTable(titles, rows, 'nobody is logged in')
}

function formatFailures(failures: readonly LoginFailures[]): string {
  const rows = failures.map((it) => [
    it.address,
    String(it.count),
    `${it.secondsAgo} s ago`,
    it.slowedDown ? 'yes' : 'no',
    it.detail,
  ])
  const titles = ['ADDRESS', 'FAILURES', 'LAST', 'SLOWED DOWN', 'WHY']
  return formatTable(titles, rows, 'nobody has failed to authenticate lately')
}
