/** Members, jobs and scrubs of an array as text. */
import type { ArrayInfo, ArrayJob, ScrubReport } from '../admin/model.ts'
import { formatAmount } from '../size.ts'
import { formatTable } from './table.ts'

const BAR_WIDTH = 20

/** A line such as `rebuild [#####---------------] 25%, 1.2 GiB of 4.8 GiB, 310 MiB/s`. */
export function formatJob({ kind, doneBytes, totalBytes, bytesPerSecond }: ArrayJob): string {
  const part = totalBytes === 0 ? 1 : doneBytes / totalBytes
  const bar = '#'.repeat(Math.floor(part * BAR_WIDTH)).padEnd(BAR_WIDTH, '-')
  const amount = `${formatAmount(doneBytes)} of ${formatAmount(totalBytes)}`
  const rate = `${formatAmount(bytesPerSecond)}/s`
  return `${kind} [${bar}] ${Math.floor(part * 100)}%, ${amount}, ${rate}`
}

export function formatMembers({ members }: ArrayInfo): string {
  const rows = members.map(({ number, disk, state }) => [String(number), disk ?? '-', state])
  return formatTable(['MEMBER', 'DISK', 'STATE'], rows, 'no members')
}

/** What the last scrub found, in lines. */
export function describeScrub(scrub: ScrubReport): string[] {
  const { endedAt, differingBytes, repairedCount, repaired, error } = scrub
  const result =
    differingBytes === 0 && repairedCount === 0
      ? 'nothing was wrong'
      : `${differingBytes} bytes differed, ${repairedCount} ranges were mended`
  const ended = error === null ? '' : `, it ended early: ${error}`
  return [
    `last scrub: ${endedAt}, ${result}${ended}`,
    ...repaired.map(
      ({ disk, offset, length }) => `  mended ${length} bytes at byte ${offset} of ${disk}`,
    ),
  ]
}
