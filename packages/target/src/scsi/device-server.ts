/**
 * The SCSI target device: finds the logical unit and the command of each task, and tells every nexus
 * what happened to its units. What the commands do is in commands/.
 */
import {
  capacityChangedUnitAttention,
  commandsClearedByTransportUnitAttention,
  commandsClearedUnitAttention,
  decodeLun,
  invalidFieldInCdb,
  invalidMessage,
  logicalUnitNotSupported,
  noSense,
  Opcode,
  resetUnitAttention,
  SenseKey,
  Status,
  senseOf,
  writeProtected,
} from '@platter/protocol/scsi'
import type { Command } from './command.ts'
import { fail } from './command.ts'
import { findCommand, unknownCommand } from './command-table.ts'
import { type LogicalUnit, TRANSFER_MAX_BYTES } from './logical-unit.ts'
import { ScsiNexus, sees, type ViewOf } from './nexus.ts'
import type { Access } from './reservations.ts'
import { senseIfForbidden } from './revocation.ts'
import {
  type Nexus,
  type NexusTransport,
  type PendingEvent,
  type ScsiTask,
  TaskAttribute,
  type TaskExecutor,
  type TaskManagementOutcome,
} from './scsi-task.ts'

const NACA = 0x04

export class DeviceServer implements TaskExecutor {
  readonly dataOutMaxBytes = TRANSFER_MAX_BYTES
  readonly #nexuses = new Set<ScsiNexus>()
  readonly #viewOf: ViewOf

  constructor(viewOf: ViewOf) {
    this.#viewOf = viewOf
  }

  /**
   * `ViewOf` may answer otherwise now: asks again for every nexus, and tells those for which it does.
   * `done` is called when nothing is under way any more that is not allowed now.
   */
  viewsChanged(done: () => void): void {
    let waiting = 1
    const settled = () => {
      waiting--
      if (waiting === 0) done()
    }
    for (const nexus of this.#nexuses) {
      waiting++
      nexus.look(this.#viewOf(nexus.initiatorPort))
      nexus.failTasks((task) => senseIfForbidden(task, nexus), settled)
    }
    settled()
  }

  /**
   * Ends the registrations and reservations of `unit` whose initiator ports do not see it any more. `done`
   * is called when that is durable; if it cannot be made so, to be called again after a restart mends it.
   */
  endForeignReservations(unit: LogicalUnit, done: () => void): void {
    const { reservations, reservationKeeper } = unit
    const { outlastsPower } = reservations
    const attentions = reservations.removePorts((port) => !sees(this.#viewOf(port), unit))
    if (attentions === null) {
      done()
      return
    }
    for (const nexus of this.#nexuses) {
      const attention = attentions.get(nexus.initiatorPort)
      if (attention !== undefined) nexus.raise(unit, attention)
    }
    if (reservationKeeper === null || !outlastsPower) done()
    else reservationKeeper.keep(reservations.toKeep(), { ioCompleted: done })
  }

  /** The volume of `unit` has grown: takes its new size over, and tells every nexus. */
  capacityChanged(unit: LogicalUnit): void {
    unit.refreshCapacity()
    for (const nexus of this.#nexuses) nexus.announce(unit, capacityChangedUnitAttention)
  }

  /** Without a `transport` nothing of the nexus can be aborted by another. */
  openNexus(initiatorPort: string, transport?: NexusTransport): Nexus {
    const nexus = new ScsiNexus(initiatorPort, this.#viewOf, this.#nexuses, transport)
    this.#nexuses.add(nexus)
    return nexus
  }

  closeNexus(nexus: Nexus): void {
    this.#nexuses.delete(nexus as ScsiNexus)
    for (const unit of (nexus as ScsiNexus).units.values()) unit.reservations.endReserve(nexus)
  }

  execute(task: ScsiTask): void {
    const nexus = task.nexus as ScsiNexus
    const unit = nexus.units.get(decodeLun(task.lunBuffer, task.lunPosition))
    const command = findCommand(task.cdb, task.cdbPosition)
    if (unit === undefined) {
      executeWithoutUnit(task, command, nexus)
      return
    }
    task.unit = unit
    if (nexus.hasAttention(unit) && command?.passesUnitAttention !== true) {
      const attention = nexus.takeAttention(unit)
      if (attention) {
        // What it tells of may have ended tasks: no response of theirs may come after it.
        task.isFenced = true
        fail(task, attention)
        return
      }
    }
    if (command === undefined) fail(task, unknownCommand(task.cdb, task.cdbPosition))
    else if (hasNaca(task, command)) failNaca(task, command)
    else if (unit.reservations.isReserved && isForbidden(task, command, unit)) {
      task.finish(Status.ReservationConflict)
    } else if (command.effect !== 'none' && isProtected(command, unit, nexus)) {
      fail(task, writeProtected)
    } else if (!unit.sanitizer.isIdle && isSanitized(task, command, unit)) {
      fail(task, unit.sanitizer.obstacle ?? noSense)
    } else if (unit.taskSet.enableFree(task)) begin(task, command, unit, nexus)
    else enable(task, command, unit, nexus)
  }

  aborted(task: ScsiTask): void {
    // A Volume's answer to it ends at `awaitIo`; its blocks are its own until `ended`.
    task.state = null
  }

  connectionLost(task: ScsiTask): void {
    const unit = task.unit as LogicalUnit | null
    const nexus = task.nexus as ScsiNexus
    if (unit !== null) nexus.raise(unit, commandsClearedByTransportUnitAttention)
  }

  dataFailed(task: ScsiTask, additionalSense: number): void {
    task.state = null
    fail(task, senseOf(SenseKey.AbortedCommand, additionalSense))
  }

  ended(task: ScsiTask): void {
    const unit = task.unit as LogicalUnit | null
    if (unit === null) return
    unit.taskSet.leave(task)
    unit.blockAccess.leave(task)
    unit.dataOutBudget.release(task)
    ;(task.nexus as ScsiNexus).taskEnded(task)
    if (unit.sanitizer.waiter === task) unit.sanitizer.waiter = null
  }

  hasUnit(nexus: Nexus, lun: Buffer): boolean {
    return (nexus as ScsiNexus).units.has(decodeLun(lun, 0))
  }

  isForUnit(task: ScsiTask, nexus: Nexus, lun: Buffer): boolean {
    const unit = (nexus as ScsiNexus).units.get(decodeLun(lun, 0))
    const { units } = task.nexus as ScsiNexus
    return unit !== undefined && unit === units.get(decodeLun(task.lunBuffer, task.lunPosition))
  }

  isVisible(task: ScsiTask, nexus: Nexus): boolean {
    const unit = (task.nexus as ScsiNexus).unitOf(task)
    return unit !== undefined && (nexus as ScsiNexus).sees(unit)
  }

  resetLogicalUnit(nexus: Nexus, lun: Buffer): TaskManagementOutcome {
    const unit = (nexus as ScsiNexus).units.get(decodeLun(lun, 0))
    if (unit === undefined) return 'lun-does-not-exist'
    this.#reset(unit)
    return 'complete'
  }

  taskSetCleared(nexus: Nexus, lun: Buffer, cleared: Iterable<Nexus>): void {
    const unit = (nexus as ScsiNexus).units.get(decodeLun(lun, 0))
    if (unit === undefined) return
    for (const other of cleared) {
      if (other !== nexus) (other as ScsiNexus).raise(unit, commandsClearedUnitAttention)
    }
  }

  pendingEvent(nexus: Nexus, lun: Buffer): PendingEvent | undefined {
    const unit = (nexus as ScsiNexus).units.get(decodeLun(lun, 0))
    if (unit === undefined) return undefined
    const [oldest, ...more] = (nexus as ScsiNexus).attentionsOf(unit)
    if (oldest === undefined) return undefined
    return { more: more.length > 0, ...oldest }
  }

  resetTarget(nexus: Nexus): TaskManagementOutcome {
    for (const unit of (nexus as ScsiNexus).units.values()) this.#reset(unit)
    return 'complete'
  }

  /** Every nexus is told (SAM-5 section 6.3), and so are all paths of the host that asked for it. */
  #reset(unit: LogicalUnit): void {
    unit.reset()
    for (const nexus of this.#nexuses) {
      nexus.copies.delete(unit)
      nexus.raise(unit, resetUnitAttention)
    }
  }
}

function begin(task: ScsiTask, command: Command, unit: LogicalUnit, nexus: ScsiNexus): void {
  if (command.accessesBlocks !== true || unit.blockAccess.enterFree(task)) {
    command.execute(task, unit, nexus)
  } else enterBlocks(task, command, unit, nexus)
}

/** For a task with an attribute that means something, or beside one. */
function enable(task: ScsiTask, command: Command, unit: LogicalUnit, nexus: ScsiNexus): void {
  if (task.attribute === TaskAttribute.Other) fail(task, invalidMessage)
  else unit.taskSet.enable(task, () => begin(task, command, unit, nexus))
}

/** Apart from `begin`, which would make room for what the closure holds with every command. */
function enterBlocks(task: ScsiTask, command: Command, unit: LogicalUnit, nexus: ScsiNexus): void {
  const proceed = () => command.execute(task, unit, nexus)
  if (unit.blockAccess.enter(task, proceed)) proceed()
}

function executeWithoutUnit(task: ScsiTask, command: Command | undefined, nexus: ScsiNexus): void {
  if (command?.executeWithoutUnit === undefined) fail(task, logicalUnitNotSupported)
  else if (hasNaca(task, command)) failNaca(task, command)
  else command.executeWithoutUnit(task, nexus)
}

/** Whether a reservation of another nexus stands in the command's way. */
function isForbidden(task: ScsiTask, command: Command, unit: LogicalUnit): boolean {
  return !unit.reservations.allows(task.nexus, accessOf(task, command))
}

/** Whether the unit, or this nexus's part in it, is not to be changed. */
function isProtected({ effect }: Command, unit: LogicalUnit, nexus: ScsiNexus): boolean {
  return nexus.isReadOnly(unit) || (effect === 'blocks' && unit.writeProtected)
}

function accessOf(task: ScsiTask, { access }: Command): Access {
  return typeof access === 'string' ? access : access(task.cdb, task.cdbPosition)
}

/** Whether a sanitize operation, in progress or failed, stands in the command's way. */
function isSanitized(task: ScsiTask, command: Command, unit: LogicalUnit): boolean {
  const { sanitizer } = unit
  if (sanitizer.obstacle === null) {
    const mayWrite = accessOf(task, command) === 'change' && command.opcode !== Opcode.Sanitize
    if (mayWrite) sanitizer.written()
    return false
  }
  if (command.passesUnitAttention === true) return false
  return !(command.opcode === Opcode.Sanitize && sanitizer.hasFailed)
}

/** NACA asks for auto contingent allegiance, which is not supported (SAM-5 section 5.2). */
function hasNaca(task: ScsiTask, command: Command): boolean {
  return (task.cdb.readUInt8(task.cdbPosition + command.usage.length - 1) & NACA) !== 0
}

function failNaca(task: ScsiTask, command: Command): void {
  fail(task, invalidFieldInCdb(command.usage.length - 1, 2))
}
