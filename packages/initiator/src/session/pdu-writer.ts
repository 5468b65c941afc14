/** Lays PDUs out in the sink's slab, and seals them with what digests were agreed on. */
import {
  BHS_LENGTH,
  DIGEST_LENGTH,
  dataPosition,
  pduLength,
  sealPdu,
} from '@platter/protocol/iscsi'
import type { ConnectionSink } from './connection-sink.ts'

/** To copy fewer costs less than to hand them to the network apart. */
const LENT_BYTES_MIN = 32 * 1024

export class PduWriter {
  readonly #sink: ConnectionSink
  headerDigest = false
  dataDigest = false

  constructor(sink: ConnectionSink) {
    this.#sink = sink
  }

  get slab(): Buffer {
    return this.#sink.slab
  }

  /** Whether the network has taken what was sent up to that figure of `sendLent`. */
  hasSent(bytes: number): boolean {
    return this.#sink.sentBytes >= bytes
  }

  /** Whether the network is behind by more than may be queued. */
  get congested(): boolean {
    return this.#sink.backlogBytes > this.#sink.backlogLimitBytes
  }

  /** Whether it is so far behind that even what the target asks for may not be queued. */
  get overrun(): boolean {
    return this.#sink.backlogBytes > 2 * this.#sink.backlogLimitBytes
  }

  /** The longest data segment that fits the slab. */
  get segmentMaxBytes(): number {
    return this.#sink.slabMaxBytes - BHS_LENGTH - 2 * DIGEST_LENGTH - 3
  }

  /** Whether a data segment of this length is better lent than copied: then reserve for none, and `sendLent`. */
  lends(dataLength: number): boolean {
    return dataLength >= LENT_BYTES_MIN && dataLength % 4 === 0 && !this.dataDigest
  }

  /** Makes room for a PDU without AHS; its header goes to the returned position of `slab`. */
  reserve(dataLength: number): number {
    return this.#sink.reserve(pduLength(0, dataLength, this.headerDigest, this.dataDigest))
  }

  /** Where the data segment of the PDU at `base` goes. */
  dataPosition(base: number): number {
    return dataPosition(base, 0, this.headerDigest)
  }

  /** Sends the PDU at `base`, whose header and data are in place but for DataSegmentLength. */
  send(base: number, dataLength: number): void {
    const { slab } = this.#sink
    slab.writeUIntBE(dataLength, base + 5, 3)
    sealPdu(slab, base, dataLength, this.headerDigest, this.dataDigest)
    this.#sink.commit(pduLength(0, dataLength, this.headerDigest, this.dataDigest))
  }

  /**
   * Sends the PDU at `base`, whose header is in place, with the data at `data[position]`, which must stay
   * as they are until `hasSent` is true of the returned figure.
   */
  sendLent(base: number, data: Buffer, position: number, dataLength: number): number {
    const { slab } = this.#sink
    slab.writeUIntBE(dataLength, base + 5, 3)
    sealPdu(slab, base, 0, this.headerDigest, false)
    const length = pduLength(0, 0, this.headerDigest, false)
    return this.#sink.commitLent(length, data, position, dataLength)
  }
}
