/**
 * One TCP connection to a target: bytes from the socket into a Connection, and its PDUs, gathered in
 * slabs, back. One reader and one writer: `#onBytes` and `#flush`.
 */
import { createConnection, type OnReadOpts, Socket } from 'node:net'
import { BusyPoll } from '@platter/transport/busy-poll'
import { unpaceLoopback } from '@platter/transport/loopback'
import type { Connection } from '../session/connection.ts'
import type { ConnectionSink } from '../session/connection-sink.ts'
import { dialOptions, type Endpoint } from './endpoint.ts'
import { SlabPool } from './slab-pool.ts'

const RECEIVE_BYTES = 256 * 1024
/** Committed bytes that are worth a write of their own. */
const FLUSH_BYTES = 64 * 1024
/** The longest PDU we send: 256 KiB of data, header, digests. */
const PDU_MAX_BYTES = 256 * 1024 + 1024
const BACKLOG_LIMIT_BYTES = 4 * 1024 * 1024
const SLABS_KEPT = 16
const CONNECT_TIMEOUT_MS = 5_000
/** How long a closed connection may take to send what is queued. */
const LINGER_MS = 2000
const TICK_MS = 250

/**
 * One for all: it is the event loop that stays awake. Through a whole turn of one small command at a time: an
 * answer, a program that reads it and asks again, and the next answer.
 */
const busyPoll = new BusyPoll({
  awakeMs: 0.4,
  closeMs: 0.5,
  nowMs: () => performance.now(),
  schedule: setImmediate,
})

const NO_SLAB = Buffer.alloc(0)

export class SocketConnection implements ConnectionSink {
  readonly slabMaxBytes = PDU_MAX_BYTES
  readonly backlogLimitBytes = BACKLOG_LIMIT_BYTES
  slab: Buffer = NO_SLAB
  readonly #socket: Socket
  readonly #pool = new SlabPool(FLUSH_BYTES + PDU_MAX_BYTES, SLABS_KEPT)
  readonly #connection: Connection
  readonly #onFault: (error: unknown) => void
  readonly #timer: NodeJS.Timeout
  #used = 0
  /** Bytes that the socket has been given, and those of them that it is done with. */
  #givenBytes = 0
  #sentBytes = 0
  /** Lent data are among them up to here. */
  #lentUntilBytes = 0
  #inBatch = false
  #flushScheduled = false
  #closing = false
  #failure: string | null = null

  /**
   * Dials at once. `connect` makes the Connection that this carries; `onTick` is called four times a
   * second; `onFault` gets what is no fault of the peer's, after the connection ended.
   */
  constructor(options: {
    endpoint: Endpoint
    /** How long the network may take to connect, in ms. */
    connectTimeoutMs?: number
    connect(sink: ConnectionSink): Connection
    onTick(): void
    onFault(error: unknown): void
  }) {
    const { endpoint, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options
    const { host, port } = endpoint
    this.#onFault = options.onFault
    this.#connection = options.connect(this)
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES)
    this.#socket = open(endpoint, { buffer, callback: (length) => this.#onBytes(buffer, length) })
    this.#socket.setTimeout(connectTimeoutMs, () => {
      this.#socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`))
    })
    this.#socket.on('connect', () => this.#onConnect())
    this.#socket.on('error', (error) => {
      this.#failure = `${host}:${port}: ${reasonOf(error)}`
    })
    this.#socket.on('end', () => {
      this.#failure ??= `${host}:${port}: the target closed the connection`
      this.#socket.destroy()
    })
    this.#socket.on('close', () => this.#onClose())
    this.#timer = setInterval(() => this.#guard(options.onTick), TICK_MS)
  }

  #onConnect(): void {
    // From here on the session's own pings say whether the target is there.
    this.#socket.setTimeout(0)
    unpaceLoopback(this.#socket)
    this.#guard(() => this.#connection.start())
  }

  /** A fault of ours ends this connection, and is told; it must not take the process with it. */
  #guard(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#connection.transportLost(`internal fault: ${String(error)}`)
      this.#onFault(error)
    }
  }

  // The reader.

  #onBytes(buffer: Buffer, length: number): boolean {
    this.#inBatch = true
    try {
      this.#connection.receive(buffer, 0, length)
    } catch (error) {
      this.#connection.transportLost(`internal fault: ${String(error)}`)
      this.#onFault(error)
    }
    this.#inBatch = false
    this.#flush()
    busyPoll.inputTaken()
    return true
  }

  // The writer.

  reserve(length: number): number {
    if (this.#used + length > this.slab.length) {
      this.#flush()
      if (this.slab.length === 0) this.slab = this.#pool.take()
    }
    return this.#used
  }

  commit(length: number): void {
    this.#used += length
    if (this.#used >= FLUSH_BYTES) this.#flush()
    else if (!this.#inBatch) this.#scheduleFlush()
  }

  /** They leave with what is committed before them, at once: it is worth a write of its own. */
  commitLent(length: number, data: Buffer, position: number, dataLength: number): number {
    this.#used += length
    this.#socket.cork()
    this.#flush()
    this.#give(data.subarray(position, position + dataLength), null)
    this.#socket.uncork()
    this.#lentUntilBytes = this.#givenBytes
    return this.#lentUntilBytes
  }

  get backlogBytes(): number {
    return this.#used + this.#givenBytes - this.#sentBytes
  }

  get sentBytes(): number {
    return this.#sentBytes
  }

  get hasUnsent(): boolean {
    return this.#used > 0
  }

  /** Commands of one turn of the event loop leave together. */
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
    const bytes = slab.subarray(0, this.#used)
    this.#used = 0
    this.slab = NO_SLAB
    this.#give(bytes, slab)
  }

  /** @param slab what `bytes` are of, if they are not lent. */
  #give(bytes: Buffer, slab: Buffer | null): void {
    const { length } = bytes
    if (this.#socket.destroyed) return
    this.#givenBytes += length
    this.#socket.write(bytes, () => this.#onWritten(length, slab))
  }

  #onWritten(length: number, slab: Buffer | null): void {
    this.#sentBytes += length
    if (slab !== null) this.#pool.giveBack(slab)
    if (!this.#closing) this.#guard(() => this.#connection.onDrain())
  }

  // The end.

  close(): void {
    if (this.#closing) return
    this.#flush()
    this.#closing = true
    clearInterval(this.#timer)
    // What was lent may be changed from now on.
    if (this.#socket.connecting || this.#sentBytes < this.#lentUntilBytes) {
      this.#socket.destroy()
      return
    }
    this.#socket.end()
    const linger = setTimeout(() => this.#socket.destroy(), LINGER_MS)
    this.#socket.once('close', () => clearTimeout(linger))
  }

  #onClose(): void {
    clearInterval(this.#timer)
    this.#closing = true
    const reason = this.#failure ?? 'the connection was closed'
    this.#guard(() => this.#connection.transportLost(reason))
  }
}

/** What keeps a socket from being made is told as what keeps it from connecting. */
function open(endpoint: Endpoint, onread: OnReadOpts): Socket {
  try {
    return createConnection({ ...dialOptions(endpoint), noDelay: true, onread })
  } catch (error) {
    return new Socket().destroy(error as Error)
  }
}

/** When a name has several addresses and all of them fail, the error itself says nothing. */
function reasonOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message
  return error.errors.map((each: unknown) => (each as Error).message).join('; ')
}
