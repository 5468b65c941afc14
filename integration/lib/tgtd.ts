/** tgtd, the userspace target of the Linux world, with a control port of its own. */
import { rmSync } from 'node:fs'
import { onCleanUp } from './cleanup.ts'
import { BackgroundProcess, run, runOk } from './command.ts'
import { freePort } from './port.ts'
import { watchedUnderTap } from './target-process.ts'

export interface Tgtd {
  readonly pid: number
  readonly port: number
  readonly targetName: string
  /** iscsi:// URL of the LUN that serves the file with this index (tgtd's LUN 0 is its controller). */
  url(index: number): string
  /** tgtd does not end by itself while it has targets, so it is killed. */
  stop(): Promise<void>
}

/** A CHAP user of tgtd, and its secret. */
interface Account {
  readonly user: string
  readonly secret: string
}

export interface TgtdAccounts {
  /** What initiators must show. */
  readonly incoming: Account
  /** What tgtd shows to those that ask. */
  readonly outgoing: Account
}

/**
 * Starts tgtd on a free port of the loopback interface, with one LUN for each backing file. Without
 * accounts it lets in whoever comes.
 */
export async function startTgtd(files: readonly string[], accounts?: TgtdAccounts): Promise<Tgtd> {
  const port = await freePort()
  // tgtd keeps one socket for each control port, which is a short integer: the TCP port fits once halved.
  const control = String(port >> 1)
  const targetName = 'iqn.2026-11.org.platter:tgtd'
  const daemon = new BackgroundProcess('tgtd', [
    '--foreground',
    '--control-port',
    control,
    '--iscsi',
    `portal=127.0.0.1:${port}`,
  ])
  onCleanUp(() => {
    rmSync(`/var/run/tgtd/socket.${control}`, { force: true })
    rmSync(`/var/run/tgtd/socket.${control}.lock`, { force: true })
  })
  const administer = (...parameters: string[]) =>
    runOk('tgtadm', ['--control-port', control, '--lld', 'iscsi', ...parameters])
  await daemon.untilReady(async () => {
    const shown = await run('tgtadm', ['-C', control, '--op', 'show', '--mode', 'sys'])
    return shown.status === 0
  })
  await watchedUnderTap({ ports: [port] })
  await administer('--op', 'new', '--mode', 'target', '--tid', '1', '-T', targetName)
  for (const [index, file] of files.entries()) {
    const lun = ['--tid', '1', '--lun', String(index + 1)]
    await administer('--op', 'new', '--mode', 'logicalunit', ...lun, '-b', file)
  }
  if (accounts !== undefined) {
    const { incoming, outgoing } = accounts
    for (const [{ user, secret }, direction] of [
      [incoming, []],
      [outgoing, ['--outgoing']],
    ] as const) {
      await administer('--op', 'new', '--mode', 'account', '--user', user, '--password', secret)
      const bound = ['--tid', '1', '--user', user, ...direction]
      await administer('--op', 'bind', '--mode', 'account', ...bound)
    }
  }
  await administer('--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL')
  return {
    pid: daemon.pid,
    port,
    targetName,
    url: (index) => `iscsi://127.0.0.1:${port}/${targetName}/${index + 1}`,
    stop: async () => {
      await daemon.end('SIGKILL')
    },
  }
}
