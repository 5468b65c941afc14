/** Hosts that register with and reserve one unit, in few words. */
import {
  decodeReadKeys,
  decodeReadReservation,
  encodePersistentReserveInCdb,
  encodePersistentReserveOutCdb,
  encodeReserveParameters,
  PersistentReserveIn,
  PersistentReserveOut,
} from '@platter/protocol/scsi'
import type { DeviceServer } from '../../src/scsi/device-server.ts'
import type { ReservationKeeper } from '../../src/scsi/kept-reservations.ts'
import { LogicalUnit } from '../../src/scsi/logical-unit.ts'
import type { Nexus, NexusTransport } from '../../src/scsi/scsi-task.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { cdbOf, run, verdict } from './scsi-run.ts'
import { ShownUnits } from './shown-units.ts'

export interface OutOptions {
  readonly key?: bigint
  readonly newKey?: bigint
  readonly type?: number
  readonly scope?: number
  readonly aptpl?: boolean
  readonly allTargetPorts?: boolean
  readonly specifyInitiatorPorts?: boolean
  /** Instead of the list that the other options make. */
  readonly list?: Buffer
  readonly listLength?: number
}

export class Host {
  readonly server: DeviceServer
  readonly nexus: Nexus

  constructor(server: DeviceServer, name: string, transport?: NexusTransport) {
    this.server = server
    this.nexus = server.openNexus(`iqn.2024-01.org.example:${name},i,0x400000010000`, transport)
  }

  async exec(cdb: ArrayLike<number>, dataOut: Buffer = Buffer.alloc(0)): Promise<string> {
    return verdict(await run(this.server, { nexus: this.nexus, cdb, dataOut }))
  }

  async data(cdb: ArrayLike<number>): Promise<Buffer> {
    const { data } = await run(this.server, { nexus: this.nexus, cdb })
    if (data === undefined) throw new Error('no data')
    return data
  }

  out(action: keyof typeof PersistentReserveOut, options: OutOptions = {}): Promise<string> {
    const list =
      options.list ??
      encodeReserveParameters({
        reservationKey: options.key ?? 0n,
        serviceActionReservationKey: options.newKey ?? 0n,
        specifyInitiatorPorts: options.specifyInitiatorPorts ?? false,
        allTargetPorts: options.allTargetPorts ?? false,
        persistThroughPowerLoss: options.aptpl ?? false,
      })
    const cdb = cdbOf((bytes, at) =>
      encodePersistentReserveOutCdb(bytes, at, {
        serviceAction: PersistentReserveOut[action],
        scope: options.scope ?? 0,
        type: options.type ?? 0,
        parameterListLength: options.listLength ?? list.length,
      }),
    )
    return this.exec(cdb, list)
  }

  in(action: keyof typeof PersistentReserveIn, allocationLength = 1024): Promise<Buffer> {
    return this.data(
      cdbOf((bytes, at) =>
        encodePersistentReserveInCdb(bytes, at, {
          serviceAction: PersistentReserveIn[action],
          allocationLength,
        }),
      ),
    )
  }

  /** Generation and keys. */
  async keys(): Promise<[number, ...bigint[]]> {
    const { generation, keys } = decodeReadKeys(await this.in('ReadKeys'))
    return [generation, ...keys]
  }

  /** The holder's key and type. */
  async held(): Promise<[bigint, number] | undefined> {
    const { held } = decodeReadReservation(await this.in('ReadReservation'))
    return held && [held.key, held.type]
  }
}

export function makeUnit(reservationKeeper?: ReservationKeeper): LogicalUnit {
  return new LogicalUnit({
    volume: new MemoryVolume('array/p', 64 * 1024, 512),
    uuid: '7b2d6f0a-5d0e-4c8f-9a11-000000000001',
    name: 'p',
    ...(reservationKeeper && { reservationKeeper }),
  })
}

/** One unit, and hosts that have heard of its power on. */
export async function hosts(...names: string[]): Promise<Host[]> {
  const server = new ShownUnits()
  server.addUnit(0, makeUnit())
  const all = names.map((name) => new Host(server, name))
  for (const host of all) await host.exec([0])
  return all
}
