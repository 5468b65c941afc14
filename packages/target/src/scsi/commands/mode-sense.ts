/** MODE SENSE(6) and (10): SPC-4 sections 6.13 and 6.14. The pages are in mode-pages.ts. */
import {
  decodeModeSenseCdb,
  encodeModeParameters6,
  encodeModeParameters10,
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
import {
  changeableModePage,
  currentModePage,
  defaultModePage,
  modePageCodes,
} from '../mode-pages.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

const ALL_SUBPAGES = 0xff

function modeSense(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): void {
  const fields = decodeModeSenseCdb(task.cdb, task.cdbPosition)
  const codes = findCodes(fields.pageCode)
  if (codes.length === 0) {
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
  const pages = codes.flatMap((code) => pageOf(unit, code, fields.pageControl) ?? [])
  const parameters: ModeParameters = {
    writeProtected: unit.writeProtected || nexus.isReadOnly(unit),
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

/** The pages that are asked for; none when there is no such page. */
function findCodes(pageCode: number): readonly number[] {
  if (pageCode === ModePage.All) return modePageCodes
  return modePageCodes.filter((code) => code === pageCode)
}

function pageOf(unit: LogicalUnit, pageCode: number, pageControl: number): Buffer | undefined {
  if (pageControl === PageControl.Changeable) return changeableModePage(pageCode)
  if (pageControl === PageControl.Default) return defaultModePage(pageCode)
  return currentModePage(unit, pageCode)
}

export const modeSenseCommands: readonly Command[] = [
  {
    name: 'MODE SENSE(6)',
    opcode: Opcode.ModeSense6,
    usage: Uint8Array.of(Opcode.ModeSense6, 0x08, 0xff, 0xff, 0xff, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: modeSense,
  },
  {
    name: 'MODE SENSE(10)',
    opcode: Opcode.ModeSense10,
    usage: Uint8Array.of(Opcode.ModeSense10, 0x18, 255, 255, 0, 0, 0, 255, 255, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: modeSense,
  },
]
