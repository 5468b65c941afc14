/** UNMAP (SBC-3 section 5.28): blocks are given back, and read as zeros from then on. */
import {
  type BlockRange,
  decodeUnmapParameters,
  invalidFieldInCdb,
  invalidFieldInParameterList,
  lbaOutOfRange,
  Opcode,
  parameterListLengthError,
  readUnmapListLength,
  type Sense,
  Status,
  UNMAP_DESCRIPTOR_LENGTH,
  UNMAP_HEADER_LENGTH,
  UnmapFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishWritten } from '../durability.ts'
import { type LogicalUnit, UNMAP_DESCRIPTORS_MAX } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

/** A list that has more than this has too many descriptors, whatever they are. */
const LIST_MAX_BYTES = UNMAP_HEADER_LENGTH + UNMAP_DESCRIPTORS_MAX * UNMAP_DESCRIPTOR_LENGTH + 15

function unmap(task: ScsiTask): void {
  const { cdb, cdbPosition } = task
  const listLength = readUnmapListLength(cdb, cdbPosition)
  if ((cdb.readUInt8(cdbPosition + 1) & UnmapFlag.Anchor) !== 0) fail(task, invalidFieldInCdb(1, 0))
  else if (listLength === 0) task.finish(Status.Good)
  else if (listLength < UNMAP_HEADER_LENGTH) fail(task, parameterListLengthError)
  else if (listLength > LIST_MAX_BYTES) fail(task, invalidFieldInParameterList)
  else {
    task.next = unmapReceived
    task.receiveData(listLength)
  }
}

/** Nothing is unmapped unless the whole list is sound. */
function unmapReceived(task: ScsiTask): void {
  const unit = task.unit as LogicalUnit
  const sent = task.dataOut.length === readUnmapListLength(task.cdb, task.cdbPosition)
  const ranges = sent ? decodeUnmapParameters(task.dataOut) : undefined
  const wrong = ranges === undefined ? parameterListLengthError : findWrongRange(unit, ranges)
  if (wrong !== undefined) {
    fail(task, wrong)
    return
  }
  task.state = ranges?.filter(({ blockCount }) => blockCount > 0)
  task.next = unmapNext
  unmapNext(task, null)
}

function findWrongRange(unit: LogicalUnit, ranges: readonly BlockRange[]): Sense | undefined {
  if (ranges.length > UNMAP_DESCRIPTORS_MAX) return invalidFieldInParameterList
  let sum = 0
  for (const { lba, blockCount } of ranges) {
    if (lba + blockCount > unit.capacityBlocks) return lbaOutOfRange
    sum += blockCount
  }
  return sum > unit.unmapBlocksMax ? invalidFieldInParameterList : undefined
}

/** One range after the other, so that a command has one operation under way at most. */
function unmapNext(task: ScsiTask, error: VolumeError | null): void {
  const { volume, blockSizeBytes } = task.unit as LogicalUnit
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  const range = (task.state as BlockRange[]).shift()
  if (range === undefined) finishWritten(task, null)
  else {
    const { lba, blockCount } = range
    volume.discard(lba * blockSizeBytes, blockCount * blockSizeBytes, task.awaitIo())
  }
}

export const unmapCommand: Command = {
  name: 'UNMAP',
  opcode: Opcode.Unmap,
  usage: Uint8Array.of(Opcode.Unmap, UnmapFlag.Anchor, 0, 0, 0, 0, 0, 255, 255, CONTROL_USAGE),
  accessesBlocks: true,
  access: 'change',
  effect: 'blocks',
  execute: unmap,
}
