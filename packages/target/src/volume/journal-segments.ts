/**
 * The room on each member disk that the array's journal of atomic writes has: the two gaps that the label
 * slots leave in the label area. What is in it is atomic-record.ts.
 */
import { settled } from './settled.ts'
import type { Volume } from './volume.ts'

export const JOURNAL_SEGMENT_OFFSETS: readonly number[] = [64 * 1024, 576 * 1024]
export const JOURNAL_SEGMENT_BYTES = 448 * 1024

/** Makes the disk one without a journal, durably. */
export async function eraseJournal(disk: Volume): Promise<void> {
  for (const offset of JOURNAL_SEGMENT_OFFSETS) {
    await settled((completion) => disk.discard(offset, JOURNAL_SEGMENT_BYTES, completion))
  }
  await settled((completion) => disk.flush(completion))
}
