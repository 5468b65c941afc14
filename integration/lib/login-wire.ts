/**
 * The login of one connection, with every field of every request in a test's hands. What a test does not
 * say is filled in as a correct initiator would. Shares no code with packages/protocol.
 */
import { type Pdu, RawConnection } from './raw-connection.ts'
import { decodeKeys } from './raw-pdu.ts'

/** Text keys in their order; a key may come twice. */
export type Pairs = readonly (readonly [key: string, value: string])[]

export interface LoginFields {
  /** By default from the operational stage to the full feature phase. */
  readonly currentStage?: number
  readonly nextStage?: number
  readonly transit?: boolean
  readonly continued?: boolean
  readonly isid?: number
  readonly tsih?: number
  readonly cid?: number
  readonly cmdSN?: number
  readonly expStatSN?: number
  readonly versionMax?: number
  readonly versionMin?: number
  readonly initiatorTaskTag?: number
}

/** What a Login Response says. */
export interface LoginResponse {
  readonly opcode: number
  /** Status-Class and Status-Detail. */
  readonly status: number
  readonly transit: boolean
  readonly continued: boolean
  readonly currentStage: number
  readonly nextStage: number
  readonly tsih: number
  readonly initiatorTaskTag: number
  readonly statSN: number
  readonly expCmdSN: number
  readonly maxCmdSN: number
  readonly keys: Record<string, string>
}

export const initiatorName = 'iqn.2026-11.org.platter:unh'
export const toOperational = { currentStage: 0, transit: true, nextStage: 1 } as const
export const toFullFeature = { currentStage: 1, transit: true, nextStage: 3 } as const

export class LoginWire {
  readonly connection: RawConnection
  readonly #isid: number

  private constructor(connection: RawConnection, isid: number) {
    this.connection = connection
    this.#isid = isid
  }

  static async open(port: number, isid = 1): Promise<LoginWire> {
    return new LoginWire(await RawConnection.open(port), isid)
  }

  send(fields: LoginFields, pairs: Pairs | Buffer): void {
    const { currentStage = 1, nextStage = 0, transit = false, continued = false } = fields
    const { isid = this.#isid, tsih = 0, cid = 0, cmdSN = 1, expStatSN = 0 } = fields
    const { versionMax = 0, versionMin = 0, initiatorTaskTag = 0x10 } = fields
    const text = Buffer.isBuffer(pairs) ? pairs : encodePairs(pairs)
    const flags = (transit ? 0x80 : 0) | (continued ? 0x40 : 0) | (currentStage << 2) | nextStage
    this.connection.sendPdu({
      opcode: 0x03,
      immediate: true,
      flags,
      specific: (versionMax << 8) | versionMin,
      isidAndTsih: Buffer.from([0x80, 0, 0, 0, 0, isid, tsih >> 8, tsih & 0xff]),
      initiatorTaskTag,
      words: [cid << 16, cmdSN, expStatSN],
      data: text,
    })
  }

  /** The target's next PDU as a Login Response; an error if it closes the connection instead. */
  async receive(): Promise<LoginResponse> {
    const pdu = await this.connection.receive()
    if (pdu === null) throw new Error('the connection was closed, and a Login Response wanted')
    return read(pdu)
  }

  ask(fields: LoginFields, pairs: Pairs | Buffer = []): Promise<LoginResponse> {
    this.send(fields, pairs)
    return this.receive()
  }

  close(): void {
    this.connection.close()
  }
}

export function encodePairs(pairs: Pairs): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''))
}

function read({ opcode, flags, bhs, data }: Pdu): LoginResponse {
  return {
    opcode,
    status: bhs.readUInt16BE(36),
    transit: (flags & 0x80) !== 0,
    continued: (flags & 0x40) !== 0,
    currentStage: (flags >> 2) & 3,
    nextStage: flags & 3,
    tsih: bhs.readUInt16BE(14),
    initiatorTaskTag: bhs.readUInt32BE(16),
    statSN: bhs.readUInt32BE(24),
    expCmdSN: bhs.readUInt32BE(28),
    maxCmdSN: bhs.readUInt32BE(32),
    keys: decodeKeys(data),
  }
}
