/** A well-behaved session that reads a LUN over and over, and notices whatever happens to it. */
import type { RawConnection } from './raw-connection.ts'
import { transferCdb } from './raw-pdu.ts'

const blockBytes = 512
const transferBytes = 64 * 1024

export class Bystander {
  readonly #connection: RawConnection
  readonly #lun: number
  readonly #expected: Buffer
  #stopped = false
  #running: Promise<void> | undefined
  reads = 0
  slowestMs = 0
  /** What went wrong first. */
  complaint: string | null = null

  /** `expected` is what the first bytes of the LUN must read as, in whole transfers of 64 KiB. */
  constructor(connection: RawConnection, lun: number, expected: Buffer) {
    this.#connection = connection
    this.#lun = lun
    this.#expected = expected
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
    this.#connection.close()
  }

  async #run(): Promise<void> {
    for (let offset = 0; !this.#stopped && this.complaint === null; ) {
      const startedMs = performance.now()
      const cdb = transferCdb('read', offset / blockBytes, transferBytes / blockBytes)
      const { status, data } = await this.#connection.command(this.#lun, cdb, transferBytes)
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs)
      this.reads++
      const wanted = this.#expected.subarray(offset, offset + transferBytes)
      if (status !== 0) this.complaint = `read at ${offset} got status ${status}`
      else if (!data.equals(wanted)) this.complaint = `read at ${offset} got other bytes`
      offset = (offset + transferBytes) % this.#expected.length
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}
