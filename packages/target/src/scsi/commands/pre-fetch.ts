/**
 * PRE-FETCH(10) and (16): SBC-3 sections 5.9 and 5.10. What is cached is the page cache's business: GOOD,
 * and not CONDITION MET, says that the blocks may not be in it.
 */
import {
  Opcode,
  readLba10,
  readLba16,
  readTransferLength10,
  readTransferLength16,
  Status,
} from '@platter/protocol/scsi'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

function preFetch10(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  preFetch(task, unit, readLba10(cdb, cdbPosition), readTransferLength10(cdb, cdbPosition))
}

function preFetch16(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  preFetch(task, unit, readLba16(cdb, cdbPosition), readTransferLength16(cdb, cdbPosition))
}

function preFetch(task: ScsiTask, unit: LogicalUnit, lba: number, blockCount: number): void {
  if (checkRange(task, unit, lba, blockCount)) task.finish(Status.Good)
}

export const preFetchCommands: readonly Command[] = [
  {
    name: 'PRE-FETCH(10)',
    opcode: Opcode.PreFetch10,
    usage: Uint8Array.of(Opcode.PreFetch10, 0, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'read',
    execute: preFetch10,
  },
  {
    name: 'PRE-FETCH(16)',
    opcode: Opcode.PreFetch16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.PreFetch16, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    execute: preFetch16,
  },
]
