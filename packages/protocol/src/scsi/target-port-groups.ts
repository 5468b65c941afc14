/** REPORT TARGET PORT GROUPS (SPC-4 section 6.37): its CDB and parameter data. */
import { MaintenanceIn, Opcode } from './opcode.ts'

/** The PARAMETER DATA FORMAT field. */
export const PortGroupFormat = { LengthOnly: 0, Extended: 1 } as const

export interface TargetPortGroupsCdb {
  /** A PortGroupFormat, or what a peer sent. */
  readonly format: number
  readonly allocationLength: number
}

export function decodeTargetPortGroupsCdb(cdb: Buffer, position: number): TargetPortGroupsCdb {
  return {
    format: cdb.readUInt8(position + 1) >> 5,
    allocationLength: cdb.readUInt32BE(position + 6),
  }
}

/** Writes the CDB into the zeroed bytes at `cdb[position]`. */
export function encodeTargetPortGroupsCdb(
  cdb: Buffer,
  position: number,
  fields: TargetPortGroupsCdb,
): void {
  cdb.writeUInt8(Opcode.MaintenanceIn, position)
  cdb.writeUInt8((fields.format << 5) | MaintenanceIn.ReportTargetPortGroups, position + 1)
  cdb.writeUInt32BE(fields.allocationLength, position + 6)
}

/** ASYMMETRIC ACCESS STATE; Platter's ports are in the first. */
export const PortGroupState = {
  ActiveOptimized: 0x0,
  ActiveNonOptimized: 0x1,
  Standby: 0x2,
  Unavailable: 0x3,
} as const

/** The bit of a state in `TargetPortGroup.supportedStates`. */
export const PortGroupSupport = { ActiveOptimized: 0x01, ActiveNonOptimized: 0x02 } as const

export interface TargetPortGroup {
  /** A PortGroupState, or what a peer sent. */
  readonly state: number
  /** A sum of PortGroupSupport bits. */
  readonly supportedStates: number
  readonly targetPortGroup: number
  /** Relative target port identifiers. */
  readonly ports: readonly number[]
}

const HEADER_LENGTH = { length: 4, extended: 8 } as const
const GROUP_LENGTH = 8
const PORT_LENGTH = 4
const FORMAT_EXTENDED = 0x10

export function encodeTargetPortGroups(
  groups: readonly TargetPortGroup[],
  extended: boolean,
): Buffer {
  let at: number = extended ? HEADER_LENGTH.extended : HEADER_LENGTH.length
  const length = groups.reduce(
    (sum, { ports }) => sum + GROUP_LENGTH + ports.length * PORT_LENGTH,
    at,
  )
  const data = Buffer.alloc(length)
  data.writeUInt32BE(length - HEADER_LENGTH.length, 0)
  if (extended) data.writeUInt8(FORMAT_EXTENDED, 4)
  for (const { state, supportedStates, targetPortGroup, ports } of groups) {
    data.writeUInt8(state, at)
    data.writeUInt8(supportedStates, at + 1)
    data.writeUInt16BE(targetPortGroup, at + 2)
    data.writeUInt8(ports.length, at + 7)
    at += GROUP_LENGTH
    for (const port of ports) {
      data.writeUInt16BE(port, at + 2)
      at += PORT_LENGTH
    }
  }
  return data
}

/** The groups of either form that were received whole. */
export function decodeTargetPortGroups(data: Buffer, extended: boolean): TargetPortGroup[] {
  let at: number = extended ? HEADER_LENGTH.extended : HEADER_LENGTH.length
  if (data.length < at) {
    throw new RangeError(`target port groups: got ${data.length} bytes, want at least ${at}`)
  }
  const end = Math.min(data.length, HEADER_LENGTH.length + data.readUInt32BE(0))
  const groups: TargetPortGroup[] = []
  while (at + GROUP_LENGTH <= end) {
    const next = at + GROUP_LENGTH + data.readUInt8(at + 7) * PORT_LENGTH
    if (next > end) break
    const ports: number[] = []
    for (let port = at + GROUP_LENGTH; port < next; port += PORT_LENGTH) {
      ports.push(data.readUInt16BE(port + 2))
    }
    groups.push({
      state: data.readUInt8(at) & 0x0f,
      supportedStates: data.readUInt8(at + 1),
      targetPortGroup: data.readUInt16BE(at + 2),
      ports,
    })
    at = next
  }
  return groups
}
