/** A ConnectionSink that keeps what it is given: PDUs as they would go on the wire. */
import { Framer, type FramerHandler } from '@platter/protocol/iscsi'
import type { CloseReason, ConnectionSink } from '../../src/session/connection-sink.ts'

/** One PDU that was sent: its header, and its data segment. */
export interface SentPdu {
  readonly header: Buffer
  readonly data: Buffer
}

export class FakeSink implements ConnectionSink {
  slab = Buffer.alloc(1024 * 1024)
  readonly slabMaxBytes = 512 * 1024
  readonly backlogLimitBytes = 4 * 1024 * 1024
  /** Set above the limit to stand for a network that takes nothing. */
  backlogBytes = 0
  /** What `takeSlab` may still lend, in bytes. */
  laterBudgetBytes = 64 * 1024 * 1024
  readonly lent = new Set<Buffer>()
  closed: { reason: CloseReason; detail: string } | null = null
  resumed = 0
  #bytes: Buffer[] = []

  reserve(length: number): number {
    if (length > this.slabMaxBytes) throw new Error(`${length} bytes reserved`)
    if (this.closed) throw new Error('reserved after close')
    this.slab.fill(0xa5, 0, length)
    return 0
  }

  commit(length: number): void {
    this.#bytes.push(Buffer.from(this.slab.subarray(0, length)))
  }

  takeSlab(length: number): Buffer | undefined {
    if (this.laterBudgetBytes < length) return undefined
    this.laterBudgetBytes -= length
    const slab = Buffer.alloc(length, 0xa5)
    this.lent.add(slab)
    return slab
  }

  sendSlab(slab: Buffer, length: number): void {
    this.#bytes.push(Buffer.from(slab.subarray(0, length)))
    this.returnSlab(slab)
  }

  returnSlab(slab: Buffer): void {
    if (!this.lent.delete(slab)) throw new Error('a slab came back that was not lent')
    this.laterBudgetBytes += slab.length
  }

  resumeInput(): void {
    this.resumed++
  }

  close(reason: CloseReason, detail: string): void {
    this.closed ??= { reason, detail }
  }

  /** The PDUs sent since the last call, taken apart with the digests that are in force. */
  take(digests: { header: boolean; data: boolean } = { header: false, data: false }): SentPdu[] {
    const pdus: SentPdu[] = []
    let header = Buffer.alloc(0)
    let data = Buffer.alloc(0)
    const handler: FramerHandler = {
      onHeader(buffer, base) {
        header = Buffer.from(buffer.subarray(base, base + 48))
        data = Buffer.alloc(header.readUIntBE(5, 3))
      },
      onData(buffer, position, length, offset) {
        buffer.copy(data, offset, position, position + length)
      },
      onEnd: () => pdus.push({ header, data }),
      onDataDigestError() {
        throw new Error('a PDU with a bad data digest was sent')
      },
    }
    const framer = new Framer(handler, 16 * 1024 * 1024)
    framer.headerDigest = digests.header
    framer.dataDigest = digests.data
    const bytes = Buffer.concat(this.#bytes)
    this.#bytes = []
    framer.push(bytes, 0, bytes.length)
    return pdus
  }
}
