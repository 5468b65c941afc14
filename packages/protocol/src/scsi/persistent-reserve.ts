/**
 * PERSISTENT RESERVE IN and OUT (SPC-4 sections 6.15 and 6.16): CDBs and parameter data. What the
 * reservations mean is the target's business.
 */
import { Opcode } from './opcode.ts'
import { encodeTransportId } from './transport-id.ts'

/** Service actions of PERSISTENT RESERVE IN. */
export const PersistentReserveIn = {
  ReadKeys: 0x00,
  ReadReservation: 0x01,
  ReportCapabilities: 0x02,
  ReadFullStatus: 0x03,
} as const

/** Service actions of PERSISTENT RESERVE OUT. */
export const PersistentReserveOut = {
  Register: 0x00,
  Reserve: 0x01,
  Release: 0x02,
  Clear: 0x03,
  Preempt: 0x04,
  PreemptAndAbort: 0x05,
  RegisterAndIgnoreExistingKey: 0x06,
  RegisterAndMove: 0x07,
} as const

/** The TYPE field: who may do what while the reservation is held. */
export const ReservationType = {
  WriteExclusive: 0x1,
  ExclusiveAccess: 0x3,
  WriteExclusiveRegistrantsOnly: 0x5,
  ExclusiveAccessRegistrantsOnly: 0x6,
  WriteExclusiveAllRegistrants: 0x7,
  ExclusiveAccessAllRegistrants: 0x8,
} as const
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType]

const types: readonly number[] = Object.values(ReservationType)

export function isReservationType(type: number): type is ReservationType {
  return types.includes(type)
}

/** The PERSISTENT RESERVATION TYPE MASK with every type: bytes 4 and 5 of REPORT CAPABILITIES. */
const TYPE_MASK = 0xea01

export interface PersistentReserveInCdb {
  readonly serviceAction: number
  readonly allocationLength: number
}

export function decodePersistentReserveInCdb(
  cdb: Buffer,
  position: number,
): PersistentReserveInCdb {
  return {
    serviceAction: cdb.readUInt8(position + 1) & 0x1f,
    allocationLength: cdb.readUInt16BE(position + 7),
  }
}

/** Writes the CDB into the zeroed bytes at `cdb[position]`. */
export function encodePersistentReserveInCdb(
  cdb: Buffer,
  position: number,
  fields: PersistentReserveInCdb,
): void {
  cdb.writeUInt8(Opcode.PersistentReserveIn, position)
  cdb.writeUInt8(fields.serviceAction, position + 1)
  cdb.writeUInt16BE(fields.allocationLength, position + 7)
}

export interface PersistentReserveOutCdb {
  readonly serviceAction: number
  /** 0 is the logical unit; there is no other. */
  readonly scope: number
  /** A ReservationType, or what a peer sent. */
  readonly type: number
  readonly parameterListLength: number
}

export function decodePersistentReserveOutCdb(
  cdb: Buffer,
  position: number,
): PersistentReserveOutCdb {
  const scopeAndType = cdb.readUInt8(position + 2)
  return {
    serviceAction: cdb.readUInt8(position + 1) & 0x1f,
    scope: scopeAndType >> 4,
    type: scopeAndType & 0x0f,
    parameterListLength: cdb.readUInt32BE(position + 5),
  }
}

/** Writes the CDB into the zeroed bytes at `cdb[position]`. */
export function encodePersistentReserveOutCdb(
  cdb: Buffer,
  position: number,
  fields: PersistentReserveOutCdb,
): void {
  cdb.writeUInt8(Opcode.PersistentReserveOut, position)
  cdb.writeUInt8(fields.serviceAction, position + 1)
  cdb.writeUInt8((fields.scope << 4) | fields.type, position + 2)
  cdb.writeUInt32BE(fields.parameterListLength, position + 5)
}

/** What every service action but REGISTER AND MOVE sends. */
export interface ReserveParameters {
  readonly reservationKey: bigint
  readonly serviceActionReservationKey: bigint
  /** SPEC_I_PT: TransportIDs of further initiator ports follow. */
  readonly specifyInitiatorPorts: boolean
  /** ALL_TG_PT: the registration is for every target port. */
  readonly allTargetPorts: boolean
  /** APTPL: to be kept through power loss. */
  readonly persistThroughPowerLoss: boolean
}

/** The length of `ReserveParameters`, and of REGISTER AND MOVE before its TransportID. */
export const RESERVE_PARAMETERS_LENGTH = 24

const OutFlag = { Aptpl: 0x01, AllTargetPorts: 0x04, SpecifyInitiatorPorts: 0x08 } as const
const MoveFlag = { Aptpl: 0x01, Unregister: 0x02 } as const

export function encodeReserveParameters(parameters: ReserveParameters): Buffer {
  const data = Buffer.alloc(RESERVE_PARAMETERS_LENGTH)
  data.writeBigUInt64BE(parameters.reservationKey, 0)
  data.writeBigUInt64BE(parameters.serviceActionReservationKey, 8)
  const flags =
    (parameters.specifyInitiatorPorts ? OutFlag.SpecifyInitiatorPorts : 0) |
    (parameters.allTargetPorts ? OutFlag.AllTargetPorts : 0) |
    (parameters.persistThroughPowerLoss ? OutFlag.Aptpl : 0)
  data.writeUInt8(flags, 20)
  return data
}

/** Throws a RangeError for less than RESERVE_PARAMETERS_LENGTH bytes. */
export function decodeReserveParameters(data: Buffer): ReserveParameters {
  want(data, RESERVE_PARAMETERS_LENGTH)
  const flags = data.readUInt8(20)
  return {
    reservationKey: data.readBigUInt64BE(0),
    serviceActionReservationKey: data.readBigUInt64BE(8),
    specifyInitiatorPorts: (flags & OutFlag.SpecifyInitiatorPorts) !== 0,
    allTargetPorts: (flags & OutFlag.AllTargetPorts) !== 0,
    persistThroughPowerLoss: (flags & OutFlag.Aptpl) !== 0,
  }
}

/** What REGISTER AND MOVE sends. */
export interface MoveParameters {
  readonly reservationKey: bigint
  readonly serviceActionReservationKey: bigint
  /** UNREG: the sender's registration ends with it. */
  readonly unregister: boolean
  readonly persistThroughPowerLoss: boolean
  readonly relativeTargetPort: number
  /** The TransportID as it came, whole or not. */
  readonly transportId: Buffer
}

export function encodeMoveParameters(parameters: MoveParameters): Buffer {
  const data = Buffer.alloc(RESERVE_PARAMETERS_LENGTH + parameters.transportId.length)
  data.writeBigUInt64BE(parameters.reservationKey, 0)
  data.writeBigUInt64BE(parameters.serviceActionReservationKey, 8)
  const flags =
    (parameters.unregister ? MoveFlag.Unregister : 0) |
    (parameters.persistThroughPowerLoss ? MoveFlag.Aptpl : 0)
  data.writeUInt8(flags, 17)
  data.writeUInt16BE(parameters.relativeTargetPort, 18)
  data.writeUInt32BE(parameters.transportId.length, 20)
  parameters.transportId.copy(data, RESERVE_PARAMETERS_LENGTH)
  return data
}

/** `transportId` aliases `data`. Throws a RangeError for less than RESERVE_PARAMETERS_LENGTH bytes. */
export function decodeMoveParameters(data: Buffer): MoveParameters {
  want(data, RESERVE_PARAMETERS_LENGTH)
  const flags = data.readUInt8(17)
  const end = Math.min(data.length, RESERVE_PARAMETERS_LENGTH + data.readUInt32BE(20))
  return {
    reservationKey: data.readBigUInt64BE(0),
    serviceActionReservationKey: data.readBigUInt64BE(8),
    unregister: (flags & MoveFlag.Unregister) !== 0,
    persistThroughPowerLoss: (flags & MoveFlag.Aptpl) !== 0,
    relativeTargetPort: data.readUInt16BE(18),
    transportId: data.subarray(RESERVE_PARAMETERS_LENGTH, end),
  }
}

const HEADER_LENGTH = 8
const KEY_LENGTH = 8

export function encodeReadKeys(generation: number, keys: readonly bigint[]): Buffer {
  const data = withHeader(generation, keys.length * KEY_LENGTH)
  for (const [index, key] of keys.entries()) {
    data.writeBigUInt64BE(key, HEADER_LENGTH + index * KEY_LENGTH)
  }
  return data
}

/** The generation, and the keys that were received whole. */
export function decodeReadKeys(data: Buffer): { generation: number; keys: bigint[] } {
  want(data, HEADER_LENGTH)
  const end = Math.min(data.length, HEADER_LENGTH + data.readUInt32BE(4))
  const keys: bigint[] = []
  for (let at = HEADER_LENGTH; at + KEY_LENGTH <= end; at += KEY_LENGTH) {
    keys.push(data.readBigUInt64BE(at))
  }
  return { generation: data.readUInt32BE(0), keys }
}

export interface HeldReservation {
  /** The holder's; 0 when all registrants hold it. */
  readonly key: bigint
  /** A ReservationType, or what a peer sent. */
  readonly type: number
}

const RESERVATION_LENGTH = 16

export function encodeReadReservation(generation: number, held?: HeldReservation): Buffer {
  const data = withHeader(generation, held === undefined ? 0 : RESERVATION_LENGTH)
  if (held !== undefined) {
    data.writeBigUInt64BE(held.key, HEADER_LENGTH)
    data.writeUInt8(held.type, HEADER_LENGTH + 13)
  }
  return data
}

/** Throws a RangeError when what the header announces is not there. */
export function decodeReadReservation(data: Buffer): {
  generation: number
  held: HeldReservation | undefined
} {
  want(data, HEADER_LENGTH)
  const generation = data.readUInt32BE(0)
  if (data.readUInt32BE(4) === 0) return { generation, held: undefined }
  want(data, HEADER_LENGTH + RESERVATION_LENGTH)
  const key = data.readBigUInt64BE(HEADER_LENGTH)
  return { generation, held: { key, type: data.readUInt8(HEADER_LENGTH + 13) & 0x0f } }
}

export interface ReservationCapabilities {
  /** CRH: RESERVE and RELEASE of a holder are GOOD and change nothing. */
  readonly compatibleReservations: boolean
  /** SIP_C */
  readonly specifyInitiatorPorts: boolean
  /** ATP_C */
  readonly allTargetPorts: boolean
  /** PTPL_C */
  readonly persistThroughPowerLoss: boolean
  /** PTPL_A: the last registration asked for it. */
  readonly persistActive: boolean
}

const CapabilityFlag = { Ptpl: 0x01, Atp: 0x04, Sip: 0x08, Crh: 0x10 } as const
const TYPE_MASK_VALID = 0x80
const PTPL_ACTIVE = 0x01

export function encodeReservationCapabilities(capabilities: ReservationCapabilities): Buffer {
  const data = Buffer.alloc(8)
  data.writeUInt16BE(data.length, 0)
  const flags =
    (capabilities.compatibleReservations ? CapabilityFlag.Crh : 0) |
    (capabilities.specifyInitiatorPorts ? CapabilityFlag.Sip : 0) |
    (capabilities.allTargetPorts ? CapabilityFlag.Atp : 0) |
    (capabilities.persistThroughPowerLoss ? CapabilityFlag.Ptpl : 0)
  data.writeUInt8(flags, 2)
  data.writeUInt8(TYPE_MASK_VALID | (capabilities.persistActive ? PTPL_ACTIVE : 0), 3)
  data.writeUInt16BE(TYPE_MASK, 4)
  return data
}

export function decodeReservationCapabilities(data: Buffer): ReservationCapabilities {
  want(data, 8)
  const flags = data.readUInt8(2)
  return {
    compatibleReservations: (flags & CapabilityFlag.Crh) !== 0,
    specifyInitiatorPorts: (flags & CapabilityFlag.Sip) !== 0,
    allTargetPorts: (flags & CapabilityFlag.Atp) !== 0,
    persistThroughPowerLoss: (flags & CapabilityFlag.Ptpl) !== 0,
    persistActive: (data.readUInt8(3) & PTPL_ACTIVE) !== 0,
  }
}

/** One registration, as READ FULL STATUS tells of it. */
export interface RegistrationStatus {
  readonly key: bigint
  readonly allTargetPorts: boolean
  /** The type of the reservation that this initiator port holds; undefined if it holds none. */
  readonly heldType?: number
  readonly relativeTargetPort: number
  readonly initiatorPort: string
}

const FULL_STATUS_LENGTH = 24
const FullFlag = { Holder: 0x01, AllTargetPorts: 0x02 } as const

export function encodeReadFullStatus(
  generation: number,
  registrations: readonly RegistrationStatus[],
): Buffer {
  const descriptors = registrations.map((registration) => {
    const transportId = encodeTransportId(registration.initiatorPort)
    const { key, allTargetPorts, heldType } = registration
    const data = Buffer.alloc(FULL_STATUS_LENGTH)
    data.writeBigUInt64BE(key, 0)
    data.writeUInt8(
      (allTargetPorts ? FullFlag.AllTargetPorts : 0) |
        (heldType === undefined ? 0 : FullFlag.Holder),
      12,
    )
    data.writeUInt8(heldType ?? 0, 13)
    data.writeUInt16BE(registration.relativeTargetPort, 18)
    data.writeUInt32BE(transportId.length, 20)
    return Buffer.concat([data, transportId])
  })
  const body = Buffer.concat(descriptors)
  const header = withHeader(generation, 0)
  header.writeUInt32BE(body.length, 4)
  return Buffer.concat([header, body])
}

function withHeader(generation: number, additionalLength: number): Buffer {
  const data = Buffer.alloc(HEADER_LENGTH + additionalLength)
  data.writeUInt32BE(generation, 0)
  data.writeUInt32BE(additionalLength, 4)
  return data
}

function want(data: Buffer, length: number): void {
  if (data.length < length) {
    throw new RangeError(`persistent reserve data: got ${data.length} bytes, want ${length}`)
  }
}
