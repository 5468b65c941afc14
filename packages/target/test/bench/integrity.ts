/**
 * What checksums of data cost: CRC32C of blocks, and reads and writes with and without them, in memory. From
 * packages/target: node --import=tsx/esm test/bench/integrity.ts
 */
import { crc32c, crc32cByTables } from '../../src/volume/crc32c.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { checksumAreaBytes } from '../../src/volume/raid/checksum-page.ts'
import { IntegrityVolume } from '../../src/volume/raid/integrity-volume.ts'
import type { Volume } from '../../src/volume/volume.ts'

const SIZE = 16 * 1024 * 1024
/** Many short ones: most of them are not interrupted, even on a machine that is not quiet. */
const ROUNDS = 300
const ROUNDS_TO_WARM_UP = 100
const ROUND_BYTES = 1024 * 1024

interface Candidate {
  readonly name: string
  readonly bytesEach: number
  readonly run: (turn: number) => void
  readonly microseconds: number[]
}

function measure(candidate: Candidate, round: number): void {
  const { bytesEach, run, microseconds } = candidate
  const turns = ROUND_BYTES / bytesEach
  const first = round * turns
  const start = performance.now()
  for (let turn = first; turn < first + turns; turn++) run(turn)
  const elapsedMs = performance.now() - start
  if (round >= ROUNDS_TO_WARM_UP) microseconds.push((elapsedMs * 1000) / turns)
}

/** In turn, round by round; prints the median, and what a tenth of the rounds were faster than. */
function compare(candidates: readonly Candidate[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (const candidate of candidates) measure(candidate, round)
  }
  for (const { name, bytesEach, microseconds } of candidates) {
    const sorted = microseconds.sort((a, b) => a - b)
    const [median, fast] = [sorted[sorted.length >> 1]!, sorted[Math.floor(sorted.length / 10)]!]
    const rate = (each: number) => `${(bytesEach / each / 1000).toFixed(2).padStart(6)} GB/s`
    const times = `${median.toFixed(2)} us, ${fast.toFixed(2)} us`
    console.log(`${name.padEnd(28)} ${rate(median)}, ${rate(fast)}  (${times})`)
  }
}

const buffer = Buffer.alloc(SIZE)
for (let at = 0; at < SIZE; at += 4) buffer.writeInt32LE(Math.imul(at, 0x9e3779b1) | 0, at)

function offsetOf(turn: number, length: number): number {
  return (turn * length) % SIZE
}

function crc(name: string, length: number, sum: typeof crc32c): Candidate {
  const run = (turn: number) => {
    const start = offsetOf(turn, length)
    sum(buffer, start, start + length)
  }
  return { name, bytesEach: length, run, microseconds: [] }
}

function transfers(name: string, volume: Volume, length: number): Candidate[] {
  const into = Buffer.alloc(length)
  const read = (turn: number) => {
    if (!volume.readNow(offsetOf(turn, length), into, 0, length)) throw new Error('not at once')
  }
  const write = (turn: number) => {
    const offset = offsetOf(turn, length)
    if (!volume.writeNow(offset, buffer, offset, length)) throw new Error('not at once')
  }
  const kilobytes = `${length / 1024} KiB`
  return [
    { name: `${name} read ${kilobytes}`, bytesEach: length, run: read, microseconds: [] },
    { name: `${name} write ${kilobytes}`, bytesEach: length, run: write, microseconds: [] },
  ]
}

const plain = new MemoryVolume('plain', SIZE)
const checked = new IntegrityVolume({
  data: new MemoryVolume('checked', SIZE),
  checksums: new MemoryVolume('checked', checksumAreaBytes(SIZE)),
})
for (const volume of [plain, checked]) volume.writeNow(0, buffer, 0, 4 * 1024 * 1024)
compare([
  crc('CRC32C 512 bytes', 512, crc32c),
  crc('CRC32C 4 KiB', 4096, crc32c),
  crc('CRC32C 64 KiB', 65536, crc32c),
  crc('CRC32C 4 KiB by tables', 4096, crc32cByTables),
])
for (const length of [4096, 65536]) {
  compare([...transfers('plain', plain, length), ...transfers('checked', checked, length)])
}
