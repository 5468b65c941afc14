/**
 * Mode parameters: MODE SENSE and its headers, block descriptors (SPC-4 sections 6.13, 6.14, 7.5;
 * SBC-3 section 6.4), and the pages that Platter has. Mode pages are whole, with their headers.
 */
import { Opcode } from './opcode.ts'

export const ModePage = {
  ReadWriteErrorRecovery: 0x01,
  Caching: 0x08,
  Control: 0x0a,
  InformationalExceptions: 0x1c,
  All: 0x3f,
} as const

/** The PAGE CONTROL field: which values are asked for. */
export const PageControl = { Current: 0, Changeable: 1, Default: 2, Saved: 3 } as const

export interface ModeSenseCdb {
  /** DBD: leave the block descriptor out. */
  readonly disableBlockDescriptor: boolean
  /** LLBAA: the 16 byte block descriptor may be used; MODE SENSE(10) only. */
  readonly longLba: boolean
  readonly pageControl: number
  readonly pageCode: number
  readonly subpageCode: number
  readonly allocationLength: number
}

/** Reads a MODE SENSE(6) or (10) CDB, by its operation code. */
export function decodeModeSenseCdb(cdb: Buffer, position: number): ModeSenseCdb {
  const ten = cdb.readUInt8(position) === Opcode.ModeSense10
  const flags = cdb.readUInt8(position + 1)
  const page = cdb.readUInt8(position + 2)
  return {
    disableBlockDescriptor: (flags & 0x08) !== 0,
    longLba: ten && (flags & 0x10) !== 0,
    pageControl: page >> 6,
    pageCode: page & 0x3f,
    subpageCode: cdb.readUInt8(position + 3),
    allocationLength: ten ? cdb.readUInt16BE(position + 7) : cdb.readUInt8(position + 4),
  }
}

/** Writes a MODE SENSE(6) or (10) CDB into the zeroed bytes at `cdb[position]`. */
export function encodeModeSenseCdb(
  cdb: Buffer,
  position: number,
  opcode: typeof Opcode.ModeSense6 | typeof Opcode.ModeSense10,
  fields: ModeSenseCdb,
): void {
  const ten = opcode === Opcode.ModeSense10
  if (fields.longLba && !ten) throw new RangeError('MODE SENSE(6) has no LLBAA bit')
  cdb.writeUInt8(opcode, position)
  cdb.writeUInt8(
    (fields.disableBlockDescriptor ? 0x08 : 0) | (fields.longLba ? 0x10 : 0),
    position + 1,
  )
  cdb.writeUInt8((fields.pageControl << 6) | fields.pageCode, position + 2)
  cdb.writeUInt8(fields.subpageCode, position + 3)
  if (ten) cdb.writeUInt16BE(fields.allocationLength, position + 7)
  else cdb.writeUInt8(fields.allocationLength, position + 4)
}

export interface BlockDescriptor {
  /** 0 where nothing is said; FFFFFFFFh in the short form when there are more. */
  readonly blockCount: number
  readonly blockSizeBytes: number
}

export interface ModeParameters {
  /** WP, of the device specific parameter of block devices. */
  readonly writeProtected: boolean
  /** DPOFUA: the DPO and FUA bits are supported. */
  readonly dpoFua: boolean
  readonly blockDescriptor?: BlockDescriptor
  /** Whole pages, one after the other. */
  readonly pages: Buffer
}

const WP = 0x80
const DPOFUA = 0x10
const LONGLBA = 0x01
const HEADER_LENGTH = { six: 4, ten: 8 } as const
const DESCRIPTOR_LENGTH = { short: 8, long: 16 } as const

/** The header of MODE SENSE(6), the short block descriptor, and the pages. */
export function encodeModeParameters6(parameters: ModeParameters): Buffer {
  const descriptorLength = parameters.blockDescriptor ? DESCRIPTOR_LENGTH.short : 0
  const at = HEADER_LENGTH.six + descriptorLength
  const data = Buffer.alloc(at + parameters.pages.length)
  data.writeUInt8(data.length - 1, 0)
  data.writeUInt8(deviceSpecific(parameters), 2)
  data.writeUInt8(descriptorLength, 3)
  if (parameters.blockDescriptor) encodeShort(data, HEADER_LENGTH.six, parameters.blockDescriptor)
  parameters.pages.copy(data, at)
  return data
}

/** As `encodeModeParameters6`, for MODE SENSE(10), with the long block descriptor if asked for. */
export function encodeModeParameters10(parameters: ModeParameters, longLba: boolean): Buffer {
  const { blockDescriptor } = parameters
  const descriptorLength = blockDescriptor ? DESCRIPTOR_LENGTH[longLba ? 'long' : 'short'] : 0
  const at = HEADER_LENGTH.ten + descriptorLength
  const data = Buffer.alloc(at + parameters.pages.length)
  data.writeUInt16BE(data.length - 2, 0)
  data.writeUInt8(deviceSpecific(parameters), 3)
  data.writeUInt16BE(descriptorLength, 6)
  if (blockDescriptor && longLba) {
    data.writeUInt8(LONGLBA, 4)
    data.writeBigUInt64BE(BigInt(blockDescriptor.blockCount), HEADER_LENGTH.ten)
    data.writeUInt32BE(blockDescriptor.blockSizeBytes, HEADER_LENGTH.ten + 12)
  } else if (blockDescriptor) {
    encodeShort(data, HEADER_LENGTH.ten, blockDescriptor)
  }
  parameters.pages.copy(data, at)
  return data
}

function deviceSpecific(parameters: ModeParameters): number {
  return (parameters.writeProtected ? WP : 0) | (parameters.dpoFua ? DPOFUA : 0)
}

function encodeShort(data: Buffer, at: number, descriptor: BlockDescriptor): void {
  data.writeUInt32BE(Math.min(descriptor.blockCount, 0xffffffff), at)
  data.writeUIntBE(descriptor.blockSizeBytes, at + 5, 3)
}

/** Mode parameters as received; `pages` aliases `data`, and may be cut. */
export function decodeModeParameters6(data: Buffer): ModeParameters {
  want(data, HEADER_LENGTH.six)
  const end = Math.min(data.length, 1 + data.readUInt8(0))
  return decodeBody(data, HEADER_LENGTH.six, data.readUInt8(3), end, data.readUInt8(2), false)
}

/** Mode parameters as received; `pages` aliases `data`, and may be cut. */
export function decodeModeParameters10(data: Buffer): ModeParameters {
  want(data, HEADER_LENGTH.ten)
  const end = Math.min(data.length, 2 + data.readUInt16BE(0))
  const long = (data.readUInt8(4) & LONGLBA) !== 0
  return decodeBody(data, HEADER_LENGTH.ten, data.readUInt16BE(6), end, data.readUInt8(3), long)
}

function want(data: Buffer, length: number): void {
  if (data.length < length) {
    throw new RangeError(`mode parameters: got ${data.length} bytes, want at least ${length}`)
  }
}

function decodeBody(
  data: Buffer,
  at: number,
  descriptorLength: number,
  end: number,
  deviceSpecificParameter: number,
  long: boolean,
): ModeParameters {
  const pagesAt = Math.min(at + descriptorLength, end)
  const whole = pagesAt - at >= DESCRIPTOR_LENGTH[long ? 'long' : 'short']
  return {
    writeProtected: (deviceSpecificParameter & WP) !== 0,
    dpoFua: (deviceSpecificParameter & DPOFUA) !== 0,
    ...(whole && { blockDescriptor: decodeBlockDescriptor(data, at, long) }),
    pages: data.subarray(pagesAt, end),
  }
}

/** The short or long block descriptor at `data[at]`, which must hold all of it. */
export function decodeBlockDescriptor(data: Buffer, at: number, long: boolean): BlockDescriptor {
  if (!long) {
    return { blockCount: data.readUInt32BE(at), blockSizeBytes: data.readUIntBE(at + 5, 3) }
  }
  return {
    blockCount: Number(data.readBigUInt64BE(at)),
    blockSizeBytes: data.readUInt32BE(at + 12),
  }
}

/** The page with that code among `pages`, without subpages; undefined if it is not there whole. */
export function findModePage(pages: Buffer, pageCode: number): Buffer | undefined {
  for (let at = 0; at + 2 <= pages.length; ) {
    const first = pages.readUInt8(at)
    const withSubpage = (first & 0x40) !== 0
    if (withSubpage && at + 4 > pages.length) return undefined
    const next = at + (withSubpage ? 4 + pages.readUInt16BE(at + 2) : 2 + pages.readUInt8(at + 1))
    if (next > pages.length) return undefined
    if (!withSubpage && (first & 0x3f) === pageCode) return pages.subarray(at, next)
    at = next
  }
  return undefined
}

/** A zeroed page of `length` bytes with its header. */
function page(pageCode: number, length: number): Buffer {
  const data = Buffer.alloc(length)
  data.writeUInt8(pageCode, 0)
  data.writeUInt8(length - 2, 1)
  return data
}

export interface CachingPage {
  /** WCE: GOOD may mean a volatile cache; SYNCHRONIZE CACHE or FUA then make it durable. */
  readonly writeCacheEnabled: boolean
  /** RCD: reads never come from a cache. */
  readonly readCacheDisabled: boolean
}

export function encodeCachingPage(caching: CachingPage): Buffer {
  const data = page(ModePage.Caching, 20)
  data.writeUInt8(
    (caching.writeCacheEnabled ? 0x04 : 0) | (caching.readCacheDisabled ? 0x01 : 0),
    2,
  )
  return data
}

export function decodeCachingPage(data: Buffer): CachingPage {
  const flags = data.readUInt8(2)
  return { writeCacheEnabled: (flags & 0x04) !== 0, readCacheDisabled: (flags & 0x01) !== 0 }
}

export interface ControlPage {
  /** D_SENSE: sense data come in descriptor format. */
  readonly descriptorSense: boolean
  /** GLTSD: log parameters are not saved on their own. */
  readonly globalLoggingTargetSaveDisable: boolean
  /** 0 restricted, 1 unrestricted reordering of commands. */
  readonly queueAlgorithmModifier: number
  /** SWP. */
  readonly softwareWriteProtect: boolean
  /** TAS: commands that another nexus aborts end with TASK ABORTED. */
  readonly taskAbortedStatus: boolean
}

export function encodeControlPage(control: ControlPage): Buffer {
  const data = page(ModePage.Control, 12)
  data.writeUInt8(
    (control.descriptorSense ? 0x04 : 0) | (control.globalLoggingTargetSaveDisable ? 0x02 : 0),
    2,
  )
  data.writeUInt8(control.queueAlgorithmModifier << 4, 3)
  data.writeUInt8(control.softwareWriteProtect ? 0x08 : 0, 4)
  data.writeUInt8(control.taskAbortedStatus ? 0x40 : 0, 5)
  return data
}

export function decodeControlPage(data: Buffer): ControlPage {
  return {
    descriptorSense: (data.readUInt8(2) & 0x04) !== 0,
    globalLoggingTargetSaveDisable: (data.readUInt8(2) & 0x02) !== 0,
    queueAlgorithmModifier: data.readUInt8(3) >> 4,
    softwareWriteProtect: (data.readUInt8(4) & 0x08) !== 0,
    taskAbortedStatus: (data.readUInt8(5) & 0x40) !== 0,
  }
}

/** Read-write error recovery with every option off: errors are reported at once, as they are. */
export function encodeReadWriteErrorRecoveryPage(): Buffer {
  return page(ModePage.ReadWriteErrorRecovery, 12)
}

/** Informational exceptions; `disabled` is DEXCPT: none will be reported. */
export function encodeInformationalExceptionsPage(disabled: boolean): Buffer {
  const data = page(ModePage.InformationalExceptions, 12)
  data.writeUInt8(disabled ? 0x08 : 0, 2)
  return data
}

/** Whether DEXCPT is set. */
export function decodeInformationalExceptionsPage(data: Buffer): boolean {
  return (data.readUInt8(2) & 0x08) !== 0
}
