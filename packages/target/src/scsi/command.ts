/** What the command table holds for each command, and what every handler needs to end one. */
import type { Sense } from '@platter/protocol/scsi'
import { Status } from '@platter/protocol/scsi'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiNexus } from './nexus.ts'
import type { Access } from './reservations.ts'
import type { ScsiTask, TaskStep } from './scsi-task.ts'
import { encodeSense } from './sense-format.ts'

/** Carries a command out, or starts to. It reads the CDB in place and keeps nothing of its own. */
export type CommandHandler = (task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus) => void

/**
 * What a command changes, for which it may be write-protected. `blocks`: the medium, which WRITE PROTECTED
 * is about. `unit`: what other hosts meet, such as mode parameters and reservations; a nexus to which
 * the unit is read-only must leave that alone, too. `none`: nothing, or (EXTENDED COPY) it looks itself.
 */
export type Effect = 'none' | 'unit' | 'blocks'

export interface Command {
  /** The standard's name, for traces and documents. */
  readonly name: string
  readonly opcode: number
  /** Undefined for an operation code without service actions. */
  readonly serviceAction?: number
  /**
   * CDB usage data as REPORT SUPPORTED OPERATION CODES gives them: the operation code and service
   * action as they are, then a 1 for each bit that is looked at. As long as the CDB; the last byte
   * is CONTROL.
   */
  readonly usage: Uint8Array
  /** What it needs of the unit, and so which reservations of others forbid it; it may depend on the CDB. */
  readonly access: Access | ((cdb: Buffer, position: number) => Access)
  readonly effect: Effect
  /** It reads or writes blocks that its CDB names, or any: see block-access.ts. */
  readonly accessesBlocks?: true
  readonly execute: CommandHandler
  /** For the commands that are answered where no logical unit is. */
  readonly executeWithoutUnit?: (task: ScsiTask, nexus: ScsiNexus) => void
  /**
   * Done in spite of a pending unit attention, which stays pending (SAM-5 section 5.14), and while the
   * unit is sanitized (SBC-3 section 4.11).
   */
  readonly passesUnitAttention?: true
}

/** The bit of CONTROL that is looked at: NACA, which must be 0. */
export const CONTROL_USAGE = 0x04

/** Ends the command with CHECK CONDITION, and sense in the format that D_SENSE of the unit says. */
export function fail(task: ScsiTask, sense: Sense): void {
  task.checkCondition(encodeSense(task.unit as LogicalUnit | null, sense))
}

/** Ends the command with parameter data, cut to the allocation length. */
export function sendParameterData(task: ScsiTask, data: Buffer, allocationLength: number): void {
  if (allocationLength === 0) task.finish(Status.Good)
  else task.sendData(data.length > allocationLength ? data.subarray(0, allocationLength) : data)
}

/** Makes durable what was written so far, then runs `next`. */
export function flushThen(task: ScsiTask, unit: LogicalUnit, next: TaskStep): void {
  task.next = next
  unit.volume.flush(task.awaitIo())
}
