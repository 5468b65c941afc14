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
  decodeTransportIdList,
  internalTargetFailure,
  invalidFieldInCdb,
  invalidFieldInParameterList,
  isReservationType,
  Opcode,
  PersistentReserveOut,
  type PersistentReserveOutCdb,
  parameterListLengthError,
  RESERVE_PARAMETERS_LENGTH,
  type ReservationType,
  Status,
  TRANSPORT_IDS_LENGTH_BYTES,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ReservationChange } from '../reservations.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { RELATIVE_TARGET_PORT } from '../target-port.ts'

/** The longest iSCSI TransportID. */
const TRANSPORT_ID_MAX = 248
/** TransportIDs that one REGISTER may bring; more could not be registered anyway. */
const TRANSPORT_IDS_MAX = 255
/** The longest list of each service action that has more than the usual one. */
const lengthMax: Readonly<Record<number, number>> = {
  [PersistentReserveOut.Register]:
    RESERVE_PARAMETERS_LENGTH + TRANSPORT_IDS_LENGTH_BYTES + TRANSPORT_IDS_MAX * TRANSPORT_ID_MAX,
  [PersistentReserveOut.RegisterAndMove]: RESERVE_PARAMETERS_LENGTH + TRANSPORT_ID_MAX,
}

const Action = PersistentReserveOut
const conflict: ReservationChange = { outcome: 'conflict' }

function persistentReserveOut(task: ScsiTask): void {
  const fields = decodePersistentReserveOutCdb(task.cdb, task.cdbPosition)
  const { serviceAction, parameterListLength } = fields
  const most = lengthMax[serviceAction] ?? RESERVE_PARAMETERS_LENGTH
  if (parameterListLength < RESERVE_PARAMETERS_LENGTH || parameterListLength > most) {
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
  const change =
    fields.serviceAction === Action.RegisterAndMove
      ? move(unit, nexus, task.dataOut)
      : carryOut(unit, nexus, fields, task.dataOut)
  if (change.outcome === 'conflict') task.finish(Status.ReservationConflict)
  else if (change.outcome !== 'done') fail(task, change.outcome)
  else {
    for (const peer of nexus.peers) {
      const attention = change.attentions?.get(peer.initiatorPort)
      if (attention !== undefined) peer.raise(unit, attention)
    }
    if (fields.serviceAction === Action.PreemptAndAbort) abortPreempted(task, unit, change)
    else keep(task, null)
  }
}

/** GOOD waits until what is to outlast the server is durable. */
function keep(task: ScsiTask, _error: VolumeError | null): void {
  const { reservations, reservationKeeper } = task.unit as LogicalUnit
  const { serviceAction } = decodePersistentReserveOutCdb(task.cdb, task.cdbPosition)
  // Without APTPL only what sets it can change what is kept: to nothing.
  if (reservationKeeper === null || !(reservations.outlastsPower || setsAptpl(serviceAction))) {
    task.finish(Status.Good)
    return
  }
  task.next = kept
  reservationKeeper.keep(reservations.toKeep(), task.awaitIo())
}

/** What has changed is in force, if it cannot be made durable either: the host is told to ask again. */
function kept(task: ScsiTask, error: VolumeError | null): void {
  if (error === null) task.finish(Status.Good)
  else fail(task, internalTargetFailure)
}

function setsAptpl(serviceAction: number): boolean {
  return (
    serviceAction === Action.Register ||
    serviceAction === Action.RegisterAndIgnoreExistingKey ||
    serviceAction === Action.RegisterAndMove
  )
}

function carryOut(
  unit: LogicalUnit,
  nexus: ScsiNexus,
  fields: PersistentReserveOutCdb,
  list: Buffer,
): ReservationChange {
  const { reservations } = unit
  const { initiatorPort: port } = nexus
  const { serviceAction } = fields
  const parameters = decodeReserveParameters(list)
  const { serviceActionReservationKey: key } = parameters
  const registers = serviceAction === Action.Register
  if (registers && parameters.specifyInitiatorPorts) return registerPorts(unit, nexus, list)
  if (list.length !== RESERVE_PARAMETERS_LENGTH) return { outcome: parameterListLengthError }
  if (parameters.specifyInitiatorPorts) return { outcome: invalidFieldInParameterList }
  const registered = reservations.keyOf(port)
  if (registers || serviceAction === Action.RegisterAndIgnoreExistingKey) {
    if (registers && (registered ?? 0n) !== parameters.reservationKey) return conflict
    const { allTargetPorts, persistThroughPowerLoss: outlastsPower } = parameters
    if (!canKeep(unit, outlastsPower)) return { outcome: invalidFieldInParameterList }
    return reservations.register(port, { key, allTargetPorts, outlastsPower })
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

function canKeep(unit: LogicalUnit, outlastsPower: boolean): boolean {
  return !outlastsPower || unit.reservationKeeper !== null
}

/** REGISTER with SPEC_I_PT: `port`, not registered yet, and all those listed as well (SPC-4 section 5.12.7). */
function registerPorts(unit: LogicalUnit, nexus: ScsiNexus, list: Buffer): ReservationChange {
  const { reservations } = unit
  const { initiatorPort: port } = nexus
  const parameters = decodeReserveParameters(list)
  const registered = reservations.keyOf(port)
  if ((registered ?? 0n) !== parameters.reservationKey) return conflict
  if (registered !== undefined) return { outcome: invalidFieldInCdb(1, 4) }
  const ids = decodeTransportIdList(list.subarray(RESERVE_PARAMETERS_LENGTH))
  if (ids === 'cut') return { outcome: parameterListLengthError }
  const { allTargetPorts, persistThroughPowerLoss: outlastsPower } = parameters
  const others = ids === undefined ? [undefined] : ids.map(decodeTransportId)
  const wrong = others.some(
    (other) =>
      other === undefined ||
      reservations.keyOf(other) !== undefined ||
      !nexus.isSeenBy(other, unit),
  )
  if (wrong || !canKeep(unit, outlastsPower)) return { outcome: invalidFieldInParameterList }
  const { serviceActionReservationKey: key } = parameters
  if (key === 0n) return { outcome: 'done' }
  return reservations.registerAll([port, ...(others as string[])], {
    key,
    allTargetPorts,
    outlastsPower,
  })
}

function move(unit: LogicalUnit, nexus: ScsiNexus, list: Buffer): ReservationChange {
  const { reservations } = unit
  const { initiatorPort: port } = nexus
  const parameters = decodeMoveParameters(list)
  const registered = reservations.keyOf(port)
  if (registered === undefined || registered !== parameters.reservationKey) return conflict
  if (reservations.type === undefined) return { outcome: invalidFieldInCdb(1, 4) }
  const to = decodeTransportId(parameters.transportId)
  const { serviceActionReservationKey: key, relativeTargetPort, unregister } = parameters
  const { persistThroughPowerLoss: outlastsPower } = parameters
  const wellFormed =
    to !== undefined &&
    to !== port &&
    nexus.isSeenBy(to, unit) &&
    key !== 0n &&
    relativeTargetPort === RELATIVE_TARGET_PORT
  if (!wellFormed || !canKeep(unit, outlastsPower)) {
    return { outcome: invalidFieldInParameterList }
  }
  return reservations.move(port, to, { key, outlastsPower, unregister })
}

/** GOOD waits until nothing of the preempted nexuses can reach the medium any more. */
function abortPreempted(task: ScsiTask, unit: LogicalUnit, change: ReservationChange): void {
  task.next = keep
  // Nothing that the tasks were answered before may come after GOOD.
  task.isFenced = true
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
    effect: 'unit',
    execute: persistentReserveOut,
  }),
)
