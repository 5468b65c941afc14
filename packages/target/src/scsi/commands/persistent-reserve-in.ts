/** PERSISTENT RESERVE IN (SPC-4 section 6.15): who has registered, and what is reserved. */
import {
  decodePersistentReserveInCdb,
  encodeReadFullStatus,
  encodeReadKeys,
  encodeReadReservation,
  encodeReservationCapabilities,
  Opcode,
  PersistentReserveIn,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'

function readKeys({ reservations }: LogicalUnit): Buffer {
  const keys = reservations.registrations().map(({ key }) => key)
  return encodeReadKeys(reservations.generation, keys)
}

function readReservation({ reservations }: LogicalUnit): Buffer {
  const { generation, holderKey, type } = reservations
  return encodeReadReservation(generation, type && { key: holderKey, type })
}

function reportCapabilities({ reservations, reservationKeeper }: LogicalUnit): Buffer {
  return encodeReservationCapabilities({
    compatibleReservations: true,
    specifyInitiatorPorts: true,
    allTargetPorts: true,
    persistThroughPowerLoss: reservationKeeper !== null,
    persistActive: reservations.outlastsPower,
  })
}

function readFullStatus({ reservations }: LogicalUnit): Buffer {
  return encodeReadFullStatus(reservations.generation, reservations.registrations())
}

function command(
  name: string,
  serviceAction: number,
  encode: (unit: LogicalUnit) => Buffer,
): Command {
  return {
    name: `PERSISTENT RESERVE IN (${name})`,
    opcode: Opcode.PersistentReserveIn,
    serviceAction,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.PersistentReserveIn, serviceAction, 0, 0, 0, 0, 0, 255, 255, CONTROL_USAGE),
    access: 'reservation',
    effect: 'none',
    execute: (task, unit) => {
      const { allocationLength } = decodePersistentReserveInCdb(task.cdb, task.cdbPosition)
      sendParameterData(task, encode(unit), allocationLength)
    },
  }
}

export const persistentReserveInCommands: readonly Command[] = [
  command('READ KEYS', PersistentReserveIn.ReadKeys, readKeys),
  command('READ RESERVATION', PersistentReserveIn.ReadReservation, readReservation),
  command('REPORT CAPABILITIES', PersistentReserveIn.ReportCapabilities, reportCapabilities),
  command('READ FULL STATUS', PersistentReserveIn.ReadFullStatus, readFullStatus),
]
