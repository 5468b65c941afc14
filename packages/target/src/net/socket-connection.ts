/**
 * One accepted TCP connection: bytes from the socket into the session layer, and its PDUs, gathered
 * in slabs, back. One reader and one writer: `#onBytes` and `#flush`.
 */
import type { Socket } from 'node:net'
import { formatTargetAddress } from '@platter/protocol/iscsi'
import type { BusyPoll } from '@platter/transport/busy-poll'
import { unpaceLoopback } from '@platter/transport/loopback'
import type { Log } from '../log.ts'
import type { TargetConnection } from '../session/connection.ts'
import type { CloseReason, ConnectionSink } from '../session/connection-sink.ts'
import type { ConnectionAddresses } from '../session/target-node.ts'
import { receiveInto } from './accept.ts'
import type { PortalAddress } from './portals.ts'
import type { SlabPool } from './slab-pool.ts'

const RECEIVE_BYTES = 256 * 1024
/**
 * The system reads a socket up to 32 times in a row. A buffer of small PDUs takes tens of ms, one of write
 * data a tenth of one: that need not pay for taking turns.
 */
const TURN_MS = 1
/**
 * Committed bytes that are worth a write of their own: four PDUs, within these bounds. More small ones
 * would keep the peer waiting (512 KiB of 4 KiB reads: 0.7 of the rate); fewer large ones wake it too
 * often (each 128 KiB on its own: 0.6).
 */
const FLUSH_MIN_BYTES = 64 * 1024
const FLUSH_MAX_BYTES = 512 * 1024
/** The longest PDU we send: 256 KiB of data, header, digests. */
const PDU_MAX_BYTES = 256 * 1024 + 1024
/** Late data up to this are copied, to leave in one write with others. */
const COPY_MAX_BYTES = 16 * 1024
/** Data of reads that a disk has yet to deliver, in bytes. */
const LATER_MAX_BYTES = 32 * 1024 * 1024
/** What a few small commands move. */
const SMALL_BYTES = 64 * 1024
const BACKLOG_LIMIT_BYTES = 4 * 1024 * 1024
/** How long a closed connection may take to send what is queued, in ms. */
const LINGER_MS = 5000

const NO_SLAB = Buffer.alloc(0)

export interface SocketConnectionOptions {
  accepted: Socket
  pool: SlabPool
  busyPoll: BusyPoll
  log: Log
  /** The portals that a host may use that has come to `local`. */
  portals(local: PortalAddress): readonly PortalAddress[]
  /** Makes the session side, once this sink exists. */
  connect(sink: ConnectionSink, addresses: ConnectionAddresses): TargetConnection
  /** The socket is gone. */
  closed(): void
}

export class SocketConnection implements ConnectionSink {
  readonly #socket: Socket
  readonly #pool: SlabPool
  readonly #busyPoll: BusyPoll
  readonly #log: Log
  readonly #closed: () => void
  readonly connection: TargetConnection
  readonly remoteHost: string
  readonly remoteAddress: string

  readonly slabMaxBytes = PDU_MAX_BYTES
  readonly backlogLimitBytes = BACKLOG_LIMIT_BYTES
  slab: Buffer = NO_SLAB
  #used = 0
  #writing = 0
  #laterBytes = 0
  /** Bytes that came and went since no command was in progress. */
  #moved = 0
  #inBatch = false
  #flushScheduled = false
  #closing = false
  /** Input that came before the session side paused, and is still to be taken in. */
  #rest: { buffer: Buffer; start: number; end: number } | null = null

  constructor(options: SocketConnectionOptions) {
    const { accepted } = options
    this.#pool = options.pool
    this.#busyPoll = options.busyPoll
    this.#log = options.log
    this.#closed = options.closed
    const { remoteAddress = '', remotePort = 0 } = accepted
    this.remoteHost = remoteAddress
    this.remoteAddress = formatTargetAddress({ host: remoteAddress, port: remotePort })
    // An IPv4 connection to a socket that serves both families is IPv4 to its host.
    const localHost = (accepted.localAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '')
    const localPort = accepted.localPort ?? 0
    this.connection = options.connect(this, {
      localHost,
      localPort,
      remoteHost: remoteAddress,
      remote: this.remoteAddress,
      portals: () => options.portals({ host: localHost, port: localPort }),
    })
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES)
    this.#socket = receiveInto(accepted, buffer, (bytes, length) => this.#onBytes(bytes, length))
    this.#socket.setNoDelay(true)
    unpaceLoopback(this.#socket)
    this.#socket.on('error', (error) => this.#log.debug(`${this.remoteAddress}: ${error.message}`))
    this.#socket.on('end', () => this.#peerEnded())
    this.#socket.on('close', () => this.#onClose())
    this.#socket.resume()
  }

  // The reader.

  /** Where one buffer of it took long, and more is likely to be there, the other connections go first. */
  #onBytes(buffer: Buffer, length: number): boolean {
    if (length < buffer.length) return this.#receive(buffer, 0, length)
    const startedMs = performance.now()
    const more = this.#receive(buffer, 0, length)
    if (!more || performance.now() - startedMs < TURN_MS) return more
    this.resumeInput()
    return false
  }

  /** True when all of it was taken in, and more may come. */
  #receive(buffer: Buffer, start: number, end: number): boolean {
    if (this.#closing) return true
    this.#inBatch = true
    let consumed = end - start
    try {
      consumed = this.connection.receive(buffer, start, end)
    } catch (error) {
      this.#fault(error)
    }
    this.#inBatch = false
    this.#flush()
    this.#moved += consumed
    if (this.connection.idle) this.#waitAwake()
    if (this.#closing || start + consumed === end) return !this.connection.paused || this.#closing
    this.#rest = { buffer, start: start + consumed, end }
    return false
  }

  /** Small commands are waited for awake; larger ones leave the processor to whoever copies them. */
  #waitAwake(): void {
    if (this.#moved <= SMALL_BYTES) this.#busyPoll.inputTaken()
    this.#moved = 0
  }

  /** As in ConnectionSink. Never from within the call that resumes: it may be deep in a completion. */
  resumeInput(): void {
    setImmediate(() => {
      if (this.connection.paused || this.#closing) return
      const rest = this.#rest
      this.#rest = null
      if (rest !== null && !this.#receive(rest.buffer, rest.start, rest.end)) return
      this.#socket.resume()
    })
  }

  /** A fault of ours ends this connection, and no other. */
  #fault(error: unknown): void {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#log.error(`${this.remoteAddress}: connection failed: ${detail}`)
    this.close('internal-error', detail)
    this.connection.transportLost()
  }

  #peerEnded(): void {
    if (!this.#closing) this.close('peer-closed', 'the initiator closed the connection')
  }

  // The writer.

  reserve(length: number): number {
    if (this.#used + length > this.slab.length) {
      this.#flush()
      if (this.slab.length < length) this.#takeOutput(length)
    }
    return this.#used
  }

  /** A slab for PDUs of about this length: small ones that wait for the network must not hold large slabs. */
  #takeOutput(length: number): void {
    if (this.slab.length > 0) this.#pool.giveBack(this.slab)
    const small = length <= COPY_MAX_BYTES
    this.slab = this.#pool.take(
      small ? FLUSH_MIN_BYTES + COPY_MAX_BYTES : FLUSH_MAX_BYTES + PDU_MAX_BYTES,
    )
  }

  commit(length: number): void {
    this.#used += length
    const worthWriting = Math.min(Math.max(4 * length, FLUSH_MIN_BYTES), FLUSH_MAX_BYTES)
    if (this.#used >= worthWriting) this.#flush()
    else if (!this.#inBatch) this.#scheduleFlush()
  }

  get backlogBytes(): number {
    return this.#used + this.#writing
  }

  /** Completions of one turn of the event loop leave together. */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(() => {
      this.#flushScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#used === 0) return
    const { slab } = this
    const length = this.#used
    this.#used = 0
    this.slab = NO_SLAB
    this.#write(slab, length)
  }

  #write(slab: Buffer, length: number): void {
    if (this.#closing || this.#socket.destroyed) {
      this.#pool.giveBack(slab)
      return
    }
    this.#writing += length
    this.#moved += length
    let taken = false
    this.#socket.write(slab.subarray(0, length), () => {
      if (taken) return
      this.#written(slab, length)
      if (!this.#closing) this.#drained()
    })
    // The system has it all: the slab is used again while the processor's cache still holds it.
    taken = this.#socket.writableLength === 0
    if (taken) this.#written(slab, length)
  }

  #written(slab: Buffer, length: number): void {
    this.#writing -= length
    this.#pool.giveBack(slab)
  }

  #drained(): void {
    if (this.backlogBytes <= this.backlogLimitBytes) this.connection.onDrain()
  }

  takeSlab(length: number): Buffer | undefined {
    if (this.#laterBytes > 0 && this.#laterBytes + length > LATER_MAX_BYTES) return undefined
    const slab = this.#pool.take(length)
    this.#laterBytes += slab.length
    return slab
  }

  sendSlab(slab: Buffer, length: number): void {
    if (length > COPY_MAX_BYTES) {
      this.#laterBytes -= slab.length
      this.#flush()
      this.#write(slab, length)
      return
    }
    // First: it may change `this.slab`.
    const at = this.reserve(length)
    slab.copy(this.slab, at, 0, length)
    this.commit(length)
    this.returnSlab(slab)
  }

  returnSlab(slab: Buffer): void {
    this.#laterBytes -= slab.length
    this.#pool.giveBack(slab)
  }

  // The end.

  close(reason: CloseReason, detail: string): void {
    if (this.#closing) return
    const level = reason === 'login-failed' ? 'warn' : 'info'
    this.#log[level](`${this.remoteAddress}: ${reason}: ${detail}`)
    this.#flush()
    this.#closing = true
    this.#socket.end()
    this.#socket.resume()
    const linger = setTimeout(() => this.#socket.destroy(), LINGER_MS)
    linger.unref()
    this.#socket.once('close', () => clearTimeout(linger))
  }

  #onClose(): void {
    this.#closing = true
    this.#rest = null
    this.connection.transportLost()
    this.#closed()
  }
}
