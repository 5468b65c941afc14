/** The benchmark's table. */
import type { Spread } from './measurement.ts'
import type { Workload } from './workload.ts'

export interface ServerFigures {
  readonly name: string
  readonly operationsPerSecond: number
  readonly cpuUsPerOperation: number
  readonly p50Us: number
  readonly p99Us: number
}

/** Medians over the rounds. `ratio` is platterd to tgtd, of each round's two neighbours. */
export interface Result {
  readonly workload: Workload
  readonly ratio: Spread
  readonly servers: readonly ServerFigures[]
}

const columns = [
  ['workload', -22],
  ['tgtd op/s', 10],
  ['platterd', 10],
  ['ratio', 7],
  ['(min..max)', 14],
  ['wanted', 8],
  ['', 7],
  ['CPU us/op', 10],
  ['platterd', 9],
  ['p99 us', 8],
  ['platterd', 9],
] as const

export const heading = formatCells(columns, titles(columns))

export function isMet({ workload, ratio }: Pick<Result, 'workload' | 'ratio'>): boolean {
  return ratio.median >= workload.wanted
}

export function formatRow({ workload, ratio, servers }: Result): string {
  const [tgtd, platterd] = servers
  return formatCells(columns, [
    workload.name,
    (tgtd?.operationsPerSecond ?? 0).toFixed(0),
    (platterd?.operationsPerSecond ?? 0).toFixed(0),
    ratio.median.toFixed(2),
    `(${ratio.minimum.toFixed(2)}..${ratio.maximum.toFixed(2)})`,
    `>= ${workload.wanted.toFixed(2)}`,
    isMet({ workload, ratio }) ? 'met' : 'BELOW',
    (tgtd?.cpuUsPerOperation ?? 0).toFixed(1),
    (platterd?.cpuUsPerOperation ?? 0).toFixed(1),
    (tgtd?.p99Us ?? 0).toFixed(0),
    (platterd?.p99Us ?? 0).toFixed(0),
  ])
}

/** A title, and a width: negative for what begins at the left. */
export type Column = readonly [title: string, width: number]

export function titles(columns: readonly Column[]): string[] {
  return columns.map(([title]) => title)
}

export function formatCells(columns: readonly Column[], cells: readonly string[]): string {
  return columns
    .map(([, width], index) => {
      const cell = cells[index] ?? ''
      return width < 0 ? cell.padEnd(-width) : cell.padStart(width)
    })
    .join('')
}
