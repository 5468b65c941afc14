/** A server with a partition and a host that has a secret, for logins that know none. */
import { AuthenticatingTarget, oneWay } from './authenticating-target.ts'
import { ChapWire } from './chap-wire.ts'
import { type FuzzCounts, type FuzzOptions, fuzzLogins } from './login-fuzz.ts'
import { ServerHealth } from './server-health.ts'
import type { TargetProcess } from './target-process.ts'

export class FuzzedTarget {
  readonly process: TargetProcess
  readonly #targetName: string
  readonly #health: ServerHealth

  private constructor({ process, targetName }: AuthenticatingTarget) {
    this.process = process
    this.#targetName = targetName
    this.#health = new ServerHealth(process)
  }

  /** Nobody gets in without a secret. */
  static async start(): Promise<FuzzedTarget> {
    return new FuzzedTarget(await AuthenticatingTarget.start(['--min-auth', 'chap']))
  }

  fuzz(options: Pick<FuzzOptions, 'seed' | 'first' | 'goOn'>): Promise<FuzzCounts> {
    const { initiatorName } = oneWay
    const { port } = this.process
    return fuzzLogins({ port, initiatorName, targetName: this.#targetName, ...options })
  }

  /** What is not as it was before; empty when all is well. */
  async complaints(): Promise<string[]> {
    const complaints = this.#health.complaints()
    if (!this.process.running) return complaints
    const sessions = await this.process.command<unknown[]>('session', 'list')
    if (sessions.length > 0) complaints.push(`there are sessions: ${JSON.stringify(sessions)}`)
    const chap = await ChapWire.open(this.process.port, oneWay, this.#targetName)
    const { status } = await chap.respond(await chap.challenge())
    if (status !== 0) complaints.push(`the right secret gets status 0x${status.toString(16)}`)
    chap.close()
    return complaints
  }
}
