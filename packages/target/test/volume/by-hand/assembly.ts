// Finds the disks of an array among others: which of them is which member, and which are not used.

import { type Label, labelOf } from './label.ts'

/** A member of the array, with the number of its disk among those given, if there is one to use. */
export interface Member {
  readonly number: number
  readonly state: 'in sync' | 'being rebuilt' | 'absent'
  readonly disk?: number
  /** Why it is absent. */
  readonly reason?: string
}

export interface Assembly {
  /** The newest label: what describes the array. */
  readonly label: Label
  readonly members: readonly Member[]
}

interface LabeledDisk {
  readonly disk: number
  readonly size: number
  readonly label: Label
}

/** @throws Error that says why, when there is no such array or it cannot be used. */
export function assemble(disks: readonly Buffer[], arrayName: string): Assembly {
  const found = disksOf(disks, arrayName)
  const label = newest(found)
  if (label.state !== 'ready') throw new Error(`Array ${arrayName} is ${label.state}`)
  const members = label.members.map((_, number) => memberFor(label, number, found))
  checkRedundancy(label.level, members)
  return { label, members }
}

function disksOf(disks: readonly Buffer[], arrayName: string): LabeledDisk[] {
  const byArray = new Map<string, LabeledDisk[]>()
  disks.forEach((bytes, disk) => {
    const label = labelOf(bytes)
    if (label === undefined) return
    const others = byArray.get(label.arrayId) ?? []
    byArray.set(label.arrayId, [...others, { disk, size: bytes.length, label }])
  })
  const named = [...byArray.values()].filter((each) => newest(each).arrayName === arrayName)
  if (named.length > 1) throw new Error(`${named.length} arrays have the name ${arrayName}`)
  if (named[0] === undefined) throw new Error(`No disk is one of an array ${arrayName}`)
  return named[0]
}

function newest(disks: readonly LabeledDisk[]): Label {
  return disks.map((each) => each.label).reduce((a, b) => (b.generation > a.generation ? b : a))
}

/** A label that is one change behind agrees in all that no change touches. */
function checkAgreement(newest: Label, { disk, label }: LabeledDisk): void {
  if (label.generation < newest.generation - 1) return
  const lasting = ({ arrayName, level, members, chunkSize, dataOffset, dataSize }: Label) =>
    [arrayName, level, members.length, chunkSize, dataOffset, dataSize].join(' ')
  const areas = ({ regionSize, bitmap, checksums, rowJournal }: Label) =>
    JSON.stringify([regionSize, bitmap, checksums, rowJournal])
  const same =
    label.generation === newest.generation
      ? label.description.equals(newest.description)
      : lasting(label) === lasting(newest) && areas(label) === areas(newest)
  if (!same) throw new Error(`Disk ${disk} describes the array differently`)
}

function memberFor(label: Label, number: number, found: readonly LabeledDisk[]): Member {
  const record = label.members[number]
  if (record === undefined) throw new Error(`There is no member ${number}`)
  const own = found.filter(
    (each) =>
      each.label.memberNumber === number && each.label.members[number]?.diskId === record.diskId,
  )
  if (own.length > 1) throw new Error(`Member ${number} is there twice`)
  for (const each of own) checkAgreement(label, each)
  const absent = (reason: string): Member => ({ number, state: 'absent', reason })
  const disk = own[0]
  if (record.state === 'absent') {
    if (disk && disk.label.generation >= record.since) {
      throw new Error(`Member ${number} was used without the others`)
    }
    return absent(`absent since generation ${record.since}`)
  }
  if (disk === undefined) return absent('missing')
  if (disk.label.generation < label.generation - 1) {
    return absent(`at generation ${disk.label.generation} of ${label.generation}`)
  }
  if (disk.size < label.dataOffset + label.dataSize) return absent('too small')
  return { number, state: record.state, disk: disk.disk }
}

function checkRedundancy(level: number, members: readonly Member[]): void {
  const lost = members.filter((each) => each.state !== 'in sync')
  const lostTwins = lost.filter((each) => lost.some((other) => other.number === (each.number ^ 1)))
  const usable =
    (level === 0 && lost.length === 0) ||
    (level === 1 && lost.length < members.length) ||
    (level === 10 && lostTwins.length === 0) ||
    (level === 5 && lost.length <= 1) ||
    (level === 6 && lost.length <= 2)
  if (usable) return
  const why = lost.map(({ number, reason, state }) => `member ${number} is ${reason ?? state}`)
  throw new Error(`The array lacks too much: ${why.join(', ')}`)
}
