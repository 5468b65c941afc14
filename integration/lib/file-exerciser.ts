/**
 * Operations at random on a file that stands for a disk, as fsx(1) does them: buffered, direct and synchronous
 * reads and writes, several at once, holes, flushes, and handles that are closed and opened again. What each read
 * must find is kept in memory; the same seed does the same again.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { runOk } from './command.ts'
import { Random } from './random.ts'

export interface ExerciseOptions {
  readonly path: string
  readonly seed: number
  /** Whether the driver can make holes. */
  readonly holes: boolean
  /** Asked before each round, with how many were done. */
  goOn(rounds: number): boolean
}

interface Range {
  readonly offset: number
  readonly length: number
}

const KiB = 1024
const lengthMax = 300 * KiB
/** What direct input and output is aligned to. */
const page = 4 * KiB
/** The one that is direct stands apart: what it does is aligned. */
const direct = 1
const flags = [
  constants.O_RDWR,
  constants.O_RDWR | constants.O_DIRECT,
  constants.O_RDWR | constants.O_DSYNC,
]

export class FileExerciser {
  /** What the file must hold. */
  readonly model: Buffer
  readonly #options: ExerciseOptions
  readonly #random: Random
  readonly #handles: FileHandle[] = []
  #round = 0

  private constructor(options: ExerciseOptions, model: Buffer) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.model = model
  }

  /** Rejects with an Error that names seed, round and place when a read finds what it must not. */
  static async exercise(options: ExerciseOptions): Promise<FileExerciser> {
    const { size } = await stat(options.path)
    const exerciser = new FileExerciser(options, Buffer.alloc(size))
    await exerciser.#run()
    return exerciser
  }

  /** Whether all of the file is as it must be; for after a new mount. */
  async verify(path: string): Promise<void> {
    const handle = await open(path)
    try {
      const { length } = this.model
      for (let offset = 0; offset < length; offset += lengthMax) {
        await this.#compare(handle, { offset, length: Math.min(lengthMax, length - offset) })
      }
    } finally {
      await handle.close()
    }
  }

  get rounds(): number {
    return this.#round
  }

  async #run(): Promise<void> {
    const { path, goOn } = this.#options
    try {
      for (const flag of flags) this.#handles.push(await open(path, flag))
      // What was there before is not known.
      await this.#handle(0).write(this.model, 0, this.model.length, 0)
      for (; goOn(this.#round); this.#round++) await this.#doOneRound()
    } finally {
      for (const handle of this.#handles) await handle.close()
    }
    await this.verify(path)
  }

  async #doOneRound(): Promise<void> {
    const random = this.#random
    const kind = random.below(100)
    if (kind < 60) await this.#write(random.below(flags.length))
    else if (kind < 66 && this.#options.holes) await this.#fallocate()
    else if (kind < 74) await this.#handle(random.below(flags.length)).sync()
    else if (kind < 78) await this.#handle(random.below(flags.length)).datasync()
    else if (kind < 82) await this.#reopen(random.below(flags.length))
    await this.#read(random.below(flags.length))
  }

  /** Up to eight writes at once, which do not overlap, so that their order does not matter. */
  async #write(which: number): Promise<void> {
    const ranges = apart(
      Array.from({ length: 1 + this.#random.below(8) }, () => this.#range(which)),
    )
    const writes = ranges.map(async ({ offset, length }, index) => {
      const data = Buffer.alloc(length, `round ${this.#round}, write ${index};`)
      data.copy(this.model, offset)
      const { bytesWritten } = await this.#handle(which).write(data, 0, length, offset)
      if (bytesWritten !== length) throw new Error(`wrote ${bytesWritten} of ${length} bytes`)
    })
    await Promise.all(writes)
  }

  /** Reads at once, through one handle. */
  async #read(which: number): Promise<void> {
    const ranges = Array.from({ length: 1 + this.#random.below(4) }, () => this.#range(which))
    await Promise.all(ranges.map((range) => this.#compare(this.#handle(which), range)))
  }

  /** A hole, or zeros, on no particular boundaries. */
  async #fallocate(): Promise<void> {
    const { offset, length } = this.#range(0)
    const how = this.#random.pick(['--punch-hole', '--zero-range'])
    const { path } = this.#options
    await runOk('fallocate', [how, '--offset', `${offset}`, '--length', `${length}`, path])
    this.model.fill(0, offset, offset + length)
  }

  async #reopen(which: number): Promise<void> {
    await this.#handle(which).close()
    this.#handles[which] = await open(this.#options.path, flags[which])
  }

  async #compare(handle: FileHandle, { offset, length }: Range): Promise<void> {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset)
    const wanted = this.model.subarray(offset, offset + length)
    if (bytesRead === length && buffer.equals(wanted)) return
    let at = 0
    while (at < bytesRead && buffer[at] === wanted[at]) at++
    const where = `seed ${this.#options.seed}, round ${this.#round}: ${length} bytes at ${offset}`
    throw new Error(
      `${where} differ from byte ${offset + at} on: ` +
        `got ${shown(buffer.subarray(0, bytesRead), at)}, wanted ${shown(wanted, at)}`,
    )
  }

  #handle(which: number): FileHandle {
    const handle = this.#handles[which]
    if (handle === undefined) throw new Error(`handle ${which} is not open`)
    return handle
  }

  /** Any range of the file, or one of whole pages for the direct handle; small and large ones alike. */
  #range(which: number): Range {
    const random = this.#random
    const unit = which === direct ? page : 1
    const most = random.chance(50) ? lengthMax : 4 * page
    const length = (1 + random.below(most / unit)) * unit
    const places = Math.floor((this.model.length - length) / unit) + 1
    return { offset: random.below(places) * unit, length }
  }
}

function apart(ranges: readonly Range[]): Range[] {
  const chosen: Range[] = []
  for (const range of ranges) {
    const free = chosen.every(
      ({ offset, length }) =>
        range.offset >= offset + length || offset >= range.offset + range.length,
    )
    if (free) chosen.push(range)
  }
  return chosen
}

function shown(bytes: Buffer, at: number): string {
  return JSON.stringify(bytes.toString('latin1', at, at + 24))
}
