/**
 * A server that is killed again and again in the midst of writes to an array, whole or degraded; and what it
 * has afterwards: all that it acknowledged, and members that agree.
 */
import { askAdminOk } from './admin-api.ts'
import { temporaryDirectory } from './cleanup.ts'
import { Random } from './random.ts'
import { RawConnection } from './raw-connection.ts'
import { synchronizeCacheCdb, transferCdb } from './raw-pdu.ts'
import { TargetProcess } from './target-process.ts'
import { until } from './until.ts'

const BLOCK_BYTES = 4096
const SECTORS_PER_BLOCK = BLOCK_BYTES / 512
const BLOCK_COUNT = 1024
const WRITER_COUNT = 4
/** The longest write, in blocks: a row of any of these arrays, and more. */
const WRITE_BLOCKS_MAX = 24
const ARRAY = 'array'

/** How many disks an array of each level has, and how many of them it is run without at times. */
export const killedLevels = {
  raid0: { disks: 3, lost: 0 },
  raid1: { disks: 2, lost: 1 },
  raid10: { disks: 4, lost: 1 },
  raid5: { disks: 4, lost: 1 },
  raid6: { disks: 5, lost: 2 },
} as const

export type KilledLevel = keyof typeof killedLevels

export interface KillOptions {
  readonly level: KilledLevel
  readonly rounds: number
  readonly seed: number
  /** Told after each round. */
  readonly onRound?: (round: number) => void
}

/** What was seen in all rounds. */
export interface KillOutcome {
  readonly writes: number
  readonly degradedRounds: number
}

interface Member {
  readonly disk: string | null
  readonly state: string
}

interface ArrayInfo {
  readonly state: string
  readonly job: unknown
  readonly members: readonly Member[]
  readonly lastScrub: {
    readonly differingBytes: number
    readonly repairedCount: number
    readonly error: string | null
  } | null
}

/** Runs so many rounds. Rejects with Error when something that was acknowledged is not there, or members differ. */
export async function killAgainAndAgain(options: KillOptions): Promise<KillOutcome> {
  const run = await KillRun.start(options)
  for (let round = 0; round < options.rounds; round++) {
    await run.round(round % 2 === 1)
    options.onRound?.(round)
  }
  await run.end()
  return run
}

class KillRun implements KillOutcome {
  writes = 0
  degradedRounds = 0
  readonly #target: TargetProcess
  readonly #lun: number
  readonly #targetName: string
  readonly #level: KilledLevel
  readonly #random: Random
  /** For each block, the serial number of the last write that was acknowledged; and of those that were not. */
  readonly #acknowledged = new Array<number>(BLOCK_COUNT).fill(0)
  readonly #uncertain = new Map<number, number[]>()
  #serial = 0

  private constructor(
    target: TargetProcess,
    lun: number,
    targetName: string,
    options: KillOptions,
  ) {
    this.#target = target
    this.#lun = lun
    this.#targetName = targetName
    this.#level = options.level
    this.#random = new Random(options.seed)
  }

  static async start(options: KillOptions): Promise<KillRun> {
    const target = await TargetProcess.start()
    const { lun } = await target.createPartition({
      directory: temporaryDirectory(),
      disks: killedLevels[options.level].disks,
      diskSize: '16M',
      chunk: '16K',
      array: ARRAY,
      level: options.level,
      partition: 'partition',
      size: '4M',
    })
    return new KillRun(target, lun, await target.targetName(), options)
  }

  async round(isDegraded: boolean): Promise<void> {
    const { lost } = killedLevels[this.#level]
    const out = isDegraded && lost > 0 ? await this.#takeOut(lost) : []
    if (out.length > 0) this.degradedRounds++
    const delayMs = 30 + this.#random.below(400)
    const writers = Array.from({ length: WRITER_COUNT }, (_, number) => this.#write(number))
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    await this.#target.kill()
    await Promise.all(writers)
    await this.#target.serve()
    await this.#verify()
    for (const disk of out) await this.#post('re-add', { disk })
    await this.#checkMembers(out.length)
  }

  async end(): Promise<void> {
    const status = await this.#target.stop()
    if (status !== 0) throw new Error(`the server ended with ${status}`)
  }

  async #takeOut(count: number): Promise<string[]> {
    const { members } = await this.#array()
    const disks = members.map(({ disk }) => disk).filter((disk) => disk !== null)
    const out: string[] = []
    for (let left = 1 + this.#random.below(count); left > 0; left--) {
      const [disk] = disks.splice(this.#random.below(disks.length), 1)
      await this.#post('fail', { disk })
      out.push(disk!)
    }
    return out
  }

  /** Writes to every fourth stretch of blocks, until the server is gone. */
  async #write(writer: number): Promise<void> {
    const options = { targetName: this.#targetName, isid: writer + 1 }
    const connection = await RawConnection.logIn(this.#target.port, options).catch(() => null)
    // It was killed before.
    if (connection === null) return
    await connection.command(this.#lun, Buffer.alloc(16))
    const own = BLOCK_COUNT / WRITER_COUNT
    while (!connection.isClosed) {
      const count = this.#random.chance(50) ? 1 : 1 + this.#random.below(WRITE_BLOCKS_MAX)
      const first = writer * own + this.#random.below(own - count)
      const serial = ++this.#serial
      const cdb = transferCdb('write', first * SECTORS_PER_BLOCK, count * SECTORS_PER_BLOCK)
      const data = Buffer.concat(
        Array.from({ length: count }, (_, block) => content(serial, first + block)),
      )
      for (let block = first; block < first + count; block++) this.#expect(block).push(serial)
      const { status } = await connection.command(this.#lun, cdb, 0, data)
      if (status === null) return
      if (status !== 0) throw new Error(`a write got status ${status}`)
      this.writes++
      for (let block = first; block < first + count; block++) {
        this.#acknowledged[block] = serial
        this.#uncertain.delete(block)
      }
      if (this.#random.chance(5)) await connection.command(this.#lun, synchronizeCacheCdb())
    }
  }

  #expect(block: number): number[] {
    const serials = this.#uncertain.get(block) ?? []
    this.#uncertain.set(block, serials)
    return serials
  }

  async #verify(): Promise<void> {
    const options = { targetName: this.#targetName }
    const connection = await RawConnection.logIn(this.#target.port, options)
    await connection.command(this.#lun, Buffer.alloc(16))
    const step = 64
    for (let first = 0; first < BLOCK_COUNT; first += step) {
      const cdb = transferCdb('read', first * SECTORS_PER_BLOCK, step * SECTORS_PER_BLOCK)
      const { status, data } = await connection.command(this.#lun, cdb, step * BLOCK_BYTES)
      if (status !== 0) throw new Error(`a read of block ${first} got status ${status}`)
      for (let block = first; block < first + step; block++) {
        const at = (block - first) * BLOCK_BYTES
        this.#decide(block, data.subarray(at, at + BLOCK_BYTES))
      }
    }
    connection.socket.destroy()
  }

  /** A block is as it was acknowledged, or as a write left it that was not: then it stays so. */
  #decide(block: number, bytes: Buffer): void {
    const possible = [this.#acknowledged[block]!, ...(this.#uncertain.get(block) ?? [])]
    const found = possible.find((serial) => bytes.equals(content(serial, block)))
    if (found === undefined) {
      const start = bytes.toString('latin1', 0, 32)
      throw new Error(`block ${block} begins with ${start}, wanted write ${possible.join(' or ')}`)
    }
    this.#acknowledged[block] = found
    this.#uncertain.delete(block)
  }

  /** Whole again, all members hold what they should. */
  async #checkMembers(outCount: number): Promise<void> {
    const settled = await this.#settled()
    if (settled.state !== 'available') {
      throw new Error(`the array is ${settled.state} after ${outCount} disks were taken back`)
    }
    if (this.#level === 'raid0') return
    await this.#post('scrub', {})
    const { lastScrub } = await this.#settled()
    const { differingBytes, repairedCount, error } = lastScrub!
    if (differingBytes + repairedCount === 0 && error === null) return
    throw new Error(`scrub: ${differingBytes} bytes differ, ${repairedCount} mended, ${error}`)
  }

  async #settled(): Promise<ArrayInfo> {
    await until(async () => (await this.#array()).job === null)
    return this.#array()
  }

  async #array(): Promise<ArrayInfo> {
    const { stateDirectory } = this.#target
    const [array] = await askAdminOk<ArrayInfo[]>(stateDirectory, 'GET', '/api/v1/arrays')
    return array!
  }

  async #post(what: string, input: object): Promise<void> {
    const { stateDirectory } = this.#target
    await askAdminOk(stateDirectory, 'POST', `/api/v1/arrays/${ARRAY}/${what}`, input)
  }
}

function content(serial: number, block: number): Buffer {
  return Buffer.alloc(BLOCK_BYTES, serial === 0 ? '\0' : `write ${serial} of block ${block};`)
}
