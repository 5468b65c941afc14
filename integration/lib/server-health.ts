/** Whether a server that was sent nonsense is as it was before. */
import { residentBytes } from './memory.ts'
import type { TargetProcess } from './target-process.ts'

/** What garbage may wait for its collector, beside the slabs that a server keeps. */
const growthBytesMax = 128 * 2 ** 20

export class ServerHealth {
  readonly #process: TargetProcess
  readonly #residentBefore: number

  constructor(process: TargetProcess) {
    this.#process = process
    this.#residentBefore = residentBytes(process.pid)
  }

  /** What has happened that must not; empty when all is well. */
  complaints(): string[] {
    const { running, log, pid } = this.#process
    if (!running) return [`the server has ended:\n${log.slice(-2000)}`]
    const growth = residentBytes(pid) - this.#residentBefore
    const faults = log.match(/^.*(connection failed|internal-error).*$/gm) ?? []
    return growth > growthBytesMax ? [`the server has grown by ${growth} bytes`, ...faults] : faults
  }
}
