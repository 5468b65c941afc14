/** Runs CDBs on a DeviceServer without a transport, and says briefly how they ended. */
import { setImmediate as turn } from 'node:timers/promises'
import { decodeSense, formatSense, Status } from '@platter/protocol/scsi'
import type { DeviceServer } from '../../src/scsi/device-server.ts'
import type { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import { FakeTask, type FakeTaskOptions, type Outcome } from './fake-task.ts'
import type { HeldVolume } from './held-volume.ts'
import { nexusTransport } from './nexus-transport.ts'
import { ShownUnits } from './shown-units.ts'

export function run(server: DeviceServer, options: FakeTaskOptions): Promise<Outcome> {
  return beginTask(server, options).outcome
}

/** A command that is under way. */
export function beginTask(server: DeviceServer, options: FakeTaskOptions): FakeTask {
  const task = new FakeTask(options)
  task.onEnded = () => server.ended(task)
  server.execute(task)
  return task
}

/** As a transport does that aborts a task of which no operation is under way. */
export function abortTask(server: DeviceServer, task: FakeTask): void {
  task.abort()
  server.aborted(task)
  server.ended(task)
}

/** Everything on the volume goes its way until the task has ended; its verdict. */
export async function finishHeld(volume: HeldVolume, task: FakeTask): Promise<string> {
  for (let turns = 0; task.ended === null && turns < 100; turns++) {
    await turn()
    volume.releaseAll()
  }
  return task.ended === null ? 'under way' : verdict(task.ended)
}

/** GOOD, the status in hex, or the sense codes as in `05/24/00`. */
export function verdict(outcome: Outcome): string {
  if (outcome.sense) {
    return formatSense(decodeSense(outcome.sense)).match(/\w\w\/\w\w\/\w\w/)?.[0] ?? 'no sense'
  }
  return outcome.status === Status.Good ? 'GOOD' : `status ${outcome.status}`
}

/** The 16 bytes that `encode` makes of zeros. */
export function cdbOf(encode: (cdb: Buffer, position: number) => void): Buffer {
  const cdb = Buffer.alloc(16)
  encode(cdb, 0)
  return cdb
}

export type Execute = (
  cdb: ArrayLike<number>,
  dataOut?: Buffer,
  segmentBytes?: number,
) => Promise<Outcome>

/** One unit at LUN 0 of a server, and a nexus that has heard of its power on. */
export async function serve(unit: LogicalUnit): Promise<Execute> {
  const server = new ShownUnits()
  server.addUnit(0, unit)
  const nexus = server.openNexus('iqn.2024-01.org.example:a,i,0x1', nexusTransport())
  const execute: Execute = (cdb, dataOut = Buffer.alloc(0), segmentBytes = 65536) =>
    run(server, { nexus, cdb, dataOut, segmentBytes })
  await execute([0])
  return execute
}
