/**
 * What a host may send to reach a logical unit that is not its own: the unit addressed in every way
 * that a LUN can be written, and commands that would read, change or reserve it.
 */
import {
  Association,
  type CopyTarget,
  decodeDeviceIdentification,
  encodeCopyList,
  encodeExtendedCopyCdb,
  encodeMoveParameters,
  encodePersistentReserveOutCdb,
  encodeReserveParameters,
  encodeTransportId,
  encodeTransportIdList,
  ListIdUsage,
} from '@platter/protocol/scsi'
import type { Random } from './random.ts'
import type { RawConnection } from './raw-connection.ts'
import { transferCdb } from './raw-pdu.ts'

const BLOCK = 512
const inquiryOfPage83 = Buffer.from([0x12, 1, 0x83, 2, 0, 0])

export interface ForeignRequest {
  readonly name: string
  readonly cdb: Buffer
  readonly readBytes: number
  readonly dataOut?: Buffer
}

export interface Answer {
  /** SCSI status; -1 for anything that is not an answer to a command. */
  readonly status: number
  /** Data-In, and sense data. */
  readonly data: Buffer
}

function lunOf(...bytes: number[]): Buffer {
  return Buffer.concat([Buffer.from(bytes), Buffer.alloc(8 - bytes.length)])
}

/** The LUN of that number by flat space addressing, which has room for all of ours. */
export function flatLun(lun: number): Buffer {
  return lunOf(0x40 | (lun >> 8), lun & 0xff)
}

/**
 * LUNs that mean, or might be taken to mean, the unit of that number (SAM-5 section 4.7): by
 * peripheral device, flat space, logical unit and extended addressing, and behind another unit.
 */
export function addressesOf(lun: number): Buffer[] {
  const [high, low] = [lun >> 8, lun & 0xff]
  return [
    ...(high === 0 ? [lunOf(0, low)] : []),
    lunOf(3, low),
    flatLun(lun),
    lunOf(0x80, low & 0x1f),
    lunOf(0x81, 0x20 | (low & 0x1f)),
    lunOf(0xc1, low),
    lunOf(0xd2, 0, high, low),
    lunOf(0xe2, 0, 0, 0, high, low),
    lunOf(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, high, low),
    lunOf(0, 0, 0x40 | high, low),
    lunOf(0x40, 0, 0x40 | high, low),
    lunOf(1, 0, 0x40 | high, low),
  ]
}

/** Commands by which `port`, which has used none yet, has its way with a unit: in this order, each is GOOD. */
export function harmfulRequests(port: string, otherPort: string): ForeignRequest[] {
  const plain = (name: string, ...bytes: number[]) => ({ name, cdb: cdbOf(...bytes), readBytes: 0 })
  const flags = {
    specifyInitiatorPorts: false,
    allTargetPorts: false,
    persistThroughPowerLoss: false,
  }
  const parameters = (reservationKey: bigint, serviceActionReservationKey: bigint) =>
    encodeReserveParameters({ ...flags, reservationKey, serviceActionReservationKey })
  const others = encodeReserveParameters({
    ...flags,
    specifyInitiatorPorts: true,
    reservationKey: 0n,
    serviceActionReservationKey: 7n,
  })
  const moved = encodeMoveParameters({
    reservationKey: 7n,
    serviceActionReservationKey: 8n,
    unregister: false,
    persistThroughPowerLoss: false,
    relativeTargetPort: 1,
    transportId: encodeTransportId(otherPort),
  })
  const unmapped = Buffer.alloc(24)
  unmapped.writeUInt16BE(22, 0)
  unmapped.writeUInt16BE(16, 2)
  unmapped.writeUInt32BE(8, 16)
  const writeSame = cdbOf(0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
  const block = Buffer.alloc(BLOCK, port)
  return [
    { name: 'READ', cdb: transferCdb('read', 0, 8), readBytes: 8 * BLOCK },
    { name: 'WRITE', cdb: transferCdb('write', 0, 1), readBytes: 0, dataOut: block },
    { name: 'WRITE SAME', cdb: writeSame, readBytes: 0, dataOut: block },
    { name: 'UNMAP', cdb: cdbOf(0x42, 0, 0, 0, 0, 0, 0, 0, 24), readBytes: 0, dataOut: unmapped },
    plain('RESERVE(6)', 0x16),
    plain('RELEASE(6)', 0x17),
    plain('RESERVE(10)', 0x56),
    plain('RELEASE(10)', 0x57),
    reserveOut('REGISTER', 0, Buffer.concat([others, encodeTransportIdList([otherPort])])),
    reserveOut('RESERVE', 1, parameters(7n, 0n)),
    reserveOut('REGISTER AND MOVE', 7, moved),
    reserveOut('CLEAR', 3, parameters(7n, 0n)),
  ]
}

function cdbOf(...bytes: number[]): Buffer {
  return Buffer.concat([Buffer.from(bytes), Buffer.alloc(16 - bytes.length)])
}

function reserveOut(name: string, serviceAction: number, list: Buffer): ForeignRequest {
  const cdb = Buffer.alloc(16)
  const type = serviceAction === 1 ? 1 : 0
  const parameterListLength = list.length
  encodePersistentReserveOutCdb(cdb, 0, { serviceAction, scope: 0, type, parameterListLength })
  return { name: `PERSISTENT RESERVE OUT ${name}`, cdb, readBytes: 0, dataOut: list }
}

/** The descriptors of the unit at that LUN in an EXTENDED COPY, by each of its designators in VPD page 83h. */
export async function copyTargetsAt(host: RawConnection, lun: number): Promise<CopyTarget[]> {
  const { data } = await host.command(flatLun(lun), inquiryOfPage83, 512)
  return decodeDeviceIdentification(data)
    .filter(({ association }) => association === Association.LogicalUnit)
    .filter(({ value }) => value.length <= 20)
    .map(({ type, codeSet, association, value }) => ({
      isNull: false,
      peripheralDeviceType: 0,
      codeSet,
      association,
      designatorType: type,
      designator: value,
      blockSizeBytes: BLOCK,
    }))
}

/** From a unit of one's own and to it, and within the foreign one. */
export function copiesWith(own: CopyTarget, foreign: CopyTarget): ForeignRequest[] {
  return [copyRequest(foreign, own), copyRequest(own, foreign), copyRequest(foreign, foreign)]
}

/** An EXTENDED COPY of eight blocks from the one unit to the other. */
function copyRequest(from: CopyTarget, to: CopyTarget): ForeignRequest {
  const segment = {
    countsDestination: false,
    source: 0,
    destination: 1,
    blockCount: 8,
    sourceLba: 0,
    destinationLba: 0,
  }
  const header = { listId: 0, listIdUsage: ListIdUsage.None }
  const list = encodeCopyList(header, [from, to], [segment])
  const cdb = Buffer.alloc(16)
  encodeExtendedCopyCdb(cdb, 0, list.length)
  return { name: 'EXTENDED COPY', cdb, readBytes: 0, dataOut: list }
}

/** A request of any operation code with any CDB: one that reads, or one that writes. */
export function anyRequest(random: Random, opcode = random.below(256)): ForeignRequest {
  const cdb = random.bytes(16)
  cdb[0] = opcode
  // Every other time with a service action that means something.
  if (random.chance(50)) cdb[1] = random.below(0x20)
  const name = `operation code ${opcode.toString(16)}h`
  if (random.chance(50)) return { name, cdb, readBytes: 8 * BLOCK }
  return { name, cdb, readBytes: 0, dataOut: random.bytes(BLOCK) }
}

const inFlightMax = 16

/** Sends each request to its LUN, several at a time in this order, and answers in the same. */
export async function answersTo(
  connection: RawConnection,
  requests: readonly (readonly [lun: number | Buffer, request: ForeignRequest])[],
): Promise<Answer[]> {
  const answers = requests.map(() => ({ status: -1, parts: [] as Buffer[] }))
  const byTag = new Map<number, { status: number; parts: Buffer[] }>()
  let next = 0
  while (next < requests.length || byTag.size > 0) {
    while (next < requests.length && byTag.size < inFlightMax) {
      const [lun, { cdb, readBytes, dataOut }] = requests[next] as (typeof requests)[number]
      const answer = answers[next++] as (typeof answers)[number]
      byTag.set(connection.startCommand(lun, cdb, readBytes, dataOut), answer)
    }
    const pdu = await connection.receive()
    if (pdu === null) throw new Error(`the connection was closed at request ${next}`)
    const tag = pdu.bhs.readUInt32BE(16)
    byTag.get(tag)?.parts.push(pdu.data)
    const hasStatus = pdu.opcode === 0x21 || (pdu.opcode === 0x25 && (pdu.flags & 1) === 1)
    if (!hasStatus) continue
    const answer = byTag.get(tag)
    if (answer === undefined) throw new Error(`an answer to task ${tag}, which is over`)
    answer.status = pdu.bhs[3] ?? -1
    byTag.delete(tag)
  }
  return answers.map(({ status, parts }) => ({ status, data: Buffer.concat(parts) }))
}

export interface Management {
  /** RFC 7143 section 11.5.1. */
  readonly fn: number
  readonly lun: Buffer
  readonly referencedTaskTag?: number
  readonly initiatorTaskTag?: number
}

export function startManagement(connection: RawConnection, management: Management): number {
  const { fn, lun, referencedTaskTag = 0xffffffff, initiatorTaskTag = 0x7a5c0000 | fn } = management
  connection.sendPdu({
    opcode: 0x02,
    immediate: true,
    flags: 0x80 | fn,
    lun,
    initiatorTaskTag,
    words: [referencedTaskTag, connection.cmdSN, connection.expStatSN, connection.cmdSN],
  })
  return initiatorTaskTag
}

/** Has a task management function done, and answers with its response code. */
export async function manage(connection: RawConnection, management: Management): Promise<number> {
  const initiatorTaskTag = startManagement(connection, management)
  for (;;) {
    const pdu = await connection.receive()
    if (pdu === null) throw new Error(`the connection was closed at function ${management.fn}`)
    if (pdu.opcode === 0x22 && pdu.bhs.readUInt32BE(16) === initiatorTaskTag) {
      return pdu.bhs[2] ?? -1
    }
  }
}
