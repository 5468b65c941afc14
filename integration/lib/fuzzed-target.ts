/** A server with a partition and a host that has a secret, for logins that know none. */
import { AuthenticatingTarget, oneWay } from './authenticating-target.ts'
import { ChapWire } from './chap-wire.ts'
import { type FuzzCounts, type FuzzOptions, fuzzLogins } from './login-fuzz.ts'
import { residentBytes } from './memory.ts'
import type { TargetProcess } from './target-process.ts'

/** What garbage may wait for its collector, beside the slabs that a server keeps. */
const growthBytesMax = 128 * 2 ** 20

export class FuzzedTarget {
  readonly process: TargetProcess
  readonly #targetName: string
  readonly #residentBefore: number

  private constructor({ process, targetName }: AuthenticatingTarget) {
    this.process = process
    this.#targetName = targetName
    this.#residentBefore = residentBytes(process.pid)
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
    const complaints: string[] = []
    if (!this.process.running) return [`the server has ended:\n${this.process.log.slice(-2000)}`]
    const growth = residentBytes(this.process.pid) - this.#residentBefore
    if (growth > growthBytesMax) complaints.push(`the server has grown by ${growth} bytes`)
    const faults = this.process.log.match(/^.*(connection failed|internal-error).*$/gm) ?? []
    complaints.push(...faults)
    const sessions = await this.process.command<unknown[]>('session', 'list')
    if (sessions.length > 0) complaints.push(`there are sessions: ${JSON.stringify(sessions)}`)
    const chap = await ChapWire.open(this.process.port, oneWay, this.#targetName)
    const { status } = await chap.respond(await chap.challenge())
    if (status !== 0) complaints.push(`the right secret gets status 0x${status.toString(16)}`)
    chap.close()
    return complaints
  }
}
