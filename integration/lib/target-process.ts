/** platterd as its users run it: a process of its own, with its command line. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { askAdmin, askAdminOk } from './admin-api.ts'
import type { CapturedPlace } from './capture/traffic-capture.ts'
import { temporaryDirectory } from './cleanup.ts'
import { BackgroundProcess, type Outcome, run } from './command.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { freePort } from './port.ts'

/** The start script of an installed package, wherever this file has been compiled to. */
function executable(packageName: string, script: string): string {
  return fileURLToPath(new URL(`../bin/${script}`, import.meta.resolve(packageName)))
}

export const platterdScript = (): string => executable('@platter/target', 'platterd.cjs')
export const platterScript = (): string => executable('@platter/initiator', 'platter.js')

export interface PartitionRequest {
  /** Where the disk files are made; they are named disk-0, disk-1, … */
  readonly directory: string
  readonly disks: number
  readonly diskSize: string
  readonly chunk: string
  readonly array: string
  /** As `--level` takes it; raid0 if not given. */
  readonly level?: string
  /** Keeps checksums even where they are not the default. */
  readonly checksums?: boolean
  readonly partition: string
  readonly size: string
  /** As `--block-size` takes it; the server's choice if not given. */
  readonly blockSize?: string
}

/** In tests, has the traffic of these ports captured and checked. */
export async function watchedUnderTap(place: CapturedPlace): Promise<void> {
  if (process.env.TAP !== '1') return
  const { watchTraffic } = await import('./capture/checked-traffic.ts')
  await watchTraffic(place)
}

/** What `platterd partition create --json` answers. */
export interface PartitionInfo {
  readonly array: string
  readonly name: string
  readonly id: string
  readonly sizeBytes: number
  readonly blockSize: string
  readonly grants: readonly { readonly host: string; readonly lun: number }[]
}

/** A partition that all hosts see as one LUN. */
export interface SharedPartition extends PartitionInfo {
  readonly lun: number
}

/** Where a server listens: in the machine's own network, or in another. */
interface Place {
  readonly host: string
  readonly port: number
  readonly network?: NetworkNamespace
}

/** A server that can be stopped, killed and started again on the same state and port. */
export class TargetProcess {
  readonly stateDirectory: string
  readonly host: string
  readonly port: number
  readonly #network: NetworkNamespace | undefined
  readonly #flags: readonly string[]
  #process: BackgroundProcess | undefined

  private constructor(place: Place, stateDirectory: string, flags: readonly string[]) {
    this.stateDirectory = stateDirectory
    this.host = place.host
    this.port = place.port
    this.#network = place.network
    this.#flags = flags
  }

  /**
   * Starts a server with an empty state of its own on a free port of the loopback interface. It is
   * given `flags` at each start.
   */
  static async start(
    stateDirectory: string = temporaryDirectory(),
    flags: readonly string[] = [],
  ): Promise<TargetProcess> {
    const place = { host: '127.0.0.1', port: await freePort() }
    const target = new TargetProcess(place, stateDirectory, flags)
    await target.serve()
    return target
  }

  /** Starts one with `array/NAME`, a partition of 16 MiB for all hosts on two disk files of `directory`. */
  static async startWithPartition(
    partition: string,
    directory: string = temporaryDirectory(),
  ): Promise<TargetProcess> {
    const target = await TargetProcess.start()
    const sizes = { disks: 2, diskSize: '32M', chunk: '64K', size: '16M' }
    await target.createPartition({ directory, array: 'array', partition, ...sizes })
    return target
  }

  /**
   * Starts one on iSCSI's own port of an address of this network, open to whoever reaches it. It is
   * given `flags` at each start.
   */
  static async startIn(
    network: NetworkNamespace,
    host: string,
    flags: readonly string[] = [],
  ): Promise<TargetProcess> {
    const place = { host, port: 3260, network }
    const open = [...flags, '--allow-unauthenticated']
    const target = new TargetProcess(place, temporaryDirectory(), open)
    await target.serve()
    return target
  }

  /** Runs `platterd serve` and waits until it accepts connections and commands. */
  async serve(): Promise<void> {
    const flags = ['--portal', this.portal, ...this.#flags]
    const portals = flags.filter((_, index) => flags[index - 1] === '--portal')
    const state = ['--state', this.stateDirectory]
    const parameters = [platterdScript(), 'serve', ...state, ...flags]
    const here: [string, string[]] = [process.execPath, parameters]
    const server = new BackgroundProcess(...(this.#network?.inside(...here) ?? here))
    this.#process = server
    const ready = server.untilReady(async () => {
      const { status, body } = await askAdmin(this.stateDirectory, 'GET', '/api/v1/status')
      return status === 200 && (body as { portals: string[] }).portals.length === portals.length
    })
    const others = portals
      .map((it) => Number(/:(\d+)$/.exec(it)?.[1]))
      .filter((it) => it !== this.port)
    const ports = [this.port, ...new Set(others)] as const
    await Promise.all([ready, watchedUnderTap({ ports, network: this.#network })])
  }

  get portal(): string {
    return `${this.host}:${this.port}`
  }

  get pid(): number {
    return this.#running.pid
  }

  get running(): boolean {
    return this.#process?.running === true
  }

  /** What the server has printed since it was last started. */
  get log(): string {
    return this.#process?.log ?? ''
  }

  get #running(): BackgroundProcess {
    if (this.#process === undefined) throw new Error('the server has not been started')
    return this.#process
  }

  /** Asks the server to stop, and waits; answers with its exit status. */
  stop(): Promise<number | null> {
    return this.#running.end('SIGTERM')
  }

  /** Ends the server as a crash would. */
  async kill(): Promise<void> {
    await this.#running.end('SIGKILL')
  }

  /** Runs one `platterd` command against this server, whatever comes of it. */
  try(...parameters: string[]): Promise<Outcome> {
    const state = ['--state', this.stateDirectory]
    return run(process.execPath, [platterdScript(), ...parameters, ...state])
  }

  /** Runs one `platterd` command with --json and answers with what it printed. */
  async command<T>(...parameters: string[]): Promise<T> {
    const { status, stdout, stderr } = await this.try(...parameters, '--json')
    if (status === 0) return JSON.parse(stdout === '' ? 'null' : stdout) as T
    throw new Error(`platterd ${parameters.join(' ')} exited with ${status}: ${stdout}${stderr}`)
  }

  /** Makes disk files, an array over them and one partition for all hosts, and answers with that. */
  async createPartition(wanted: PartitionRequest): Promise<SharedPartition> {
    const disks: string[] = []
    for (let index = 0; index < wanted.disks; index++) {
      const path = join(wanted.directory, `disk-${index}`)
      await this.#post('disks/create', { path, sizeBytes: bytesOf(wanted.diskSize) })
      disks.push(path)
    }
    const { array: name, level = 'raid0', checksums } = wanted
    const how = { level, chunkSizeBytes: bytesOf(wanted.chunk), checksums: checksums || undefined }
    await this.#post('arrays', { name, ...how, disks })
    const flags = wanted.blockSize === undefined ? [] : ['--block-size', wanted.blockSize]
    return this.addPartition(`${wanted.array}/${wanted.partition}`, wanted.size, ...flags)
  }

  /** Makes one more partition, `ARRAY/NAME`, of an array that is there, for all hosts. */
  async addPartition(name: string, size: string, ...flags: string[]): Promise<SharedPartition> {
    const create = ['partition', 'create', name, '--size', size, '--host', '*']
    const partition = await this.command<PartitionInfo>(...create, ...flags)
    return { ...partition, lun: partition.grants[0]?.lun ?? -1 }
  }

  /** A process of `platterd` for each step would take half a second. */
  #post(what: string, input: object): Promise<unknown> {
    return askAdminOk(this.stateDirectory, 'POST', `/api/v1/${what}`, input)
  }

  /** Makes a small partition for all hosts, without which strangers learn nothing of the target. */
  async admitEveryone(): Promise<void> {
    const path = join(temporaryDirectory(), 'disk-for-all')
    const array = { name: 'for-all', level: 'raid0', disks: [path], chunkSizeBytes: 65536 }
    const partition = { array: 'for-all', name: 'small', sizeBytes: 65536 }
    const grant = { array: 'for-all', partition: 'small', host: '*', lun: 255 }
    for (const [what, input] of [
      ['disks/create', { path, sizeBytes: 4 * 1024 * 1024 }],
      ['arrays', array],
      ['partitions', partition],
      ['grants', grant],
    ] as const) {
      await askAdminOk(this.stateDirectory, 'POST', `/api/v1/${what}`, input)
    }
  }

  /** The server's iSCSI name. */
  async targetName(): Promise<string> {
    return (await this.command<{ targetName: string }>('status')).targetName
  }

  /** iscsi:// URL of a LUN of this server. */
  async url(lun: number): Promise<string> {
    return `iscsi://${this.portal}/${await this.targetName()}/${lun}`
  }
}

/** Of a size as the command line takes it. */
function bytesOf(size: string): number {
  const match = /^(\d+)([KMG]?)$/.exec(size)
  if (match === null) throw new Error(`size ${size}, wanted one such as 512, 64K, 16M, 1G`)
  return Number(match[1]) * 1024 ** ['', 'K', 'M', 'G'].indexOf(match[2] ?? '')
}
