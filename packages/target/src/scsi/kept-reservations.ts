/** What of a unit's persistent reservations outlasts the server (APTPL), and who keeps it. */
import type { ReservationType } from '@platter/protocol/scsi'
import type { IoCompletion } from '../volume/volume.ts'

export interface KeptRegistration {
  readonly initiatorPort: string
  readonly key: bigint
  readonly allTargetPorts: boolean
}

/** Registrations, at least one, and the reservation there may be. */
export interface KeptReservations {
  readonly registrations: readonly KeptRegistration[]
  readonly reservation: {
    readonly type: ReservationType
    /** The initiator port that holds it, which is registered; null when all registrants do. */
    readonly holder: string | null
  } | null
}

/** Keeps the reservations of one unit, so that a loss of power or a kill does not end them. */
export interface ReservationKeeper {
  /** What was kept when the server started; null for nothing. */
  readonly kept: KeptReservations | null
  /**
   * Keeps `reservations` in the place of what was kept before; the completion is called when they are
   * durable, in the order of the calls. After an error it is open what the next start will find.
   */
  keep(reservations: KeptReservations | null, completion: IoCompletion): void
}
