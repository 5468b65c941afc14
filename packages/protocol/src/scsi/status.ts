/** SCSI status codes (SAM-5 section 5.3.1). */
export const Status = {
  Good: 0x00,
  CheckCondition: 0x02,
  ConditionMet: 0x04,
  Busy: 0x08,
  ReservationConflict: 0x18,
  TaskSetFull: 0x28,
  AcaActive: 0x30,
  TaskAborted: 0x40,
} as const
export type Status = (typeof Status)[keyof typeof Status]

const names = new Map<number, string>([
  [Status.Good, 'GOOD'],
  [Status.CheckCondition, 'CHECK CONDITION'],
  [Status.ConditionMet, 'CONDITION MET'],
  [Status.Busy, 'BUSY'],
  [Status.ReservationConflict, 'RESERVATION CONFLICT'],
  [Status.TaskSetFull, 'TASK SET FULL'],
  [Status.AcaActive, 'ACA ACTIVE'],
  [Status.TaskAborted, 'TASK ABORTED'],
])

/** The standard's name of a status, or its number for one that is not in the standard. */
export function formatStatus(status: number): string {
  return names.get(status) ?? `status ${status.toString(16).padStart(2, '0')}h`
}
