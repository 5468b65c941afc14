/** A server with one LUN, and hosts that must authenticate. */
import { askAdminOk } from './admin-api.ts'
import type { Host } from './chap-wire.ts'
import { temporaryDirectory } from './cleanup.ts'
import { TargetProcess } from './target-process.ts'

const name = (host: string) => `iqn.2026-11.org.platter:${host}`

export const oneWay: Host = {
  initiatorName: name('one'),
  user: name('one'),
  secret: 'secret of one',
}
export const mutual: Host = { initiatorName: name('both'), user: 'both', secret: 'secret of both' }
/** What the server shows to `mutual`. */
export const own = { user: 'the-server', secret: 'secret of the server' }
export const longUser: Host = {
  initiatorName: name('long'),
  user: 'u'.repeat(255),
  secret: 'x'.repeat(255),
}
export const shortUser: Host = { initiatorName: name('short'), user: 'u', secret: 'x'.repeat(12) }

export class AuthenticatingTarget {
  readonly process: TargetProcess
  readonly targetName: string
  readonly lun: number

  private constructor(process: TargetProcess, targetName: string, lun: number) {
    this.process = process
    this.targetName = targetName
    this.lun = lun
  }

  /** The server is given `more` flags as well. */
  static async start(more: readonly string[] = []): Promise<AuthenticatingTarget> {
    // Tests fail to authenticate more often than hosts do.
    const flags = ['--slow-logins-after', '1000', ...more]
    const process = await TargetProcess.start(temporaryDirectory(), flags)
    const { lun } = await process.createPartition({
      directory: temporaryDirectory(),
      disks: 1,
      diskSize: '16M',
      chunk: '64K',
      array: 'a',
      partition: 'p',
      size: '8M',
    })
    const target = new AuthenticatingTarget(process, await process.targetName(), lun)
    for (const { initiatorName, user, secret } of [oneWay, mutual, longUser, shortUser]) {
      await target.setSecret({ host: initiatorName, user, secret, mutual: false })
    }
    await target.setSecret({ host: mutual.initiatorName, ...own, mutual: true })
    return target
  }

  setSecret(secret: object): Promise<void> {
    return setSecret(this.process, secret)
  }
}

/** `secret set`, with its input as the admin API has it. */
export async function setSecret(target: TargetProcess, secret: object): Promise<void> {
  await askAdminOk(target.stateDirectory, 'POST', '/api/v1/secrets', secret)
}
