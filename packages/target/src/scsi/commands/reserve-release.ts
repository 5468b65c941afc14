/**
 * RESERVE(6), (10) and RELEASE(6), (10), as SPC-2 has them: a whole unit for one nexus. They conflict
 * with persistent reservations as CRH=1 of PERSISTENT RESERVE IN says (SPC-4 section 5.12.3).
 */
import { invalidFieldInCdb, Opcode, Status } from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

/** Byte 1: extents, and reservations for third parties, which are obsolete. */
const EXTENT = 0x01
const THIRD_PARTY = 0x10

function reserve(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): void {
  if (refuses(task)) return
  finish(task, unit.reservations.reserveUnit(nexus))
}

function release(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): void {
  if (refuses(task)) return
  finish(task, unit.reservations.releaseUnit(nexus))
}

function refuses(task: ScsiTask): boolean {
  const flags = task.cdb.readUInt8(task.cdbPosition + 1)
  if ((flags & (EXTENT | THIRD_PARTY)) === 0) return false
  fail(task, invalidFieldInCdb(1, (flags & THIRD_PARTY) === 0 ? 0 : 4))
  return true
}

function finish(task: ScsiTask, allowed: boolean): void {
  task.finish(allowed ? Status.Good : Status.ReservationConflict)
}

const BYTE_1 = THIRD_PARTY | EXTENT

export const reserveReleaseCommands: readonly Command[] = [
  {
    name: 'RESERVE(6)',
    opcode: Opcode.Reserve6,
    usage: Uint8Array.of(Opcode.Reserve6, BYTE_1, 0, 0, 0, CONTROL_USAGE),
    access: 'nothing',
    effect: 'unit',
    execute: reserve,
  },
  {
    name: 'RELEASE(6)',
    opcode: Opcode.Release6,
    usage: Uint8Array.of(Opcode.Release6, BYTE_1, 0, 0, 0, CONTROL_USAGE),
    access: 'nothing',
    effect: 'unit',
    execute: release,
  },
  {
    name: 'RESERVE(10)',
    opcode: Opcode.Reserve10,
    usage: Uint8Array.of(Opcode.Reserve10, BYTE_1, 0, 0, 0, 0, 0, 0, 0, CONTROL_USAGE),
    access: 'nothing',
    effect: 'unit',
    execute: reserve,
  },
  {
    name: 'RELEASE(10)',
    opcode: Opcode.Release10,
    usage: Uint8Array.of(Opcode.Release10, BYTE_1, 0, 0, 0, 0, 0, 0, 0, CONTROL_USAGE),
    access: 'nothing',
    effect: 'unit',
    execute: release,
  },
]
