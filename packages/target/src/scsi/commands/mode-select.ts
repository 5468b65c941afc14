/**
 * MODE SELECT(6) and (10): SPC-4 sections 6.11 and 6.12. All of a list is checked before any of it
 * takes effect: what is not a changeable bit has to be as it is. Nothing is saved.
 */
import {
  type BlockDescriptor,
  decodeCachingPage,
  decodeControlPage,
  decodeModeSelectCdb,
  decodeModeSelectList,
  invalidFieldInCdb,
  invalidFieldInParameterList,
  ModePage,
  type ModeSelectList,
  modeParametersChangedUnitAttention,
  Opcode,
  parameterListLengthError,
  Status,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishWritten } from '../durability.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import { changeableModePage, currentModePage } from '../mode-pages.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

/** PS of a page's first byte; it means something in MODE SENSE only. */
const PARAMETERS_SAVEABLE = 0x80

function modeSelect(task: ScsiTask): void {
  const fields = decodeModeSelectCdb(task.cdb, task.cdbPosition)
  if (fields.savePages) fail(task, invalidFieldInCdb(1, 0))
  else if (fields.parameterListLength === 0) task.finish(Status.Good)
  else if (!fields.pageFormat) fail(task, invalidFieldInCdb(1, 4))
  else {
    task.next = received
    task.receiveData(fields.parameterListLength)
  }
}

function received(task: ScsiTask): void {
  const { parameterListLength } = decodeModeSelectCdb(task.cdb, task.cdbPosition)
  const ten = task.cdb.readUInt8(task.cdbPosition) === Opcode.ModeSelect10
  const unit = task.unit as LogicalUnit
  const whole = task.dataOut.length === parameterListLength
  const list = whole ? decodeModeSelectList(task.dataOut, ten) : undefined
  if (list === undefined) {
    fail(task, parameterListLengthError)
  } else if (!isAcceptable(unit, list)) {
    fail(task, invalidFieldInParameterList)
  } else {
    const changed = list.pages.map((page) => apply(unit, page)).includes(true)
    if (changed) tellOthers(unit, task.nexus as ScsiNexus)
    // With WCE=0 now, what was cached before goes to the disks first.
    if (changed) finishWritten(task, null)
    else task.finish(Status.Good)
  }
}

function isAcceptable(unit: LogicalUnit, list: ModeSelectList): boolean {
  const { blockDescriptor, pages } = list
  if (blockDescriptor === null) return false
  if (blockDescriptor !== undefined && !describes(unit, blockDescriptor)) return false
  return pages.every((page) => changesNoOtherBits(unit, page))
}

/** A block descriptor may say what is so; 0 blocks mean that nothing is said of them. */
function describes(unit: LogicalUnit, { blockCount, blockSizeBytes }: BlockDescriptor): boolean {
  const { capacityBlocks } = unit
  const counts = [0, capacityBlocks, Math.min(capacityBlocks, 0xffffffff)]
  return counts.includes(blockCount) && blockSizeBytes === unit.blockSizeBytes
}

function changesNoOtherBits(unit: LogicalUnit, page: Buffer): boolean {
  const code = page.readUInt8(0) & ~PARAMETERS_SAVEABLE
  const current = currentModePage(unit, code)
  const mask = changeableModePage(code)
  if (current === undefined || mask === undefined || page.length !== current.length) return false
  for (let at = 1; at < page.length; at += 1) {
    const differing = page.readUInt8(at) ^ current.readUInt8(at)
    // The length in the header is no parameter, though the mask has it.
    if (differing !== 0 && (at === 1 || (differing & ~mask.readUInt8(at)) !== 0)) return false
  }
  return true
}

/** Whether anything is different now. */
function apply(unit: LogicalUnit, page: Buffer): boolean {
  const code = page.readUInt8(0) & ~PARAMETERS_SAVEABLE
  const before = currentModePage(unit, code) as Buffer
  if (code === ModePage.Caching) {
    unit.writeCacheEnabled = decodeCachingPage(page).writeCacheEnabled
  } else if (code === ModePage.Control) {
    const { descriptorSense, softwareWriteProtect } = decodeControlPage(page)
    unit.descriptorSense = descriptorSense
    unit.softwareWriteProtect = softwareWriteProtect
  }
  return !before.equals(currentModePage(unit, code) as Buffer)
}

function tellOthers(unit: LogicalUnit, nexus: ScsiNexus): void {
  for (const peer of nexus.peers) {
    if (peer !== nexus) peer.raise(unit, modeParametersChangedUnitAttention)
  }
}

export const modeSelectCommands: readonly Command[] = [
  {
    name: 'MODE SELECT(6)',
    opcode: Opcode.ModeSelect6,
    usage: Uint8Array.of(Opcode.ModeSelect6, 0x11, 0, 0, 0xff, CONTROL_USAGE),
    access: 'change',
    effect: 'unit',
    execute: modeSelect,
  },
  {
    name: 'MODE SELECT(10)',
    opcode: Opcode.ModeSelect10,
    usage: Uint8Array.of(Opcode.ModeSelect10, 0x11, 0, 0, 0, 0, 0, 255, 255, CONTROL_USAGE),
    access: 'change',
    effect: 'unit',
    execute: modeSelect,
  },
]
