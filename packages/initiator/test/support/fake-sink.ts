/** A ConnectionSink that keeps what it is given: PDUs as they would go on the wire. */
import { Framer, type FramerHandler } from '@platter/protocol/iscsi'
import type { ConnectionSink } from '../../src/session/connection-sink.ts'

/** One PDU that was sent: its header, and its data segment. */
export interface SentPdu {
  readonly header: Buffer
  readonly data: Buffer
}

/** PDUs do not begin where the slab does. */
const BASE = 8

export class FakeSink implements ConnectionSink {
  slab = Buffer.alloc(1024 * 1024)
  readonly slabMaxBytes = 512 * 1024
  backlogLimitBytes = 4 * 1024 * 1024
  backlogBytes = 0
  readonly hasUnsent = false
  /** Set to stand for a network that takes nothing: what is committed counts as backlog. */
  holding = false
  closed = 0
  #committedBytes = 0
  #bytes: Buffer[] = []

  reserve(length: number): number {
    if (length > this.slabMaxBytes) throw new Error(`${length} bytes reserved`)
    if (this.closed > 0) throw new Error('reserved after close')
    this.slab.fill(0xa5, 0, BASE + length)
    return BASE
  }

  commit(length: number): void {
    this.#queue(this.slab.subarray(BASE, BASE + length))
  }

  commitLent(length: number, data: Buffer, position: number, dataLength: number): number {
    this.commit(length)
    this.#queue(data.subarray(position, position + dataLength))
    return this.#committedBytes
  }

  get sentBytes(): number {
    return this.#committedBytes - this.backlogBytes
  }

  #queue(bytes: Buffer): void {
    this.#bytes.push(Buffer.from(bytes))
    this.#committedBytes += bytes.length
    if (this.holding) this.backlogBytes += bytes.length
  }

  close(): void {
    this.closed += 1
  }

  /** The PDUs sent since the last call, taken apart with the digests that are in force. */
  take(digests: { header: boolean; data: boolean }): SentPdu[] {
    const pdus: SentPdu[] = []
    if (this.#bytes.length === 0) return pdus
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
    const framer = new Framer(handler, this.slabMaxBytes)
    framer.headerDigest = digests.header
    framer.dataDigest = digests.data
    const bytes = Buffer.concat(this.#bytes)
    this.#bytes = []
    framer.push(bytes, 0, bytes.length)
    return pdus
  }
}
