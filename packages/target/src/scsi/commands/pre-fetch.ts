/**
 * PRE-FETCH(10) and (16): SBC-3 sections 5.9 and 5.10. What is cached is the page cache's business: GOOD,
 * and not CONDITION MET, says that the blocks may not be in it.
 */
import { Opcode, readLba, readTransferLength, Status } from '@platter/protocol/scsi'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

function preFetch(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const lba = readLba(cdb, cdbPosition)
  const blockCount = readTransferLength(cdb, cdbPosition)
  if (checkRange(task, unit, lba, blockCount)) task.finish(Status.Good)
}

export const preFetchCommands: readonly Command[] = [
  {
    name: 'PRE-FETCH(10)',
    opcode: Opcode.PreFetch10,
    usage: Uint8Array.of(Opcode.PreFetch10, 0, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    execute: preFetch,
  },
  {
    name: 'PRE-FETCH(16)',
    opcode: Opcode.PreFetch16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.PreFetch16, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    execute: preFetch,
  },
]
