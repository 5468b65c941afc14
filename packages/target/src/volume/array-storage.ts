/** An array's bytes: its level over its members, put together as the description says. */
import { type ArrayDescription, levels } from './array-description.ts'
import type { ArrayMembers } from './array-members.ts'
import { LABEL_AREA_BYTES } from './label-slots.ts'
import type { Clock } from './raid/clock.ts'
import { IntegrityVolume } from './raid/integrity-volume.ts'
import { IntentBitmap } from './raid/intent-bitmap.ts'
import { IntentCopies } from './raid/intent-copies.ts'
import type { Member, MemberVolume, RedundantVolume, ScrubFindings } from './raid/member.ts'
import { MirroredVolume } from './raid/mirrored-volume.ts'
import { ParityVolume } from './raid/parity-volume.ts'
import { RingJournal } from './raid/stripe-journal.ts'
import type { WriteIntents } from './raid/write-intents.ts'
import { settled } from './settled.ts'
import { SliceVolume } from './slice-volume.ts'
import { StripedVolume } from './striped-volume.ts'
import type { Volume } from './volume.ts'

/** The volumes whose members hold copies or parity of each other, and the journal of rows where there is one. */
interface Parts {
  readonly parts: readonly RedundantVolume[]
  readonly journal?: RingJournal
}

/** What an array that keeps more than data has beside them. */
interface Redundancy extends Parts {
  readonly intents: IntentBitmap
}

/**
 * Makes the areas of a disk ready for an array, durably: nothing may differ, nothing is under way, and all
 * data are zeros as far as their checksums know. Rejects with VolumeError.
 */
export async function prepareDisk(disk: Volume, description: ArrayDescription): Promise<void> {
  const { intents, checksums } = description.areas
  await clearJournal(disk, description)
  if (checksums.length > 0) {
    const { offset, length } = checksums
    await settled((completion) => disk.discard(offset, length, completion))
  }
  if (intents.length > 0) {
    await IntentCopies.format(new SliceVolume(disk, intents), intentGeometry(description))
  }
  await settled((completion) => disk.flush(completion))
}

/** Forgets the updates of rows that were under way when a disk was last a member, durably. */
export async function clearJournal(disk: Volume, { areas }: ArrayDescription): Promise<void> {
  const { offset, length } = areas.journal
  if (length === 0) return
  await settled((completion) => disk.discard(offset, length, completion))
  await settled((completion) => disk.flush(completion))
}

function intentGeometry({ arrayId, areas, regionSizeBytes }: ArrayDescription) {
  return { arrayId, memberSizeBytes: areas.data.length, regionSizeBytes }
}

export class ArrayStorage {
  /** What partitions are cut of. */
  readonly volume: Volume
  /** Where the records of atomic writes go: by disk, or as one that all members mirror. */
  readonly journalDisks: readonly Volume[]
  /** Null for plain RAID 0. */
  readonly intents: IntentBitmap | null
  readonly #parts: readonly RedundantVolume[]
  readonly #journal: RingJournal | undefined

  private constructor(
    volume: Volume,
    journalDisks: readonly Volume[],
    redundancy: Redundancy | null,
  ) {
    this.volume = volume
    this.journalDisks = journalDisks
    this.intents = redundancy?.intents ?? null
    this.#parts = redundancy?.parts ?? []
    this.#journal = redundancy?.journal
  }

  /** Finishes what a crash has cut short, but for `resync`. Rejects with Error. */
  static async open(members: ArrayMembers, clock?: Clock): Promise<ArrayStorage> {
    const { arrayName, chunkSizeBytes, areas } = members.description
    if (areas.intents.length > 0) return openRedundant(members, clock)
    const disks = members.present()
    const volume = new StripedVolume({
      name: arrayName,
      members: disks,
      chunkSizeBytes,
      memberOffset: areas.data.offset,
      memberSizeBytes: areas.data.length,
    })
    return new ArrayStorage(volume, disks, null)
  }

  static redundant(
    volume: Volume,
    journalDisks: readonly Volume[],
    redundancy: Redundancy,
  ): ArrayStorage {
    return new ArrayStorage(volume, journalDisks, redundancy)
  }

  /** Makes members agree about these bytes of each of them. Rejects with VolumeError. */
  async resync(offset: number, length: number): Promise<void> {
    for (const part of this.#parts) await part.resync(offset, length)
  }

  /** Compares what members have of these bytes, and mends it. Rejects with VolumeError. */
  async scrub(offset: number, length: number): Promise<ScrubFindings> {
    let differingBytes = 0
    const repaired = []
    for (const part of this.#parts) {
      const findings = await part.scrub(offset, length)
      differingBytes += findings.differingBytes
      repaired.push(...findings.repaired)
    }
    return { differingBytes, repaired }
  }

  /** After all that used the volume has ended. The disks stay open. */
  async close(): Promise<void> {
    await this.intents?.close()
    for (const part of this.#parts) await part.close()
    await this.#journal?.close()
  }
}

async function openRedundant(members: ArrayMembers, clock?: Clock): Promise<ArrayStorage> {
  const { description } = members
  const { areas, arrayName } = description
  let storage: ArrayStorage | null = null
  const intents = await IntentBitmap.load({
    ...intentGeometry(description),
    name: arrayName,
    members: members.viewArea(areas.intents),
    failures: members,
    flush: (completion) => storage!.volume.flush(completion),
    ...(clock === undefined ? {} : { clock }),
  })
  const data = members.view((disk) => openData(disk, description))
  const { parts, journal } = await openParts(members, data, intents)
  const volume = parts.length === 1 ? parts[0]! : stripe(parts, description)
  storage = ArrayStorage.redundant(volume, journalDisksOf(members), {
    intents,
    parts,
    ...(journal === undefined ? {} : { journal }),
  })
  return storage
}

/** A member's data, with checksums if the array keeps them. */
function openData(disk: Volume, { areas }: ArrayDescription): MemberVolume {
  const data = new SliceVolume(disk, areas.data)
  if (areas.checksums.length === 0) return data
  return new IntegrityVolume({
    data,
    checksums: new SliceVolume(disk, areas.checksums),
    areOnOneDisk: true,
  })
}

async function openParts(
  members: ArrayMembers,
  data: readonly Member[],
  intents: IntentBitmap,
): Promise<Parts> {
  const { description } = members
  const { level, arrayName, areas } = description
  const mirror = (copies: readonly Member[], name = `${arrayName}:${copies[0]!.number}`) =>
    new MirroredVolume({
      name,
      sizeBytes: areas.data.length,
      members: copies,
      failures: members,
      intents,
      isDoubtful: (offset, length) => intents.isDoubtful(offset, length),
    })
  if (level === 'raid1') return { parts: [mirror(data, arrayName)] }
  if (level === 'raid0') return { parts: data.map((member) => mirror([member])) }
  if (level === 'raid10') {
    const pairs = Array.from({ length: data.length / 2 }, (_, pair) => 2 * pair)
    return { parts: pairs.map((first) => mirror(data.slice(first, first + 2))) }
  }
  return openParity(members, data, intents)
}

async function openParity(
  members: ArrayMembers,
  data: readonly Member[],
  intents: IntentBitmap,
): Promise<Parts> {
  const { arrayId, arrayName, chunkSizeBytes, areas, level } = members.description
  const parityCount = level === 'raid6' ? 2 : 1
  const journal = new RingJournal({
    arrayId,
    name: arrayName,
    areas: members.viewArea(areas.journal),
    areaSizeBytes: areas.journal.length,
    members: data,
    failures: members,
    parityCount,
  })
  await journal.recover()
  const volume = new ParityVolume({
    name: arrayName,
    geometry: { memberCount: data.length, parityCount, chunkSizeBytes },
    memberSizeBytes: areas.data.length,
    members: data,
    failures: members,
    intents,
    journal,
    isDoubtful: (offset, length) => intents.isDoubtful(offset, length),
  })
  return { parts: [volume], journal }
}

function stripe(parts: readonly Volume[], description: ArrayDescription): StripedVolume {
  const { arrayName, chunkSizeBytes } = description
  return new StripedVolume({ name: arrayName, members: parts, chunkSizeBytes })
}

/** With redundancy, the record of an atomic write is one that all members hold. */
function journalDisksOf(members: ArrayMembers): readonly Volume[] {
  const { level, members: entries, arrayName } = members.description
  if (levels[level].redundancy(entries.length) === 0) return members.present()
  const labelArea = members.viewArea({ offset: 0, length: LABEL_AREA_BYTES })
  return [
    new MirroredVolume({
      name: arrayName,
      sizeBytes: LABEL_AREA_BYTES,
      members: labelArea,
      failures: members,
      intents: NO_INTENTS,
    }),
  ]
}

/** A record counts if a member holds all of it, whatever the others do: they need not be made to agree. */
const NO_INTENTS: WriteIntents = {
  beginNow: () => true,
  begin: (_offset, _length, completion) => process.nextTick(() => completion.ioCompleted(null)),
  end: () => {},
  holdMarks: () => {},
}
