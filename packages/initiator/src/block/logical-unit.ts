/** What a target has: its logical units, and what each says of itself. */
import {
  Association,
  DesignatorType,
  decodeBlockLimits,
  decodeCachingPage,
  decodeCapacity16,
  decodeDeviceIdentification,
  decodeLogicalBlockProvisioning,
  decodeLunList,
  decodeModeParameters6,
  decodeStandardInquiry,
  decodeSupportedPages,
  encodeInquiryCdb,
  encodeModeSenseCdb,
  encodeReadCapacity16Cdb,
  encodeReportLunsCdb,
  findModePage,
  ModePage,
  Opcode,
  PageControl,
  Peripheral,
  SelectReport,
  VpdPage,
} from '@platter/protocol/scsi'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import { BlockError } from './block-error.ts'
import { readParameterData } from './parameter-data.ts'
import type { DiskGeometry, WriteSameAbility } from './scsi-disk.ts'

/** REPORT LUNS must have room for 16 bytes at least (SPC-4 section 6.33). */
const LUN_LIST_BYTES = 4096
const INQUIRY_BYTES = 255
const MODE_BYTES = 255
const CAPACITY_BYTES = 32
/** One WRITE SAME covers at most so many blocks: without UNMAP the unit writes them all. */
const WRITE_SAME_BLOCKS = 65536
/** Platter's own partitions say their names (docs/scsi-commands.md). */
const OUR_VENDOR = 'PLATTER'

/** The LUNs that the target shows to us, in its order. */
export async function listLuns(transport: ScsiTransport): Promise<readonly number[]> {
  for (let room = LUN_LIST_BYTES; ; ) {
    const data = await readParameterData(transport, 0, 'REPORT LUNS', room, (cdb) =>
      encodeReportLunsCdb(cdb, 0, {
        selectReport: SelectReport.Addressable,
        allocationLength: room,
      }),
    )
    const list = decodeLunList(data)
    if (list.length <= room) return list.luns
    room = list.length
  }
}

/**
 * What a disk needs to know of a logical unit; undefined when it is no disk. Rejects with a
 * BlockError, or with a RangeError when what the unit says is not of the form.
 */
export async function inspectUnit(
  transport: ScsiTransport,
  lun: number,
): Promise<DiskGeometry | undefined> {
  const inquiry = decodeStandardInquiry(await inquire(transport, lun, undefined))
  if (inquiry.peripheral !== Peripheral.DirectAccess) return undefined
  const pages = await vpdPages(transport, lun)
  const capacity = await readCapacity(transport, lun)
  const mode = await readModeParameters(transport, lun)
  const limits = pages.includes(VpdPage.BlockLimits)
    ? decodeBlockLimits(await inquire(transport, lun, VpdPage.BlockLimits))
    : undefined
  const caching = mode && findModePage(mode.pages, ModePage.Caching)
  return {
    ...(await identify(transport, lun, inquiry.vendor, pages)),
    lun,
    blockSizeBytes: capacity.blockSizeBytes,
    blockCount: capacity.lastLba + 1,
    readOnly: mode?.writeProtected ?? false,
    // A unit that does not say may have a cache.
    volatileCache: caching === undefined || decodeCachingPage(caching).writeCacheEnabled,
    transferBlocksMax: limits?.transferBlocksMax ?? 0,
    transferBlocksOptimal: limits?.optimalTransferBlocks ?? 0,
    transferBlocksGranularity: limits?.optimalTransferGranularityBlocks ?? 0,
    writeSame: await writeSameAbility(transport, lun, pages, limits?.writeSameBlocksMax ?? 0),
  }
}

/**
 * A unit has WRITE SAME if it says that this unmaps, or how much it takes. The standard has other units
 * with it as well, which cannot be told from those without.
 */
async function writeSameAbility(
  transport: ScsiTransport,
  lun: number,
  pages: readonly number[],
  blocksMax: number,
): Promise<WriteSameAbility | null> {
  const provisioning = pages.includes(VpdPage.LogicalBlockProvisioning)
    ? decodeLogicalBlockProvisioning(
        await inquire(transport, lun, VpdPage.LogicalBlockProvisioning),
      )
    : undefined
  const unmap = provisioning?.writeSame16 === true && provisioning.readsZeros
  if (!unmap && blocksMax === 0) return null
  return { blocksMax: Math.min(blocksMax || WRITE_SAME_BLOCKS, WRITE_SAME_BLOCKS), unmap }
}

async function readCapacity(transport: ScsiTransport, lun: number) {
  const what = `LUN ${lun}: READ CAPACITY(16)`
  const data = await readParameterData(transport, lun, what, CAPACITY_BYTES, (cdb) =>
    encodeReadCapacity16Cdb(cdb, 0),
  )
  const capacity = decodeCapacity16(data)
  const { blockSizeBytes } = capacity
  if (blockSizeBytes >= 512 && Number.isInteger(Math.log2(blockSizeBytes))) return capacity
  throw new RangeError(`${what}: got blocks of ${blockSizeBytes} bytes, wanted 512, 1024, …`)
}

function inquire(transport: ScsiTransport, lun: number, page: number | undefined): Promise<Buffer> {
  const what = `LUN ${lun}: INQUIRY`
  return readParameterData(transport, lun, what, INQUIRY_BYTES, (cdb) =>
    encodeInquiryCdb(cdb, 0, {
      vitalProductData: page !== undefined,
      pageCode: page ?? 0,
      allocationLength: INQUIRY_BYTES,
    }),
  )
}

/** Codes of the VPD pages there are; none for a unit that has no such thing. */
async function vpdPages(transport: ScsiTransport, lun: number): Promise<readonly number[]> {
  const data = await unlessRefused(inquire(transport, lun, VpdPage.SupportedPages))
  return data === undefined ? [] : decodeSupportedPages(data)
}

async function readModeParameters(transport: ScsiTransport, lun: number) {
  const what = `LUN ${lun}: MODE SENSE(6)`
  const reading = readParameterData(transport, lun, what, MODE_BYTES, (cdb) =>
    encodeModeSenseCdb(cdb, 0, Opcode.ModeSense6, {
      disableBlockDescriptor: true,
      longLba: false,
      pageControl: PageControl.Current,
      pageCode: ModePage.All,
      subpageCode: 0,
      allocationLength: MODE_BYTES,
    }),
  )
  const data = await unlessRefused(reading)
  return data && decodeModeParameters6(data)
}

/** What its designators say: its name, if it is a partition of ours, and which unit it is. */
async function identify(
  transport: ScsiTransport,
  lun: number,
  vendor: string,
  pages: readonly number[],
): Promise<{ readonly name: string; readonly identity: string }> {
  const unnamed = `lun${lun}`
  if (!pages.includes(VpdPage.DeviceIdentification)) return { name: unnamed, identity: vendor }
  const data = await inquire(transport, lun, VpdPage.DeviceIdentification)
  const designators = decodeDeviceIdentification(data).filter(
    ({ association }) => association === Association.LogicalUnit,
  )
  const identity = designators.map(({ type, value }) => `${type}.${value.toString('hex')}`)
  const named = designators.find(({ type }) => type === DesignatorType.VendorSpecific)
  const name = (vendor === OUR_VENDOR && named?.value.toString('utf8')) || ''
  // It is to be the name of a file.
  const fit = /^[\w.-]{1,255}$/.test(name) && !/^\.+$/.test(name)
  return { name: fit ? name : unnamed, identity: identity.join(' ') }
}

/** Undefined when the unit does not know the command or the page; transport errors stay errors. */
async function unlessRefused(answer: Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof BlockError && error.cause === undefined) return undefined
    throw error
  }
}
