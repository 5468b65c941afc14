/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 section 6.36): its CDB and parameter data. */
import { MaintenanceIn, Opcode } from './opcode.ts'

export interface ReportFunctionsCdb {
  /** REPD: the extended parameter data are asked for. */
  readonly extended: boolean
  readonly allocationLength: number
}

export function decodeReportFunctionsCdb(cdb: Buffer, position: number): ReportFunctionsCdb {
  return {
    extended: (cdb.readUInt8(position + 2) & 0x80) !== 0,
    allocationLength: cdb.readUInt32BE(position + 6),
  }
}

/** Writes the CDB into the zeroed bytes at `cdb[position]`. */
export function encodeReportFunctionsCdb(
  cdb: Buffer,
  position: number,
  fields: ReportFunctionsCdb,
): void {
  cdb.writeUInt8(Opcode.MaintenanceIn, position)
  cdb.writeUInt8(MaintenanceIn.ReportSupportedTaskManagementFunctions, position + 1)
  cdb.writeUInt8(fields.extended ? 0x80 : 0, position + 2)
  cdb.writeUInt32BE(fields.allocationLength, position + 6)
}

/** Bits of bytes 0 and 1; WAKEUP, which is obsolete, is not among them. */
export const TaskFunction = {
  AbortTask: 0x8000,
  AbortTaskSet: 0x4000,
  ClearAca: 0x2000,
  ClearTaskSet: 0x1000,
  LogicalUnitReset: 0x0800,
  QueryTask: 0x0400,
  TargetReset: 0x0200,
  QueryAsynchronousEvent: 0x0004,
  QueryTaskSet: 0x0002,
  ITNexusReset: 0x0001,
} as const

const LENGTH = { basic: 4, extended: 16 } as const

/** `functions` is a sum of TaskFunction bits. The extended form recommends no timeouts. */
export function encodeTaskFunctions(functions: number, extended: boolean): Buffer {
  const data = Buffer.alloc(extended ? LENGTH.extended : LENGTH.basic)
  data.writeUInt16BE(functions, 0)
  data.writeUInt8(data.length - LENGTH.basic, 3)
  return data
}

/** The TaskFunction bits of either form. */
export function decodeTaskFunctions(data: Buffer): number {
  if (data.length < LENGTH.basic) {
    throw new RangeError(`task management functions: got ${data.length} bytes, want at least 4`)
  }
  return data.readUInt16BE(0)
}
