/** What is measured, and how good Platter means to be at it. */

export interface Workload {
  readonly name: string
  readonly mode: 'randread' | 'randwrite' | 'seqread' | 'seqwrite'
  readonly blockBytes: number
  readonly queueDepth: number
  /** Both servers' files are dropped from the page cache before each run. */
  readonly coldCache: boolean
  /** The least ratio of operations per second, to tgtd, that is wanted. */
  readonly wanted: number
}

const KiB = 1024
const warm = { coldCache: false }

export const workloads: readonly Workload[] = [
  {
    name: '4k-randread-qd32',
    mode: 'randread',
    blockBytes: 4 * KiB,
    queueDepth: 32,
    wanted: 3.5,
    ...warm,
  },
  {
    name: '4k-randwrite-qd32',
    mode: 'randwrite',
    blockBytes: 4 * KiB,
    queueDepth: 32,
    wanted: 2.8,
    ...warm,
  },
  {
    name: '4k-randread-qd1',
    mode: 'randread',
    blockBytes: 4 * KiB,
    queueDepth: 1,
    wanted: 1.1,
    ...warm,
  },
  {
    name: '4k-randwrite-qd1',
    mode: 'randwrite',
    blockBytes: 4 * KiB,
    queueDepth: 1,
    wanted: 1.1,
    ...warm,
  },
  {
    name: '128k-seqread-qd16',
    mode: 'seqread',
    blockBytes: 128 * KiB,
    queueDepth: 16,
    wanted: 1.1,
    ...warm,
  },
  {
    name: '128k-seqwrite-qd16',
    mode: 'seqwrite',
    blockBytes: 128 * KiB,
    queueDepth: 16,
    wanted: 1.5,
    ...warm,
  },
  {
    name: '256k-seqread-qd16',
    mode: 'seqread',
    blockBytes: 256 * KiB,
    queueDepth: 16,
    wanted: 1.6,
    ...warm,
  },
  {
    name: '256k-seqwrite-qd16',
    mode: 'seqwrite',
    blockBytes: 256 * KiB,
    queueDepth: 16,
    wanted: 2,
    ...warm,
  },
  {
    name: '4k-randread-qd32-cold',
    mode: 'randread',
    blockBytes: 4 * KiB,
    queueDepth: 32,
    coldCache: true,
    wanted: 0.95,
  },
]
