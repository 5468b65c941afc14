/** REPORT SUPPORTED OPERATION CODES (SPC-4 section 6.35): its CDB and parameter data. */
import { MaintenanceIn, Opcode } from './opcode.ts'

export const ReportingOptions = {
  All: 0,
  /** One operation code that has no service actions. */
  Opcode: 1,
  /** One operation code with a service action. */
  ServiceAction: 2,
  /** Either; a command without service actions needs 0 for one. */
  OpcodeOrServiceAction: 3,
} as const

export interface ReportOpcodesCdb {
  /** RCTD: timeouts descriptors are wanted as well. */
  readonly timeouts: boolean
  readonly reportingOptions: number
  readonly opcode: number
  readonly serviceAction: number
  readonly allocationLength: number
}

export function decodeReportOpcodesCdb(cdb: Buffer, position: number): ReportOpcodesCdb {
  const options = cdb.readUInt8(position + 2)
  return {
    timeouts: (options & 0x80) !== 0,
    reportingOptions: options & 0x07,
    opcode: cdb.readUInt8(position + 3),
    serviceAction: cdb.readUInt16BE(position + 4),
    allocationLength: cdb.readUInt32BE(position + 6),
  }
}

/** Writes the CDB into the zeroed bytes at `cdb[position]`. */
export function encodeReportOpcodesCdb(
  cdb: Buffer,
  position: number,
  fields: ReportOpcodesCdb,
): void {
  cdb.writeUInt8(Opcode.MaintenanceIn, position)
  cdb.writeUInt8(MaintenanceIn.ReportSupportedOperationCodes, position + 1)
  cdb.writeUInt8((fields.timeouts ? 0x80 : 0) | fields.reportingOptions, position + 2)
  cdb.writeUInt8(fields.opcode, position + 3)
  cdb.writeUInt16BE(fields.serviceAction, position + 4)
  cdb.writeUInt32BE(fields.allocationLength, position + 6)
}

/** One command of the list. */
export interface CommandDescriptor {
  readonly opcode: number
  /** Undefined for an operation code without service actions. */
  readonly serviceAction?: number
  readonly cdbLength: number
}

const DESCRIPTOR_LENGTH = 8
const TIMEOUTS_LENGTH = 12
const SERVACTV = 0x01
const CTDP = 0x02

/** A timeouts descriptor that says nothing of how long: no timeout is recommended. */
function encodeTimeouts(data: Buffer, at: number): void {
  data.writeUInt16BE(TIMEOUTS_LENGTH - 2, at)
}

/** The all_commands form. */
export function encodeAllCommands(
  commands: readonly CommandDescriptor[],
  timeouts: boolean,
): Buffer {
  const step = DESCRIPTOR_LENGTH + (timeouts ? TIMEOUTS_LENGTH : 0)
  const data = Buffer.alloc(4 + commands.length * step)
  data.writeUInt32BE(data.length - 4, 0)
  let at = 4
  for (const { opcode, serviceAction, cdbLength } of commands) {
    data.writeUInt8(opcode, at)
    data.writeUInt16BE(serviceAction ?? 0, at + 2)
    data.writeUInt8((serviceAction === undefined ? 0 : SERVACTV) | (timeouts ? CTDP : 0), at + 5)
    data.writeUInt16BE(cdbLength, at + 6)
    if (timeouts) encodeTimeouts(data, at + DESCRIPTOR_LENGTH)
    at += step
  }
  return data
}

/** The commands that were received whole. */
export function decodeAllCommands(data: Buffer): CommandDescriptor[] {
  if (data.length < 4)
    throw new RangeError(`all_commands data: got ${data.length} bytes, want at least 4`)
  const end = Math.min(data.length, 4 + data.readUInt32BE(0))
  const commands: CommandDescriptor[] = []
  for (let at = 4; at + DESCRIPTOR_LENGTH <= end; ) {
    const flags = data.readUInt8(at + 5)
    commands.push({
      opcode: data.readUInt8(at),
      ...((flags & SERVACTV) !== 0 && { serviceAction: data.readUInt16BE(at + 2) }),
      cdbLength: data.readUInt16BE(at + 6),
    })
    at += DESCRIPTOR_LENGTH + ((flags & CTDP) !== 0 ? TIMEOUTS_LENGTH : 0)
  }
  return commands
}

const Support = { NotSupported: 1, Supported: 3 } as const

/**
 * The one_command form. `usage` is the CDB usage data: the operation code and service action as
 * they are, and a 1 for each other bit that is looked at; undefined for an unsupported command.
 */
export function encodeOneCommand(usage: Uint8Array | undefined, timeouts: boolean): Buffer {
  if (usage === undefined) return Buffer.from([0, Support.NotSupported, 0, 0])
  const data = Buffer.alloc(4 + usage.length + (timeouts ? TIMEOUTS_LENGTH : 0))
  data.writeUInt8((timeouts ? 0x80 : 0) | Support.Supported, 1)
  data.writeUInt16BE(usage.length, 2)
  data.set(usage, 4)
  if (timeouts) encodeTimeouts(data, 4 + usage.length)
  return data
}

/** The CDB usage data (aliasing `data`), or undefined if the command is not supported. */
export function decodeOneCommand(data: Buffer): Buffer | undefined {
  if (data.length < 4)
    throw new RangeError(`one_command data: got ${data.length} bytes, want at least 4`)
  if ((data.readUInt8(1) & 0x07) !== Support.Supported) return undefined
  return data.subarray(4, Math.min(data.length, 4 + data.readUInt16BE(2)))
}
