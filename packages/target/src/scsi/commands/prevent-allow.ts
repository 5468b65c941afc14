/**
 * PREVENT ALLOW MEDIUM REMOVAL (SBC-3 section 5.5): the medium can never be removed, so that both
 * are as asked for already.
 */
import { invalidFieldInCdb, Opcode, Status } from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import type { Access } from '../reservations.ts'
import type { ScsiTask } from '../scsi-task.ts'

const PREVENT = 0x03

function preventAllow(task: ScsiTask): void {
  const prevent = task.cdb.readUInt8(task.cdbPosition + 4) & PREVENT
  if (prevent > 1) fail(task, invalidFieldInCdb(4, 1))
  else task.finish(Status.Good)
}

/** To allow removal conflicts with nothing (SPC-4 table 66). */
function accessOf(cdb: Buffer, position: number): Access {
  return (cdb.readUInt8(position + 4) & PREVENT) === 0 ? 'nothing' : 'change'
}

export const preventAllowCommand: Command = {
  name: 'PREVENT ALLOW MEDIUM REMOVAL',
  opcode: Opcode.PreventAllowMediumRemoval,
  usage: Uint8Array.of(Opcode.PreventAllowMediumRemoval, 0, 0, 0, PREVENT, CONTROL_USAGE),
  access: accessOf,
  effect: 'none',
  execute: preventAllow,
}
