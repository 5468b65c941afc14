/**
 * Labels on a disk: two slots that take turns, so that a write cut short by a crash spoils only the
 * older label. Generation g belongs into slot g modulo 2.
 */
import { eraseJournal } from './journal-segments.ts'
import { decodeLabel, encodeLabel, LABEL_SLOT_BYTES, type Label, LabelError } from './label.ts'
import { settled } from './settled.ts'
import type { Volume } from './volume.ts'

/** Where the slots begin: far apart, so that no single fault of the medium hits both. */
export const LABEL_SLOT_OFFSETS: readonly [number, number] = [0, 512 * 1024]
/** The beginning of a member disk, for labels and the journal (journal-segments.ts); data may begin here. */
export const LABEL_AREA_BYTES = 1024 * 1024

/**
 * The newest valid label.
 * @throws LabelError if there is none, or one of a later version; VolumeError if the disk cannot be read.
 */
export async function readLabel(disk: Volume): Promise<Label> {
  if (disk.sizeBytes < LABEL_AREA_BYTES) {
    throw new LabelError('foreign', `of ${disk.sizeBytes} bytes has no room for a label`)
  }
  const found = [await readSlot(disk, 0), await readSlot(disk, 1)]
  // Whatever the other slot holds is older, and to write the next one would be over what later software wrote.
  const later = found.find((one) => one instanceof LabelError && one.kind === 'newer-version')
  if (later !== undefined) throw later
  const labels = found.filter((one): one is Label => !(one instanceof LabelError))
  if (labels.length > 0) return labels.reduce((a, b) => (a.generation > b.generation ? a : b))
  const errors = found.filter((one) => one instanceof LabelError)
  // What is left when the very first label, or the erasing of the last, was cut short.
  if (errors[0]!.kind === 'blank' && errors[1]!.kind === 'corrupt') {
    throw new LabelError('leftover', 'holds one label, the first, that was never whole')
  }
  // The one that says most about what the disk was.
  for (const kind of ['corrupt', 'foreign', 'blank'] as const) {
    const error = errors.find((one) => one.kind === kind)
    if (error !== undefined) throw error
  }
  throw new Error('unreachable: every slot gives a label or an error')
}

/** Makes the label the disk's newest, durably. Its generation must be the next one, or the same. */
export async function writeLabel(disk: Volume, label: Label): Promise<void> {
  const slot = encodeLabel(label)
  const offset = LABEL_SLOT_OFFSETS[label.generation % 2]!
  await settled((completion) => disk.write(offset, slot, 0, slot.length, completion))
  await settled((completion) => disk.flush(completion))
}

/**
 * Makes the disk one without a label, durably, and slot by slot: see readLabel for a crash between. What
 * lies between the slots goes first: without labels it would be somebody's data.
 */
export async function eraseLabels(disk: Volume): Promise<void> {
  await eraseJournal(disk)
  const zeros = Buffer.alloc(LABEL_SLOT_BYTES)
  for (const offset of LABEL_SLOT_OFFSETS) {
    await settled((completion) => disk.write(offset, zeros, 0, zeros.length, completion))
    await settled((completion) => disk.flush(completion))
  }
}

/** As `eraseLabels`, all of them, whatever becomes of some. Rejects with the first VolumeError. */
export async function eraseAllLabels(disks: readonly Volume[]): Promise<void> {
  const outcomes = await Promise.allSettled(disks.map((disk) => eraseLabels(disk)))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

/** Whether nothing but zeros is where labels would go, and so nobody's data. */
export async function labelAreaIsBlank(disk: Volume): Promise<boolean> {
  const area = Buffer.alloc(LABEL_AREA_BYTES)
  await settled((completion) => disk.read(0, area, 0, area.length, completion))
  return area.equals(Buffer.alloc(area.length))
}

async function readSlot(disk: Volume, slot: 0 | 1): Promise<Label | LabelError> {
  const bytes = Buffer.alloc(LABEL_SLOT_BYTES)
  const offset = LABEL_SLOT_OFFSETS[slot]
  await settled((completion) => disk.read(offset, bytes, 0, bytes.length, completion))
  try {
    const label = decodeLabel(bytes)
    if (label.generation % 2 === slot) return label
    return new LabelError('corrupt', `is corrupt: generation ${label.generation} in slot ${slot}`)
  } catch (error) {
    if (error instanceof LabelError) return error
    throw error
  }
}
