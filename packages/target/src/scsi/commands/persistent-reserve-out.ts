/**
 * PERSISTENT RESERVE OUT (SPC-4 section 6.16): checks what is asked for, has `Reservations` do it, and
 * tells the nexuses that it concerns.
 */
import {
  commandsClearedUnitAttention,
  decodeMoveParameters,
  decodePersistentReserveOutCdb,
  decodeReserveParameters,
  decodeTransportId,
  invalidFieldInCdb,
  invalidFieldInParameterList,
  isReservationType,
  Opcode,
  PersistentReserveOut,
  type PersistentReserveOutCdb,
  parameterListLengthError,
  RESERVE_PARAMETERS_LENGTH,
  type ReservationType,
  type ReserveParameters,
  Status,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ReservationChange } from '../reservations.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { RELATIVE_TARGET_PORT } from '../target-port.ts'

/** The longest list that is taken: REGISTER AND MOVE with the longest iSCSI TransportID. */
const LIST_LENGTH_MAX = RESERVE_PARAMETERS_LENGTH + 248

const Action = PersistentReserveOut
const conflict: ReservationChange = { outcome: 'conflict' }

function persistentReserveOut(task: ScsiTask): void {
  const fields = decodePersistentReserveOutCdb(task.cdb, task.cdbPosition)
  const { serviceAction, parameterListLength } = fields
  const fits =
    serviceAction === Action.RegisterAndMove
      ? parameterListLength >= RESERVE_PARAMETERS_LENGTH && parameterListLength <= LIST_LENGTH_MAX
      : parameterListLength === RESERVE_PARAMETERS_LENGTH
  if (!fits) {
    fail(task, parameterListLengthError)
    return
  }
  task.next = received
  task.receiveData(parameterListLength)
}

function received(task: ScsiTask): void {
  const fields = decodePersistentReserveOutCdb(task.cdb, task.cdbPosition)
  const unit = task.unit as LogicalUnit
  const nexus = task.nexus as ScsiNexus
  if (task.dataOut.length < fields.parameterListLength) {
    fail(task, parameterListLengthError)
    return
  }
  // The reservations may have changed while the parameters were on their way.
  if (!unit.reservations.allows(nexus, 'reservation')) {
    task.finish(Status.ReservationConflict)
    return
  }
  const port = nexus.initiatorPort
  const change =
    fields.serviceAction === Action.RegisterAndMove
      ? move(unit, port, task.dataOut)
      : carryOut(unit, port, fields, decodeReserveParameters(task.dataOut))
  if (change.outcome === 'conflict') task.finish(Status.ReservationConflict)
  else if (change.outcome !== 'done') fail(task, change.outcome)
  else {
    for (const peer of nexus.peers) {
      const attention = change.attentions?.get(peer.initiatorPort)
      if (attention !== undefined) peer.raise(unit, attention)
    }
    if (fields.serviceAction === Action.PreemptAndAbort) abortPreempted(task, unit, change)
    else task.finish(Status.Good)
  }
}

function carryOut(
  unit: LogicalUnit,
  port: string,
  fields: PersistentReserveOutCdb,
  parameters: ReserveParameters,
): ReservationChange {
  const { reservations } = unit
  const { serviceAction } = fields
  const { serviceActionReservationKey: key, allTargetPorts } = parameters
  if (parameters.specifyInitiatorPorts) return { outcome: invalidFieldInParameterList }
  const registered = reservations.keyOf(port)
  const registers = serviceAction === Action.Register
  if (registers || serviceAction === Action.RegisterAndIgnoreExistingKey) {
    if (registers && (registered ?? 0n) !== parameters.reservationKey) return conflict
    if (parameters.persistThroughPowerLoss) return { outcome: invalidFieldInParameterList }
    return reservations.register(port, key, allTargetPorts)
  }
  if (registered === undefined || registered !== parameters.reservationKey) return conflict
  if (serviceAction === Action.Clear) return reservations.clear(port)
  const usesType =
    (serviceAction !== Action.Preempt && serviceAction !== Action.PreemptAndAbort) ||
    reservations.preemptsReservation(key)
  if (usesType && fields.scope !== 0) return { outcome: invalidFieldInCdb(2, 7) }
  if (usesType && !isReservationType(fields.type)) return { outcome: invalidFieldInCdb(2, 3) }
  const type = fields.type as ReservationType
  if (serviceAction === Action.Reserve) return reservations.reserve(port, type)
  if (serviceAction === Action.Release) return reservations.release(port, type)
  // Key 0 is nobody's: it stands for the reservation that all registrants hold.
  if (key === 0n && !usesType) return { outcome: invalidFieldInParameterList }
  return reservations.preempt(port, key, type)
}

function move(unit: LogicalUnit, port: string, list: Buffer): ReservationChange {
  const { reservations } = unit
  const parameters = decodeMoveParameters(list)
  const registered = reservations.keyOf(port)
  if (registered === undefined || registered !== parameters.reservationKey) return conflict
  if (reservations.type === undefined) return { outcome: invalidFieldInCdb(1, 4) }
  const to = decodeTransportId(parameters.transportId)
  const { serviceActionReservationKey: key, relativeTargetPort } = parameters
  const wellFormed =
    to !== undefined && to !== port && key !== 0n && relativeTargetPort === RELATIVE_TARGET_PORT
  if (!wellFormed || parameters.persistThroughPowerLoss) {
    return { outcome: invalidFieldInParameterList }
  }
  return reservations.move(port, to, key, parameters.unregister)
}

/** GOOD waits until nothing of the preempted nexuses can reach the medium any more. */
function abortPreempted(task: ScsiTask, unit: LogicalUnit, change: ReservationChange): void {
  task.next = finishGood
  const aborted = task.awaitIo()
  let waiting = 1
  const ended = () => {
    waiting--
    if (waiting === 0) aborted.ioCompleted(null)
  }
  for (const peer of (task.nexus as ScsiNexus).peers) {
    if (change.preempted?.includes(peer.initiatorPort) !== true) continue
    waiting++
    const own = peer === task.nexus
    const count = peer.abortTasks(unit, task, ended)
    if (count > 0 && !own) peer.raise(unit, commandsClearedUnitAttention)
  }
  ended()
}

function finishGood(task: ScsiTask): void {
  task.finish(Status.Good)
}

const names = {
  [Action.Register]: 'REGISTER',
  [Action.Reserve]: 'RESERVE',
  [Action.Release]: 'RELEASE',
  [Action.Clear]: 'CLEAR',
  [Action.Preempt]: 'PREEMPT',
  [Action.PreemptAndAbort]: 'PREEMPT AND ABORT',
  [Action.RegisterAndIgnoreExistingKey]: 'REGISTER AND IGNORE EXISTING KEY',
  [Action.RegisterAndMove]: 'REGISTER AND MOVE',
}

export const persistentReserveOutCommands: readonly Command[] = Object.entries(names).map(
  ([serviceAction, name]) => ({
    name: `PERSISTENT RESERVE OUT (${name})`,
    opcode: Opcode.PersistentReserveOut,
    serviceAction: Number(serviceAction),
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.PersistentReserveOut, Number(serviceAction), 255, 0, 0, 255, 255, 255, 255, CONTROL_USAGE),
    access: 'reservation',
    execute: persistentReserveOut,
  }),
)
