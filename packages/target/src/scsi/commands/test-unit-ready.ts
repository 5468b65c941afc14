/** TEST UNIT READY (SPC-4 section 6.47): a unit that exists is ready. */
import { Opcode, Status } from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE } from '../command.ts'
import type { ScsiTask } from '../scsi-task.ts'

function testUnitReady(task: ScsiTask): void {
  task.finish(Status.Good)
}

export const testUnitReadyCommand: Command = {
  name: 'TEST UNIT READY',
  opcode: Opcode.TestUnitReady,
  usage: Uint8Array.of(Opcode.TestUnitReady, 0, 0, 0, 0, CONTROL_USAGE),
  access: 'readiness',
  effect: 'none',
  execute: testUnitReady,
}
