/**
 * One connection of a session whose every PDU a test sends and looks at itself. What a test does not
 * say is filled in as a correct initiator would; whatever it does say goes over the wire as it is.
 */
import type { RawConnection } from './raw-connection.ts'
import { encodeKeys, type PduFields, transferCdb } from './raw-pdu.ts'
import { TargetOpcode, TargetPdu } from './target-pdu.ts'

/** What all connections of a session share. */
export interface WireSession {
  /** The last byte of its ISID. */
  readonly isid: number
  readonly tsih: number
  /** The next CmdSN and Initiator Task Tag. */
  cmdSN: number
  taskTag: number
}

/** The tag that stands for none. */
export const noTag = 0xffffffff
/** How long a connection may take to be closed, before a test says that it was not. */
const patienceMs = 10_000
const blockBytes = 512

/** What any request may have other than it should be. */
export interface RequestFields {
  readonly immediate?: boolean
  readonly initiatorTaskTag?: number
  readonly cmdSN?: number
}

export interface CommandFields extends RequestFields {
  readonly lun?: number
  /** Expected Data Transfer Length. */
  readonly expected?: number
  readonly final?: boolean
  /** Immediate data. */
  readonly data?: Buffer
}

export interface DataOutFields {
  readonly targetTransferTag?: number
  readonly dataSN?: number
  /** Buffer Offset. */
  readonly offset?: number
  readonly data: Buffer
  readonly final?: boolean
}

export class WireInitiator {
  readonly connection: RawConnection
  readonly lun: number
  readonly session: WireSession

  constructor(connection: RawConnection, lun: number, session: WireSession) {
    this.connection = connection
    this.lun = lun
    this.session = session
  }

  /** A READ of `length` bytes at byte `offset` of the unit; answers with its tag, as all that follow. */
  read(offset: number, length: number, fields: CommandFields = {}): number {
    const cdb = transferCdb('read', offset / blockBytes, length / blockBytes)
    return this.command(cdb, 'read', { expected: length, ...fields })
  }

  /** A WRITE of `length` bytes at byte `offset` of the unit. */
  write(offset: number, length: number, fields: CommandFields = {}): number {
    const cdb = transferCdb('write', offset / blockBytes, length / blockBytes)
    return this.command(cdb, 'write', { expected: length, ...fields })
  }

  /** TEST UNIT READY. */
  testUnitReady(fields: CommandFields = {}): number {
    return this.command(Buffer.alloc(16), 'none', fields)
  }

  command(cdb: Buffer, direction: 'read' | 'write' | 'none', fields: CommandFields = {}): number {
    const {
      initiatorTaskTag,
      cmdSN,
      final = true,
      lun = this.lun,
      expected = 0,
    } = this.#fill(fields)
    const moves = { read: 0x40, write: 0x20, none: 0 }[direction]
    this.#send(fields, {
      opcode: 0x01,
      flags: (final ? 0x80 : 0) | moves | 0x01,
      lun,
      initiatorTaskTag,
      words: [expected, cmdSN, this.connection.expStatSN],
      cdb,
    })
    return initiatorTaskTag
  }

  dataOut(initiatorTaskTag: number, fields: DataOutFields): void {
    const { targetTransferTag = noTag, dataSN = 0, offset = 0, data, final = true } = fields
    this.connection.sendPdu({
      opcode: 0x05,
      flags: final ? 0x80 : 0,
      lun: this.lun,
      initiatorTaskTag,
      words: [targetTransferTag, 0, this.connection.expStatSN, 0, dataSN, offset],
      data,
    })
  }

  /** A NOP-Out that wants an answer. */
  ping(fields: RequestFields & { readonly data?: Buffer } = {}): number {
    const { initiatorTaskTag, cmdSN } = this.#fill(fields)
    this.#send(fields, {
      opcode: 0x00,
      flags: 0x80,
      initiatorTaskTag,
      words: [noTag, cmdSN, this.connection.expStatSN],
    })
    return initiatorTaskTag
  }

  /** Tells the target what has come up to now, by a NOP-Out that wants no answer. */
  acknowledge(): void {
    this.ping({ immediate: true, initiatorTaskTag: noTag })
  }

  /** The answer to a ping of the target. */
  answerPing({ targetTransferTag, lun }: TargetPdu): void {
    this.connection.sendPdu({
      opcode: 0x00,
      immediate: true,
      flags: 0x80,
      lun: lun.readUInt8(1),
      words: [targetTransferTag, this.session.cmdSN, this.connection.expStatSN],
    })
  }

  /** A Text Request, of keys or of a piece of text as it is. */
  text(
    keys: Readonly<Record<string, string>> | Buffer,
    fields: RequestFields & {
      readonly final?: boolean
      readonly continued?: boolean
      readonly targetTransferTag?: number
    } = {},
  ): number {
    const { initiatorTaskTag, cmdSN, final = true, continued = false } = this.#fill(fields)
    this.#send(fields, {
      opcode: 0x04,
      flags: (final ? 0x80 : 0) | (continued ? 0x40 : 0),
      initiatorTaskTag,
      words: [fields.targetTransferTag ?? noTag, cmdSN, this.connection.expStatSN],
      data: Buffer.isBuffer(keys) ? keys : encodeKeys(keys),
    })
    return initiatorTaskTag
  }

  /** A Task Management Function Request; immediate unless the test says otherwise. */
  manageTask(
    taskFunction: number,
    fields: RequestFields & {
      readonly referencedTaskTag?: number
      readonly refCmdSN?: number
    } = {},
  ): number {
    const request = { immediate: true, ...fields }
    const { initiatorTaskTag, cmdSN, referencedTaskTag = noTag, refCmdSN = 0 } = this.#fill(request)
    this.#send(request, {
      opcode: 0x02,
      flags: 0x80 | taskFunction,
      lun: this.lun,
      initiatorTaskTag,
      words: [referencedTaskTag, cmdSN, this.connection.expStatSN, refCmdSN, 0],
    })
    return initiatorTaskTag
  }

  /** A Logout Request; `cid` is that of the connection to close. */
  logOut(reason: number, cid = 0): number {
    const { initiatorTaskTag, cmdSN } = this.#fill({})
    this.#send(
      {},
      {
        opcode: 0x06,
        flags: 0x80 | reason,
        initiatorTaskTag,
        words: [cid << 16, cmdSN, this.connection.expStatSN],
      },
    )
    return initiatorTaskTag
  }

  /** A SNACK Request of a type for PDUs of a task. */
  snack(
    type: number,
    initiatorTaskTag: number,
    { targetTransferTag = noTag, begRun = 0, runLength = 0 } = {},
  ): void {
    this.connection.sendPdu({
      opcode: 0x10,
      flags: 0x80 | type,
      lun: this.lun,
      initiatorTaskTag,
      words: [targetTransferTag, 0, this.connection.expStatSN, 0, begRun, runLength],
    })
  }

  /** The next PDU; an error if the target closed the connection instead. */
  async receive(): Promise<TargetPdu> {
    const pdu = await this.connection.receive()
    if (pdu === null) throw new Error('the target closed the connection')
    const received = new TargetPdu(pdu)
    if (received.opcode === TargetOpcode.Reject) this.#fillGap(received.data)
    return received
  }

  /** A rejected command has not come: the next one takes its CmdSN (RFC 7143 section 7.3). */
  #fillGap(rejected: Buffer): void {
    const cmdSN = rejected.readUInt32BE(24)
    const isNumbered = [0x00, 0x01, 0x02, 0x04, 0x06].includes(rejected.readUInt8(0))
    if (isNumbered && this.session.cmdSN === cmdSN + 1) this.session.cmdSN = cmdSN
  }

  /** The next `count` PDUs. */
  async receiveAll(count: number): Promise<TargetPdu[]> {
    const pdus: TargetPdu[] = []
    while (pdus.length < count) pdus.push(await this.receive())
    return pdus
  }

  /** What comes up to and including the status of a command. */
  async receiveToStatus(): Promise<TargetPdu[]> {
    const pdus: TargetPdu[] = []
    for (;;) {
      const pdu = await this.receive()
      pdus.push(pdu)
      const { opcode } = pdu
      const mayHaveStatus = opcode === TargetOpcode.DataIn || opcode === TargetOpcode.ScsiResponse
      if (mayHaveStatus && pdu.hasStatus) return pdus
    }
  }

  /**
   * What comes up to and including the first PDU with this tag, each acknowledged as it comes. The
   * target may ping for that: its pings are answered, and left out.
   */
  async receiveUntil(initiatorTaskTag: number): Promise<TargetPdu[]> {
    const pdus: TargetPdu[] = []
    for (;;) {
      const pdu = await this.receive()
      if (this.#answersPing(pdu)) continue
      pdus.push(pdu)
      if (pdu.initiatorTaskTag === initiatorTaskTag) return pdus
      this.acknowledge()
    }
  }

  /** What comes until the target closes the connection. */
  async receiveToEnd(): Promise<TargetPdu[]> {
    const pdus: TargetPdu[] = []
    for (;;) {
      const pdu = await this.connection.receive()
      if (pdu === null) return pdus
      pdus.push(new TargetPdu(pdu))
    }
  }

  /**
   * Pings, and answers with what came before the answer: whatever the target still had to say of what
   * it was sent until now. Pings of the target are answered, and left out.
   */
  async receiveRest(): Promise<TargetPdu[]> {
    const tag = this.ping({ immediate: true })
    const pdus: TargetPdu[] = []
    for (;;) {
      const pdu = await this.receive()
      if (this.#answersPing(pdu)) continue
      if (pdu.opcode === TargetOpcode.NopIn && pdu.initiatorTaskTag === tag) return pdus
      pdus.push(pdu)
    }
  }

  /** Runs TEST UNIT READY and answers with its response: the session is alive. */
  async alive(): Promise<TargetPdu> {
    this.testUnitReady()
    return this.receive()
  }

  /** Whether the target closes the connection; PDUs that come before are dropped. */
  isEnded(): Promise<boolean> {
    return this.connection.isClosedWithin(patienceMs)
  }

  close(): void {
    this.connection.close()
  }

  /** Whether this is a ping of the target; then it is answered. */
  #answersPing(pdu: TargetPdu): boolean {
    const isPing = pdu.opcode === TargetOpcode.NopIn && pdu.initiatorTaskTag === noTag
    if (isPing) this.answerPing(pdu)
    return isPing
  }

  #fill<T extends RequestFields>(fields: T): T & { initiatorTaskTag: number; cmdSN: number } {
    const { session } = this
    const { immediate = false, initiatorTaskTag = session.taskTag++ } = fields
    const { cmdSN = immediate ? session.cmdSN : session.cmdSN++ } = fields
    return { ...fields, initiatorTaskTag, cmdSN }
  }

  #send(fields: RequestFields & { readonly data?: Buffer }, pdu: PduFields): void {
    const { immediate = false, data } = fields
    this.connection.sendPdu({ ...pdu, immediate, ...(data === undefined ? {} : { data }) })
  }
}
