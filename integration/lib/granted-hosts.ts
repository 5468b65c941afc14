/** A server with two hosts, a and b, and partitions that all, both or one of them may use. */
import { join } from 'node:path'
import { askAdminOk } from './admin-api.ts'
import { setSecret } from './authenticating-target.ts'
import { ChapWire, type Host } from './chap-wire.ts'
import { temporaryDirectory } from './cleanup.ts'
import { flatLun } from './foreign-requests.ts'
import { toFullFeature } from './login-wire.ts'
import { RawConnection } from './raw-connection.ts'
import { TargetProcess } from './target-process.ts'

const KiB = 1024
const MiB = 1024 * KiB
const testUnitReady = Buffer.alloc(16)
const reportLuns = Buffer.from([0xa0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0])

/** Which hosts have a partition, `*` being all of them, and by which LUN. */
const partitions: Readonly<Record<string, { lun: number; hosts: readonly string[] }>> = {
  common: { lun: 0, hosts: ['*'] },
  a: { lun: 1, hosts: ['a'] },
  b: { lun: 1, hosts: ['b'] },
  near: { lun: 2, hosts: ['b'] },
  both: { lun: 5, hosts: ['a', 'b'] },
  far: { lun: 300, hosts: ['b'] },
}

export function nameOf(host: string): string {
  return host === '*' ? '*' : `iqn.2026-11.org.platter:${host}`
}

function authenticatedHost(host: string): Host {
  return { initiatorName: nameOf(host), user: host, secret: `the secret of ${host}` }
}

/** The initiator port of a session, as a TransportID names it. */
export function portOf(host: string, isid: number): string {
  return `${nameOf(host)},i,0x8000000000${isid.toString(16).padStart(2, '0')}`
}

/** What REPORT LUNS lists. */
export async function lunsOf(connection: RawConnection): Promise<number[]> {
  const { data } = await connection.command(0, reportLuns, 512)
  const count = data.readUInt32BE(0) / 8
  return Array.from({ length: count }, (_, index) => data.readUInt16BE(8 + 8 * index) & 0x3fff)
}

export class GrantedHosts {
  readonly target: TargetProcess
  readonly targetName: string
  readonly #authenticated: boolean

  private constructor(target: TargetProcess, targetName: string, authenticated: boolean) {
    this.target = target
    this.targetName = targetName
    this.#authenticated = authenticated
  }

  /** Authenticated hosts have a secret each, and nobody gets in without one. */
  static async start({ authenticated = false } = {}): Promise<GrantedHosts> {
    const flags = authenticated ? ['--min-auth', 'chap'] : []
    const target = await TargetProcess.start(temporaryDirectory(), flags)
    const status = await askAdminOk<{ targetName: string }>(
      target.stateDirectory,
      'GET',
      '/api/v1/status',
    )
    const started = new GrantedHosts(target, status.targetName, authenticated)
    await started.#makePartitions()
    if (authenticated) {
      for (const { initiatorName, user, secret } of ['a', 'b'].map(authenticatedHost)) {
        await setSecret(target, { host: initiatorName, user, secret, mutual: false })
      }
    }
    return started
  }

  async #makePartitions(): Promise<void> {
    const path = join(temporaryDirectory(), 'disk')
    await this.#ask('POST', 'disks/create', { path, sizeBytes: 16 * MiB })
    const array = { name: 'r', level: 'raid0', disks: [path], chunkSizeBytes: 64 * KiB }
    await this.#ask('POST', 'arrays', array)
    for (const host of ['a', 'b']) await this.#ask('POST', 'hosts', { name: nameOf(host) })
    for (const [name, { hosts }] of Object.entries(partitions)) {
      const partition = { array: 'r', name, sizeBytes: 1 * MiB, blockSize: '512' }
      await this.#ask('POST', 'partitions', partition)
      const sharing = hosts.length > 1 ? { sharing: 'shared' } : {}
      for (const host of hosts) await this.grant(name, host, sharing)
    }
  }

  async grant(partition: string, host: string, settings: object = {}): Promise<void> {
    const lun = partitions[partition]?.lun
    await this.#ask('POST', 'grants', {
      array: 'r',
      partition,
      host: nameOf(host),
      lun,
      ...settings,
    })
  }

  /** Resolves when the host can do nothing any more with the partition. */
  async revoke(partition: string, host: string): Promise<void> {
    await this.#ask('DELETE', `grants/r/${partition}/${encodeURIComponent(nameOf(host))}`)
  }

  async set(host: string, settings: object): Promise<void> {
    await this.#ask('PATCH', `hosts/${encodeURIComponent(nameOf(host))}`, settings)
  }

  async forget(host: string): Promise<void> {
    await this.#ask('DELETE', `hosts/${encodeURIComponent(nameOf(host))}`)
  }

  /** A session of that host in which the unit attentions of a new nexus are over. */
  async logIn(host: string, isid = 1): Promise<RawConnection> {
    const connection = await this.#enter(host, isid)
    for (const lun of await lunsOf(connection)) {
      await connection.command(flatLun(lun), testUnitReady)
    }
    return connection
  }

  async #enter(host: string, isid: number): Promise<RawConnection> {
    const { target, targetName } = this
    if (!this.#authenticated) {
      return RawConnection.logIn(target.port, { initiatorName: nameOf(host), targetName, isid })
    }
    const chap = await ChapWire.open(target.port, authenticatedHost(host), targetName, isid)
    await chap.respond(await chap.challenge())
    const { status } = await chap.wire.ask(toFullFeature)
    if (status !== 0) throw new Error(`login got status 0x${status.toString(16)}`)
    return chap.wire.connection
  }

  async #ask(method: string, path: string, input?: object): Promise<void> {
    await askAdminOk(this.target.stateDirectory, method, `/api/v1/${path}`, input)
  }
}
