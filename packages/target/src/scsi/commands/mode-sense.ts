/** MODE SENSE(6) and (10): SPC-4 sections 6.13 and 6.14. No mode parameter can be changed. */
import {
  decodeModeSenseCdb,
  encodeCachingPage,
  encodeControlPage,
  encodeInformationalExceptionsPage,
  encodeModeParameters6,
  encodeModeParameters10,
  encodeReadWriteErrorRecoveryPage,
  invalidFieldInCdb,
  ModePage,
  type ModeParameters,
  Opcode,
  PageControl,
  savingParametersNotSupported,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

const ALL_SUBPAGES = 0xff

/** Every page in ascending order; current and default values are the same. */
const modePages: ReadonlyMap<number, Buffer> = new Map([
  [ModePage.ReadWriteErrorRecovery, encodeReadWriteErrorRecoveryPage()],
  // A WRITE is GOOD once its blocks are in the page cache of the server.
  [ModePage.Caching, encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: false })],
  [
    ModePage.Control,
    encodeControlPage({
      descriptorSense: false,
      globalLoggingTargetSaveDisable: true,
      queueAlgorithmModifier: 1,
      softwareWriteProtect: false,
      taskAbortedStatus: false,
    }),
  ],
  [ModePage.InformationalExceptions, encodeInformationalExceptionsPage(true)],
])

/** A mask without a changeable bit: the page's header over zeros. */
function changeable(page: Buffer): Buffer {
  const mask = Buffer.alloc(page.length)
  page.copy(mask, 0, 0, 2)
  return mask
}

function modeSense(task: ScsiTask, unit: LogicalUnit): void {
  const fields = decodeModeSenseCdb(task.cdb, task.cdbPosition)
  const current = findPages(fields.pageCode)
  if (current === undefined) {
    fail(task, invalidFieldInCdb(2, 5))
    return
  }
  if (fields.subpageCode !== 0 && fields.subpageCode !== ALL_SUBPAGES) {
    fail(task, invalidFieldInCdb(3))
    return
  }
  if (fields.pageControl === PageControl.Saved) {
    fail(task, savingParametersNotSupported)
    return
  }
  const pages = fields.pageControl === PageControl.Changeable ? current.map(changeable) : current
  const parameters: ModeParameters = {
    writeProtected: unit.writeProtected,
    dpoFua: true,
    pages: Buffer.concat(pages),
    ...(!fields.disableBlockDescriptor && {
      blockDescriptor: { blockCount: unit.capacityBlocks, blockSizeBytes: unit.blockSizeBytes },
    }),
  }
  const data =
    task.cdb.readUInt8(task.cdbPosition) === Opcode.ModeSense6
      ? encodeModeParameters6(parameters)
      : encodeModeParameters10(parameters, fields.longLba)
  sendParameterData(task, data, fields.allocationLength)
}

function findPages(pageCode: number): Buffer[] | undefined {
  if (pageCode === ModePage.All) return [...modePages.values()]
  const page = modePages.get(pageCode)
  return page && [page]
}

export const modeSenseCommands: readonly Command[] = [
  {
    name: 'MODE SENSE(6)',
    opcode: Opcode.ModeSense6,
    usage: Uint8Array.of(Opcode.ModeSense6, 0x08, 0xff, 0xff, 0xff, CONTROL_USAGE),
    access: 'change',
    execute: modeSense,
  },
  {
    name: 'MODE SENSE(10)',
    opcode: Opcode.ModeSense10,
    usage: Uint8Array.of(Opcode.ModeSense10, 0x18, 255, 255, 0, 0, 0, 255, 255, CONTROL_USAGE),
    access: 'change',
    execute: modeSense,
  },
]
