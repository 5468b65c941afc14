/**
 * GET LBA STATUS (SBC-3 section 5.5). A Volume does not say where its holes are, so every block is
 * told as mapped, which the standard allows for blocks that read as zeros as well; but for a unit of
 * which every block is known to have been discarded.
 */
import {
  encodeLbaStatuses,
  invalidFieldInCdb,
  Opcode,
  ProvisioningStatus,
  readGetLbaStatusAllocationLength,
  readLba16,
  ServiceActionIn,
} from '@platter/protocol/scsi'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

/** A header and one descriptor: less cannot be answered. */
const ALLOCATION_LENGTH_MIN = 24
const BLOCK_COUNT_MAX = 0xffffffff

function getLbaStatus(task: ScsiTask, unit: LogicalUnit): void {
  const lba = readLba16(task.cdb, task.cdbPosition)
  const allocationLength = readGetLbaStatusAllocationLength(task.cdb, task.cdbPosition)
  if (!checkRange(task, unit, lba, 0)) return
  if (allocationLength < ALLOCATION_LENGTH_MIN) {
    fail(task, invalidFieldInCdb(10))
    return
  }
  const blockCount = Math.min(unit.capacityBlocks - lba, BLOCK_COUNT_MAX)
  const { isErased } = unit.sanitizer
  const provisioningStatus = isErased ? ProvisioningStatus.Deallocated : ProvisioningStatus.Mapped
  const data = encodeLbaStatuses([{ lba, blockCount, provisioningStatus }])
  sendParameterData(task, data, allocationLength)
}

export const getLbaStatusCommand: Command = {
  name: 'GET LBA STATUS',
  opcode: Opcode.ServiceActionIn16,
  serviceAction: ServiceActionIn.GetLbaStatus,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.ServiceActionIn16, ServiceActionIn.GetLbaStatus, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'read',
  execute: getLbaStatus,
}
