/**
 * GET LBA STATUS (SBC-3 section 5.5): which blocks are stored, and which are holes of the volume, and so
 * deallocated. A block is deallocated only if all of it is a hole.
 */
import {
  encodeLbaStatuses,
  invalidFieldInCdb,
  LBA_STATUS_DESCRIPTOR_LENGTH,
  LBA_STATUS_HEADER_LENGTH,
  type LbaStatus,
  Opcode,
  ProvisioningStatus,
  readGetLbaStatusAllocationLength,
  readLba16,
  ServiceActionIn,
} from '@platter/protocol/scsi'
import { HoleMap, type VolumeError } from '../../volume/volume.ts'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

/** A header and one descriptor: less cannot be answered. */
const ALLOCATION_LENGTH_MIN = LBA_STATUS_HEADER_LENGTH + LBA_STATUS_DESCRIPTOR_LENGTH
/** What one command tells, and so how often it asks each disk, whatever the allocation length. */
const DESCRIPTORS_MAX = 64
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
  if (unit.sanitizer.isErased) {
    const provisioningStatus = ProvisioningStatus.Deallocated
    const data = encodeLbaStatuses([{ lba, blockCount, provisioningStatus }])
    sendParameterData(task, data, allocationLength)
    return
  }
  const room = Math.floor(
    (allocationLength - LBA_STATUS_HEADER_LENGTH) / LBA_STATUS_DESCRIPTOR_LENGTH,
  )
  const map = new HoleMap(Math.min(room, DESCRIPTORS_MAX))
  task.state = map
  task.next = holesLocated
  const { volume, blockSizeBytes } = unit
  volume.locateHoles(lba * blockSizeBytes, blockCount * blockSizeBytes, map, task.awaitIo())
}

function holesLocated(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  const { blockSizeBytes } = task.unit as LogicalUnit
  const lba = readLba16(task.cdb, task.cdbPosition)
  const allocationLength = readGetLbaStatusAllocationLength(task.cdb, task.cdbPosition)
  const statuses = statusesOf(lba, blockSizeBytes, task.state as HoleMap)
  sendParameterData(task, encodeLbaStatuses(statuses), allocationLength)
}

/** No more than the map has runs; one at least, since the block at `lba` has a status. */
function statusesOf(lba: number, blockSizeBytes: number, map: HoleMap): LbaStatus[] {
  const statuses: LbaStatus[] = []
  let told = 0
  const tell = (provisioningStatus: number, end: number) => {
    if (end > told) statuses.push({ lba: lba + told, blockCount: end - told, provisioningStatus })
    told = Math.max(told, end)
  }
  let start = 0
  for (const { isHole, length } of map.runs) {
    const end = start + length
    const firstBlock = Math.ceil(start / blockSizeBytes)
    const endBlock = Math.floor(end / blockSizeBytes)
    if (isHole && endBlock > firstBlock) {
      tell(ProvisioningStatus.Mapped, firstBlock)
      tell(ProvisioningStatus.Deallocated, endBlock)
    }
    start = end
  }
  tell(ProvisioningStatus.Mapped, Math.max(1, Math.floor(map.length / blockSizeBytes)))
  return statuses
}

export const getLbaStatusCommand: Command = {
  name: 'GET LBA STATUS',
  opcode: Opcode.ServiceActionIn16,
  serviceAction: ServiceActionIn.GetLbaStatus,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.ServiceActionIn16, ServiceActionIn.GetLbaStatus, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'read',
  effect: 'none',
  execute: getLbaStatus,
}
