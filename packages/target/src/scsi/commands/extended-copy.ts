/**
 * EXTENDED COPY(LID1) (SPC-4 section 6.4): copies blocks between units that the nexus sees, as its own
 * READ and WRITE could. All descriptors are checked before the first block is copied.
 */
import {
  Association,
  BLOCK_SEGMENT_LENGTH,
  COPY_HEADER_LENGTH,
  CopyDescriptor,
  type CopyHeader,
  type CopySegment,
  CopyState,
  type CopyStatus,
  type CopyTarget,
  copyAborted,
  copyTargetNotReachable,
  decodeCopyHeader,
  decodeCopySegment,
  decodeCopyTarget,
  IDENTIFICATION_DESCRIPTOR_LENGTH,
  incorrectCopyTarget,
  inlineDataLengthExceeded,
  invalidFieldInParameterList,
  ListIdUsage,
  Opcode,
  operationInProgress,
  parameterListLengthError,
  readCopyLength,
  type Sense,
  Status,
  thirdPartyDeviceFailure,
  tooManySegmentDescriptors,
  tooManyTargetDescriptors,
  unexpectedInexactSegment,
  unsupportedSegmentDescriptor,
  unsupportedTargetDescriptor,
} from '@platter/protocol/scsi'
import { COPY_PIECE_BYTES, type CopyRange, copyRange } from '../block-copy.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, flushThen } from '../command.ts'
import { unitDesignators } from '../designators.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { CopiesByListId, ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

const TARGETS_MAX = 16
const SEGMENTS_MAX = 64

/** What RECEIVE COPY RESULTS tells of it. */
export const copyLimits = {
  targetDescriptorsMax: TARGETS_MAX,
  segmentDescriptorsMax: SEGMENTS_MAX,
  descriptorsLengthMax:
    TARGETS_MAX * IDENTIFICATION_DESCRIPTOR_LENGTH + SEGMENTS_MAX * BLOCK_SEGMENT_LENGTH,
  /** As many pieces as the budget of a unit has room for. */
  concurrentCopiesMax: 32,
}

function extendedCopy(task: ScsiTask, unit: LogicalUnit): void {
  const length = readCopyLength(task.cdb, task.cdbPosition)
  if (length === 0) task.finish(Status.Good)
  else if (length < COPY_HEADER_LENGTH) fail(task, parameterListLengthError)
  else if (length > COPY_HEADER_LENGTH + copyLimits.descriptorsLengthMax) {
    fail(task, parameterListLengthError)
  } else if (!unit.dataOutBudget.take(task, COPY_PIECE_BYTES)) task.finish(Status.TaskSetFull)
  else {
    task.next = received
    task.receiveData(length)
  }
}

function received(task: ScsiTask): void {
  const nexus = task.nexus as ScsiNexus
  const unit = task.unit as LogicalUnit
  const list = task.dataOut
  if (list.length < readCopyLength(task.cdb, task.cdbPosition)) {
    fail(task, parameterListLengthError)
    return
  }
  const header = decodeCopyHeader(list)
  const copies = copiesOf(nexus, unit)
  const wrong = findWrongHeader(header, list.length, copies) ?? findWrongDescriptor(header, list)
  if (wrong !== undefined) {
    fail(task, wrong)
    return
  }
  const ranges = rangesOf(header, list, nexus)
  nexus.copying.set(task, {
    ranges: Array.isArray(ranges) ? ranges : [],
    forget: () => {
      if (header.listIdUsage === ListIdUsage.Hold) copies.delete(header.listId)
    },
  })
  if (header.listIdUsage === ListIdUsage.Hold) {
    copies.set(header.listId, {
      state: CopyState.InProgress,
      segmentsProcessed: 0,
      transferCount: 0,
    })
  }
  if (Array.isArray(ranges)) copyAll(task, ranges, header, copies)
  else end(task, ranges, header, copies, 0, 0)
}

function copiesOf(nexus: ScsiNexus, unit: LogicalUnit): CopiesByListId {
  const copies = nexus.copies.get(unit) ?? new Map<number, CopyStatus>()
  nexus.copies.set(unit, copies)
  return copies
}

function findWrongHeader(
  header: CopyHeader,
  listLength: number,
  copies: CopiesByListId,
): Sense | undefined {
  const { targetDescriptorsLength, segmentDescriptorsLength, inlineDataLength } = header
  const descriptorsLength = targetDescriptorsLength + segmentDescriptorsLength
  if (header.listIdUsage === ListIdUsage.Reserved) return invalidFieldInParameterList
  if (header.listIdUsage === ListIdUsage.None && header.listId !== 0) {
    return invalidFieldInParameterList
  }
  if (descriptorsLength > copyLimits.descriptorsLengthMax) return parameterListLengthError
  if (targetDescriptorsLength % IDENTIFICATION_DESCRIPTOR_LENGTH !== 0) {
    return parameterListLengthError
  }
  if (targetDescriptorsLength / IDENTIFICATION_DESCRIPTOR_LENGTH > TARGETS_MAX) {
    return tooManyTargetDescriptors
  }
  if (inlineDataLength > 0) return inlineDataLengthExceeded
  if (listLength < COPY_HEADER_LENGTH + descriptorsLength) return parameterListLengthError
  const { state } = copies.get(header.listId) ?? {}
  const taken = state === CopyState.InProgress && header.listIdUsage !== ListIdUsage.None
  return taken ? operationInProgress : undefined
}

/** Types before lengths, since types that are not known have lengths of their own. */
function findWrongDescriptor(header: CopyHeader, list: Buffer): Sense | undefined {
  const segmentsAt = COPY_HEADER_LENGTH + header.targetDescriptorsLength
  const end = segmentsAt + header.segmentDescriptorsLength
  for (let at = COPY_HEADER_LENGTH; at < segmentsAt; at += IDENTIFICATION_DESCRIPTOR_LENGTH) {
    if (list.readUInt8(at) !== CopyDescriptor.Identification) return unsupportedTargetDescriptor
  }
  for (let at = segmentsAt; at < end; at += BLOCK_SEGMENT_LENGTH) {
    if (list.readUInt8(at) !== CopyDescriptor.BlockToBlock) return unsupportedSegmentDescriptor
    if (at + BLOCK_SEGMENT_LENGTH > end) return parameterListLengthError
    if (list.readUInt16BE(at + 2) !== BLOCK_SEGMENT_LENGTH - 4) return invalidFieldInParameterList
  }
  const segments = header.segmentDescriptorsLength / BLOCK_SEGMENT_LENGTH
  return segments > SEGMENTS_MAX ? tooManySegmentDescriptors : undefined
}

/** What is to be copied, or why nothing is. */
function rangesOf(header: CopyHeader, list: Buffer, nexus: ScsiNexus): CopyRange[] | Sense {
  const segmentsAt = COPY_HEADER_LENGTH + header.targetDescriptorsLength
  const end = segmentsAt + header.segmentDescriptorsLength
  const targets: (LogicalUnit | Sense)[] = []
  for (let at = COPY_HEADER_LENGTH; at < segmentsAt; at += IDENTIFICATION_DESCRIPTOR_LENGTH) {
    targets.push(findUnit(decodeCopyTarget(list, at), nexus))
  }
  const ranges: CopyRange[] = []
  for (let at = segmentsAt; at < end; at += BLOCK_SEGMENT_LENGTH) {
    const segment = decodeCopySegment(list, at)
    const source = targets[segment.source] ?? copyAborted
    const destination = targets[segment.destination] ?? copyAborted
    if (isSense(source)) return source
    if (isSense(destination)) return destination
    const range = rangeOf(segment, source, destination, nexus)
    if (isSense(range)) return range
    if (range.length > 0) ranges.push(range)
  }
  return ranges
}

function isSense(value: object): value is Sense {
  return 'senseKey' in value
}

/** The unit that a descriptor names, if the nexus sees one: others are as if they were not there. */
function findUnit(target: CopyTarget, nexus: ScsiNexus): LogicalUnit | Sense {
  if (target.isNull) return copyAborted
  if (target.association !== Association.LogicalUnit) return copyTargetNotReachable
  for (const unit of nexus.units.values()) {
    const named = unitDesignators(unit).some(
      ({ type, codeSet, association, value }) =>
        type === target.designatorType &&
        codeSet === target.codeSet &&
        association === target.association &&
        value.equals(target.designator),
    )
    if (!named) continue
    const fits = target.peripheralDeviceType === 0 && target.blockSizeBytes === unit.blockSizeBytes
    return fits ? unit : incorrectCopyTarget
  }
  return copyTargetNotReachable
}

function rangeOf(
  segment: CopySegment,
  source: LogicalUnit,
  destination: LogicalUnit,
  nexus: ScsiNexus,
): CopyRange | Sense {
  const counted = segment.countsDestination ? destination : source
  const length = segment.blockCount * counted.blockSizeBytes
  const sourceBlocks = length / source.blockSizeBytes
  const destinationBlocks = length / destination.blockSizeBytes
  if (!Number.isInteger(sourceBlocks) || !Number.isInteger(destinationBlocks)) {
    return unexpectedInexactSegment
  }
  if (!isWithin(source, segment.sourceLba, sourceBlocks)) return copyAborted
  if (!isWithin(destination, segment.destinationLba, destinationBlocks)) {
    return copyAborted
  }
  const permitted =
    source.sanitizer.obstacle === null &&
    destination.sanitizer.obstacle === null &&
    source.reservations.allows(nexus, 'read') &&
    destination.reservations.allows(nexus, 'change') &&
    !destination.writeProtected &&
    !nexus.isReadOnly(destination)
  if (!permitted) return thirdPartyDeviceFailure
  return {
    source,
    destination,
    sourceOffset: segment.sourceLba * source.blockSizeBytes,
    destinationOffset: segment.destinationLba * destination.blockSizeBytes,
    length,
  }
}

function isWithin(unit: LogicalUnit, lba: number, blockCount: number): boolean {
  return lba < unit.capacityBlocks && blockCount <= unit.capacityBlocks - lba
}

function copyAll(
  task: ScsiTask,
  ranges: readonly CopyRange[],
  header: CopyHeader,
  copies: CopiesByListId,
): void {
  const longest = Math.max(0, ...ranges.map(({ length }) => length))
  const piece = Buffer.allocUnsafeSlow(Math.min(longest, COPY_PIECE_BYTES))
  let total = 0
  const next = (index: number) => {
    const range = ranges[index]
    if (range === undefined) {
      end(task, null, header, copies, index, total)
      return
    }
    range.destination.sanitizer.written()
    copyRange(task, range, piece, (copied, error) => {
      total += copied
      if (error !== null) end(task, thirdPartyDeviceFailure, header, copies, index, total)
      else {
        if (range.destination.writeCacheEnabled) next(index + 1)
        else {
          flushThen(task, range.destination, (_, error) => {
            if (error === null) next(index + 1)
            else end(task, thirdPartyDeviceFailure, header, copies, index, total)
          })
        }
      }
    })
  }
  next(0)
}

/** Keeps how it ended for RECEIVE COPY RESULTS, if that was asked for, and ends the command. */
function end(
  task: ScsiTask,
  failure: Sense | null,
  header: CopyHeader,
  copies: CopiesByListId,
  segmentsProcessed: number,
  transferCount: number,
): void {
  ;(task.nexus as ScsiNexus).copying.delete(task)
  if (header.listIdUsage === ListIdUsage.Hold) {
    const state = failure === null ? CopyState.Completed : CopyState.Failed
    copies.set(header.listId, { state, segmentsProcessed, transferCount })
  }
  if (failure === null) task.finish(Status.Good)
  else fail(task, failure)
}

export const extendedCopyCommand: Command = {
  name: 'EXTENDED COPY(LID1)',
  opcode: Opcode.ExtendedCopy,
  serviceAction: 0,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.ExtendedCopy, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'change',
  effect: 'none',
  execute: extendedCopy,
}
