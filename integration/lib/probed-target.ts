/** A server with one LUN, and sessions with it in which a test holds every PDU in its hands. */
import { join } from 'node:path'
import { askAdminOk } from './admin-api.ts'
import { noise } from './attacked-target.ts'
import { temporaryDirectory } from './cleanup.ts'
import { type LoginOptions, RawConnection } from './raw-connection.ts'
import { type PartitionInfo, TargetProcess } from './target-process.ts'
import { WireInitiator, type WireSession } from './wire-initiator.ts'

const KiB = 1024
const MiB = 1024 * KiB
/** All that a write may be answered with is R2Ts: no data come unasked. */
export const solicitedOnly = { InitialR2T: 'Yes', ImmediateData: 'No' }

export class ProbedTarget {
  readonly process: TargetProcess
  readonly targetName: string
  readonly lun: number
  /** What the LUN holds at its start. */
  readonly content = noise(1, 64 * KiB)
  #isid = 1

  private constructor(process: TargetProcess, targetName: string, lun: number) {
    this.process = process
    this.targetName = targetName
    this.lun = lun
  }

  /** `flags` are for `platterd serve`. */
  static async start(flags: readonly string[] = []): Promise<ProbedTarget> {
    const process = await TargetProcess.start(temporaryDirectory(), flags)
    const { stateDirectory } = process
    const path = join(temporaryDirectory(), 'disk')
    const array = { name: 'array', level: 'raid0', disks: [path], chunkSizeBytes: 64 * KiB }
    const partition = { array: 'array', name: 'probed', sizeBytes: 8 * MiB, host: '*' }
    await askAdminOk(stateDirectory, 'POST', '/api/v1/disks/create', { path, sizeBytes: 32 * MiB })
    await askAdminOk(stateDirectory, 'POST', '/api/v1/arrays', array)
    const { grants } = await askAdminOk<PartitionInfo>(
      stateDirectory,
      'POST',
      '/api/v1/partitions',
      partition,
    )
    const lun = grants[0]?.lun ?? -1
    const { targetName } = await askAdminOk<{ targetName: string }>(
      stateDirectory,
      'GET',
      '/api/v1/status',
    )
    const target = new ProbedTarget(process, targetName, lun)
    const initiator = await target.logIn({ ImmediateData: 'Yes' })
    initiator.write(0, target.content.length, { data: target.content })
    const response = await initiator.receive()
    if (response.status !== 0) throw new Error(`the first write got status ${response.status}`)
    initiator.close()
    return target
  }

  /** A Normal session whose first command, which gets the unit attention of a new nexus, is over. */
  async logIn(keys: Readonly<Record<string, string>> = {}): Promise<WireInitiator> {
    const { targetName } = this
    const initiator = await this.#open({ targetName, keys, isid: this.#isid++ })
    await initiator.alive()
    return initiator
  }

  /** A discovery session. */
  discover(keys: Readonly<Record<string, string>> = {}): Promise<WireInitiator> {
    return this.#open({ keys, isid: this.#isid++ })
  }

  /** A further connection of the session that `leading` belongs to. */
  async join(leading: WireInitiator, cid: number): Promise<WireInitiator> {
    const { port } = this.process
    const { session } = leading
    const { isid, tsih, cmdSN } = session
    const options = { targetName: this.targetName, isid, tsih, cid, cmdSN }
    return new WireInitiator(await RawConnection.logIn(port, options), this.lun, session)
  }

  /** The connections of one session, `count` of them, with the CIDs from 0 on. */
  async logInOn(
    count: number,
    keys: Readonly<Record<string, string>> = {},
  ): Promise<WireInitiator[]> {
    const leading = await this.logIn({ ...keys, MaxConnections: `${count}` })
    const connections = [leading]
    for (let cid = 1; cid < count; cid++) connections.push(await this.join(leading, cid))
    return connections
  }

  /** Waits until the server has no more than `count` connections of this session. */
  async hasConnections({ tsih }: WireSession, count: number): Promise<void> {
    for (;;) {
      const sessions = await askAdminOk<{ tsih: number; connections: readonly unknown[] }[]>(
        this.process.stateDirectory,
        'GET',
        '/api/v1/sessions',
      )
      const session = sessions.find((session) => session.tsih === tsih)
      if ((session?.connections.length ?? 0) <= count) return
    }
  }

  async #open(options: LoginOptions & { readonly isid: number }): Promise<WireInitiator> {
    const connection = await RawConnection.logIn(this.process.port, options)
    const { isid } = options
    const session = { isid, tsih: connection.tsih, cmdSN: 1, taskTag: 1 }
    return new WireInitiator(connection, this.lun, session)
  }

  /** What the LUN holds from byte `offset` on. */
  async contentAt(offset: number, length: number): Promise<Buffer> {
    const initiator = await this.logIn()
    initiator.read(offset, length)
    const parts = await initiator.receiveToStatus()
    initiator.close()
    return Buffer.concat(parts.map(({ data }) => data))
  }
}
