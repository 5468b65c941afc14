/** A TCP connection to a target that sends what a test tells it to, and hands out the PDUs that come back. */
import { connect, type Socket } from 'node:net'
import { onCleanUp } from './cleanup.ts'
import {
  bhsBytes,
  type Digests,
  decodeKeys,
  encodeKeys,
  encodePdu,
  type PduFields,
} from './raw-pdu.ts'

export interface Pdu {
  readonly opcode: number
  readonly flags: number
  readonly bhs: Buffer
  readonly data: Buffer
}

export interface LoginOptions {
  readonly initiatorName?: string
  /** Without a target name, a discovery session. */
  readonly targetName?: string
  readonly keys?: Readonly<Record<string, string>>
  readonly isid?: number
  /** Of the session to join; 0 for a new one. */
  readonly tsih?: number
  readonly cid?: number
  readonly cmdSN?: number
}

export interface CommandOutcome {
  /** SCSI status, or null when the connection was closed before it came. */
  readonly status: number | null
  readonly data: Buffer
  /** Sense data; none with GOOD. */
  readonly sense: Buffer
}

const noDigests: Digests = { header: false, data: false }
/** Flags of a SCSI Command (RFC 7143 section 11.3.1): final, read, write; task attribute simple. */
const final = 0x80
const read = 0x40
const write = 0x20
const simple = 0x01

export class RawConnection {
  readonly socket: Socket
  readonly closed: Promise<void>
  digests = noDigests
  /** What happens to the bytes of each PDU on their way, if anything does. */
  damage: ((pdu: Buffer) => void) | undefined
  /** What the target answered in the login. */
  agreed: Record<string, string> = {}
  /** The session that the target says it belongs to. */
  tsih = 0
  cmdSN = 1
  /** The StatSN that the next status of the target must have. */
  expStatSN = 0
  #nextTaskTag = 1
  #received = Buffer.alloc(0)
  #isClosed = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#isClosed = true
        this.#wake?.()
        resolve()
      })
    })
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
    onCleanUp(() => socket.destroy())
  }

  static async open(port: number, host = '127.0.0.1'): Promise<RawConnection> {
    const socket = connect({ port, host, noDelay: true })
    const connection = new RawConnection(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return connection
  }

  /** Opens a connection and logs in; an error if the target refuses. */
  static async logIn(port: number, options: LoginOptions): Promise<RawConnection> {
    const connection = await RawConnection.open(port)
    const response = await connection.sendLogin(options)
    const status = response?.bhs.readUInt16BE(36)
    if (status !== 0) throw new Error(`login got status 0x${status?.toString(16)}`)
    return connection
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Sends these very bytes. */
  send(bytes: Buffer): void {
    if (!this.#isClosed) this.socket.write(bytes)
  }

  sendPdu(fields: PduFields): void {
    const bytes = encodePdu(fields, this.digests)
    this.damage?.(bytes)
    this.send(bytes)
  }

  /** Sends one Login Request that goes from operational negotiation to full feature phase. */
  async sendLogin(options: LoginOptions): Promise<Pdu | null> {
    const { targetName, initiatorName = 'iqn.2026-11.org.platter:raw', isid = 1 } = options
    const session = targetName === undefined ? 'Discovery' : 'Normal'
    const keys = {
      InitiatorName: initiatorName,
      SessionType: session,
      ...(targetName === undefined ? {} : { TargetName: targetName }),
      ...options.keys,
    }
    const { tsih = 0, cid = 0, cmdSN = 1 } = options
    const request = loginRequest(encodeKeys(keys), isid, tsih)
    this.sendPdu({ ...request, words: [cid << 16, cmdSN, 0] })
    const response = await this.receive()
    if (response?.opcode !== 0x23) return response
    this.tsih = response.bhs.readUInt16BE(14)
    this.agreed = decodeKeys(response.data)
    this.digests = {
      header: this.agreed.HeaderDigest === 'CRC32C',
      data: this.agreed.DataDigest === 'CRC32C',
    }
    return response
  }

  /** The next PDU from the target; null when it has closed the connection. */
  async receive(timeoutMs = 10_000): Promise<Pdu | null> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const pdu = this.#takePdu()
      if (pdu !== null || this.#isClosed) return pdu
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`no PDU in ${timeoutMs} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Whether the target closes the connection in this time. What it sends meanwhile is dropped. */
  async isClosedWithin(timeoutMs: number): Promise<boolean> {
    const timer = new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref())
    await Promise.race([this.closed, timer])
    return this.#isClosed
  }

  /** Sends a command that takes `readBytes` or brings `dataOut` as immediate data; answers with its task tag. */
  startCommand(lun: number | Buffer, cdb: Buffer, readBytes: number, dataOut?: Buffer): number {
    const initiatorTaskTag = this.#nextTaskTag++
    const direction = (readBytes > 0 ? read : 0) | (dataOut === undefined ? 0 : write)
    this.sendPdu({
      opcode: 0x01,
      flags: final | direction | simple,
      lun,
      initiatorTaskTag,
      words: [dataOut?.length ?? readBytes, this.cmdSN++, this.expStatSN],
      cdb,
      ...(dataOut === undefined ? {} : { data: dataOut }),
    })
    return initiatorTaskTag
  }

  /** Runs one command to its end, with no other in flight. */
  async command(
    lun: number | Buffer,
    cdb: Buffer,
    readBytes = 0,
    dataOut?: Buffer,
  ): Promise<CommandOutcome> {
    this.startCommand(lun, cdb, readBytes, dataOut)
    const data = Buffer.alloc(readBytes)
    for (;;) {
      const pdu = await this.receive()
      if (pdu === null) return { status: null, data, sense: Buffer.alloc(0) }
      if (pdu.opcode === 0x25) pdu.data.copy(data, pdu.bhs.readUInt32BE(40))
      const carriesStatus = pdu.opcode === 0x21 || (pdu.opcode === 0x25 && (pdu.flags & 1) === 1)
      if (!carriesStatus) continue
      // After their length (RFC 7143 section 11.4.7).
      const sense = pdu.opcode === 0x21 ? Buffer.from(pdu.data.subarray(2)) : Buffer.alloc(0)
      return { status: pdu.bhs[3] ?? null, data, sense }
    }
  }

  close(): void {
    this.socket.destroy()
  }

  #takePdu(): Pdu | null {
    const all = this.#received
    if (all.length < bhsBytes) return null
    const ahsBytes = (all[4] ?? 0) * 4
    const dataLength = all.readUIntBE(5, 3)
    const dataStart = bhsBytes + ahsBytes + (this.digests.header ? 4 : 0)
    const padded = dataLength + (-dataLength & 3)
    const end = dataStart + padded + (this.digests.data && dataLength > 0 ? 4 : 0)
    if (all.length < end) return null
    const bhs = all.subarray(0, bhsBytes)
    this.#received = all.subarray(end)
    const opcode = (bhs[0] ?? 0) & 0x3f
    const flags = bhs[1] ?? 0
    // StatSN stands at the same place in every PDU; R2Ts, data without status and pings use none up.
    const isPing = opcode === 0x20 && bhs.readUInt32BE(16) === 0xffffffff
    const hasStatus = opcode !== 0x31 && !isPing && (opcode !== 0x25 || (flags & 1) === 1)
    if (hasStatus) this.expStatSN = (bhs.readUInt32BE(24) + 1) >>> 0
    return { opcode, flags, bhs, data: all.subarray(dataStart, dataStart + dataLength) }
  }
}

/** A leading Login Request in the operational stage, on its way to full feature phase. */
export function loginRequest(data: Buffer, isid = 1, tsih = 0): PduFields {
  const transitFromOperationalToFullFeature = 0x80 | (1 << 2) | 3
  return {
    opcode: 0x03,
    immediate: true,
    flags: transitFromOperationalToFullFeature,
    isidAndTsih: Buffer.from([0x80, 0, 0, 0, 0, isid, tsih >> 8, tsih & 0xff]),
    initiatorTaskTag: 0,
    words: [0, 1, 0],
    data,
  }
}
