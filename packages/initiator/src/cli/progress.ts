/**
 * How far something has come, on standard error: a line that is drawn anew where that is a terminal,
 * else a line every few seconds. What is done soon is not told of.
 */
import type { CliIo } from './io.ts'
import { formatSize } from './size.ts'

/** What takes less is not told of, in ms. */
const QUIET_MS = 2_000
const DRAW_MS = 250
const LINE_MS = 5_000
const BAR_COLUMNS = 24
const ERASE_LINE = '\r\x1b[K'

/** What is to be told, in so many columns: as a terminal has, or 0 for a line without a bar. */
export type Describe = (columns: number) => string

export class Progress {
  readonly #io: CliIo
  readonly #quiet: boolean
  #describe: Describe = () => ''
  #timer: NodeJS.Timeout | null = null
  #shownMs = 0
  #lineMs = Number.NEGATIVE_INFINITY
  #drawn = false

  /** `quiet`: nothing is told of how far it has come. */
  constructor(io: CliIo, quiet: boolean) {
    this.#io = io
    this.#quiet = quiet
  }

  /** From now on this is told, until `end`, or something else is. */
  show(describe: Describe): void {
    this.#describe = describe
    if (this.#quiet || this.#timer !== null) return
    this.#shownMs = 0
    this.#timer = setInterval(() => this.#tick(), DRAW_MS)
  }

  /** Tells something else, above what is drawn. */
  say(text: string): void {
    this.#erase()
    this.#io.err(`platter: ${text}\n`)
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#erase()
  }

  #tick(): void {
    this.#shownMs += DRAW_MS
    if (this.#shownMs < QUIET_MS) return
    const columns = this.#io.columns()
    if (columns !== undefined) {
      const line = this.#describe(columns - 1).slice(0, columns - 1)
      this.#io.err(`${ERASE_LINE}${line}`)
      this.#drawn = true
    } else if (this.#shownMs - this.#lineMs >= LINE_MS) {
      this.#lineMs = this.#shownMs
      this.#io.err(`platter: ${this.#describe(0)}\n`)
    }
  }

  #erase(): void {
    if (this.#drawn) this.#io.err(ERASE_LINE)
    this.#drawn = false
  }
}

/** Bytes that move, at one moment. */
export interface Transfer {
  readonly title: string
  readonly doneBytes: number
  /** Null while that is not known. */
  readonly totalBytes: number | null
  readonly bytesPerSecond: number
}

/** A line for it, with a bar if there is room; `columns` 0 asks for none. */
export function describeTransfer(transfer: Transfer, columns: number): string {
  const { title, doneBytes, totalBytes, bytesPerSecond } = transfer
  const rate = `${formatSize(bytesPerSecond)}/s`
  if (totalBytes === null) return `${title}  ${formatSize(doneBytes)}  ${rate}`
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes
  const leftSeconds = (totalBytes - doneBytes) / bytesPerSecond
  const left = Number.isFinite(leftSeconds) ? `  ${formatDuration(leftSeconds)} left` : ''
  const percent = `${Math.floor(share * 100)}%`.padStart(4)
  const amount = `${formatSize(doneBytes)} of ${formatSize(totalBytes)}`
  const words = `${percent}  ${amount}  ${rate}${left}`
  const room = columns - title.length - words.length - 6
  if (room < BAR_COLUMNS) return `${title} ${words}`
  const full = Math.floor(share * BAR_COLUMNS)
  return `${title}  [${'='.repeat(full)}${' '.repeat(BAR_COLUMNS - full)}] ${words}`
}

/** `0:07`, `12:30`, `1:02:03`. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  const two = (value: number) => String(value).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

/** How fast something has been of late: over the last seconds, not since its beginning. */
export class Speed {
  static readonly #windowMs = 5_000
  readonly #samples: { readonly ms: number; readonly done: number }[]

  constructor(nowMs: number) {
    this.#samples = [{ ms: nowMs, done: 0 }]
  }

  /** Per second; `done` counts from the beginning, and calls come in the order of time. */
  perSecond(nowMs: number, done: number): number {
    this.#samples.push({ ms: nowMs, done })
    while (this.#samples.length > 2 && nowMs - (this.#samples[1]?.ms ?? 0) >= Speed.#windowMs) {
      this.#samples.shift()
    }
    const [first] = this.#samples
    if (first === undefined || nowMs <= first.ms) return 0
    return ((done - first.done) * 1000) / (nowMs - first.ms)
  }
}
