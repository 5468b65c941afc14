/**
 * A way to the target: a portal of it, and where we come from. What sessions learn of it is kept here,
 * and shared between them: whether it works, and what has gone over it.
 */
import type { ConnectionPlace } from '../session/placement.ts'
import { Direction, type ScsiTask } from '../session/task.ts'
import { type Endpoint, formatEndpoint } from './endpoint.ts'

export interface PathOptions extends Endpoint {
  /** Its share of the commands with the policy `weighted`; 1 if not given. */
  readonly weight?: number | undefined
  /** As discovery tells it; a login tells it, too. */
  readonly portalGroupTag?: number | undefined
}

/** What a path is and has done, for people and programs that look. */
export interface PathStatus {
  readonly path: string
  readonly weight: number
  /** Connections that are logged in, how many ever were, and how many of those broke. */
  readonly connections: number
  readonly opened: number
  readonly lost: number
  /** Commands that have ended, and the bytes that they moved. */
  readonly commands: number
  readonly readBytes: number
  readonly writtenBytes: number
  /** How long those commands took in all, in ms, from their start to their outcome. */
  readonly commandMs: number
  readonly bytesInFlight: number
  /** Why it does not work; null when it does, or has not been tried. */
  readonly error: string | null
}

export class Path implements ConnectionPlace {
  readonly endpoint: Endpoint
  readonly name: string
  readonly weight: number
  /** Its place among the target's paths: the first is 0. */
  readonly rank: number
  #commands = 0
  #readBytes = 0
  #writtenBytes = 0
  #commandMs = 0
  portalGroupTag: number | undefined
  connections = 0
  opened = 0
  lost = 0
  /** Why it failed last; null when it has worked since. */
  error: Error | null = null
  readonly #watchers: (() => void)[] = []

  constructor(options: PathOptions, rank: number) {
    const { host, port, source } = options
    this.endpoint = { host, port, source }
    this.name = formatEndpoint(this.endpoint)
    this.weight = options.weight ?? 1
    this.portalGroupTag = options.portalGroupTag
    this.rank = rank
  }

  /** When it failed last, if it has not worked since; else 0. Who failed last is tried last. */
  failedMs = 0

  get suspect(): boolean {
    return this.error !== null
  }

  /** Has `onWorks` called whenever it works again after it had failed. */
  watch(onWorks: () => void): void {
    this.#watchers.push(onWorks)
  }

  /** Something has answered there. */
  works(): void {
    if (this.error === null) return
    this.error = null
    this.failedMs = 0
    for (const onWorks of this.#watchers) onWorks()
  }

  fails(error: Error): void {
    this.error = error
    this.failedMs = performance.now()
  }

  commandEnded({ direction, transferredLength, executedMs }: ScsiTask): void {
    this.#commands += 1
    if (direction === Direction.Read) this.#readBytes += transferredLength
    else if (direction === Direction.Write) this.#writtenBytes += transferredLength
    this.#commandMs += performance.now() - executedMs
  }

  status(bytesInFlight: number): PathStatus {
    return {
      path: this.name,
      weight: this.weight,
      connections: this.connections,
      opened: this.opened,
      lost: this.lost,
      commands: this.#commands,
      readBytes: this.#readBytes,
      writtenBytes: this.#writtenBytes,
      commandMs: Math.round(this.#commandMs),
      bytesInFlight,
      error: this.error?.message ?? null,
    }
  }
}
