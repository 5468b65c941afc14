/**
 * START STOP UNIT (SBC-3 section 5.24). A unit is always started and its medium cannot be taken out:
 * START is done already; stopping, ejecting and power conditions are refused, not pretended.
 */
import { invalidFieldInCdb, Opcode, Status } from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import type { ScsiTask } from '../scsi-task.ts'

const START = 0x01
const LOEJ = 0x02
const POWER_CONDITION = 0xf0

function startStopUnit(task: ScsiTask): void {
  const flags = task.cdb.readUInt8(task.cdbPosition + 4)
  if ((flags & POWER_CONDITION) !== 0) fail(task, invalidFieldInCdb(4, 7))
  else if ((flags & LOEJ) !== 0) fail(task, invalidFieldInCdb(4, 1))
  else if ((flags & START) === 0) fail(task, invalidFieldInCdb(4, 0))
  else task.finish(Status.Good)
}

export const startStopUnitCommand: Command = {
  name: 'START STOP UNIT',
  opcode: Opcode.StartStopUnit,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.StartStopUnit, 0, 0, 0, POWER_CONDITION | LOEJ | START, CONTROL_USAGE),
  // Only START=1 is done at all, and that conflicts with nothing (SBC-3 table 13).
  access: 'nothing',
  effect: 'none',
  execute: startStopUnit,
}
