/**
 * Looks at the copies of a range, and makes them agree. All of it is done with the range locked, and in
 * promises: it is needed when something is wrong, and by jobs in the background.
 *
 * No intent to write is recorded for what is written here: it is what another member holds already, so that
 * a crash in the midst of it leaves members no more different than they were.
 */
import { VolumeError } from '../volume.ts'
import type { Member, MemberVolume, RepairedRange } from './member.ts'
import { failMember, type Mirror, type MirrorRange, outcome } from './mirror.ts'
import { whileLocked } from './range-locks.ts'

/** When a range cannot be read at once, it is read in these, to lose no more than must be. */
const BLOCK_BYTES = 4096
const SECTOR_BYTES = 512
/** How much is locked, and in memory of each member, at once. */
const SLICE_BYTES = 1024 * 1024

/**
 * - in-sync: members in sync are to agree
 * - all: those that are being rebuilt too; and of a block in doubt that no member in sync knows to be right,
 *   what the first of them holds is right from now on
 */
export type MendScope = 'in-sync' | 'all'

/** At most as many bytes as the buffers that are used for it hold. */
export interface Slice extends MirrorRange {
  readonly scope: MendScope
}

/** ScrubFindings as they are gathered. */
export interface Findings {
  differingBytes: number
  readonly repaired: RepairedRange[]
}

/** What is wrong with a block of a copy. */
const Fault = { None: 0, Unreadable: 1, Differing: 2 } as const

/** What one member holds of a slice. */
interface Copy {
  readonly member: Member
  readonly volume: MemberVolume
  /** It may be believed. */
  readonly inSync: boolean
  /** The slice is at its beginning. */
  readonly bytes: Buffer
  /** A Fault for each block. */
  readonly faults: Uint8Array
  /** Why the first of the unreadable blocks is. */
  error: VolumeError | null
}

/** Where the blocks of a slice are in it: they end at multiples of their size on the member. */
interface Blocks {
  readonly offset: number
  readonly length: number
  readonly sizeBytes: number
  readonly count: number
}

/**
 * Makes the members of a locked slice agree: each block is taken from the lowest-numbered member in sync that
 * gives it, and written to those that do not, or hold something else. Copies that are equal are not written.
 * `buffers` are filled up by need, one for each member, to be used again for slices no longer than this.
 *
 * Resolves with the bytes, in a buffer that may be longer. Rejects with VolumeError when a block could be had
 * of none, or a member cannot be written and the array cannot do without it; all the rest has then been done.
 */
export async function mend(
  mirror: Mirror,
  slice: Slice,
  buffers: Buffer[],
  findings: Findings,
): Promise<Buffer> {
  const blocks = blocksOf(slice, blockBytes(mirror))
  const copies = openCopies(mirror, slice, buffers, blocks.count)
  const source = copies.find((copy) => copy.inSync)
  if (source === undefined) {
    throw new VolumeError('read', mirror.name, slice.offset, new Error('no member is in sync'))
  }
  await Promise.all(copies.map((copy) => readCopy(copy, blocks)))
  if (copies.every((copy) => copy.error === null && !differs(source, copy, 0, slice.length))) {
    return source.bytes
  }
  let failure: VolumeError | null = null
  for (let block = 0; block < blocks.count; block++) {
    if (slice.scope === 'all') await adoptInDoubt(mirror, copies, blocks, block)
    const error = compareBlock(copies, blocks, block, findings)
    if (error === null || failure !== null) continue
    const at = slice.offset + startOf(blocks, block)
    failure = new VolumeError('read', mirror.name, at, error)
  }
  const refusals = await Promise.all(
    copies.map((copy) => rewrite(mirror, copy, blocks, findings.repaired)),
  )
  failure ??= refusals.find((refusal) => refusal !== null) ?? null
  if (failure !== null) throw failure
  return source.bytes
}

/** As `mend`, of a range of any length, which is locked slice by slice. */
export async function mendRange(
  mirror: Mirror,
  { offset, length }: MirrorRange,
  scope: MendScope,
  findings: Findings,
  beforeSlice: (offset: number) => void = () => {},
): Promise<void> {
  const buffers: Buffer[] = []
  const end = offset + length
  for (let at = offset; at < end; at += SLICE_BYTES) {
    beforeSlice(at)
    const slice = { offset: at, length: Math.min(SLICE_BYTES, end - at), scope }
    await whileLocked(mirror.locks, slice.offset, slice.length, () =>
      mend(mirror, slice, buffers, findings),
    )
  }
}

export function noFindings(): Findings {
  return { differingBytes: 0, repaired: [] }
}

export function blockBytes(mirror: Mirror): number {
  return Math.max(BLOCK_BYTES, mirror.blockSizeBytes)
}

function blocksOf({ offset, length }: Slice, sizeBytes: number): Blocks {
  const count = Math.ceil(((offset % sizeBytes) + length) / sizeBytes)
  return { offset, length, sizeBytes, count }
}

function startOf({ offset, sizeBytes }: Blocks, block: number): number {
  return Math.max(0, block * sizeBytes - (offset % sizeBytes))
}

/** Of the last block, or beyond it. */
function endOf({ offset, length, sizeBytes }: Blocks, block: number): number {
  return Math.min(length, (block + 1) * sizeBytes - (offset % sizeBytes))
}

function openCopies(
  { members }: Mirror,
  { length, scope }: Slice,
  buffers: Buffer[],
  blockCount: number,
): Copy[] {
  const copies: Copy[] = []
  for (const [index, member] of members.entries()) {
    const { state, volume } = member
    if (volume === null || (state === 'rebuilding' && scope !== 'all')) continue
    buffers[index] ??= Buffer.allocUnsafeSlow(length)
    copies.push({
      member,
      volume,
      inSync: state === 'in-sync',
      bytes: buffers[index]!,
      faults: new Uint8Array(blockCount),
      error: null,
    })
  }
  return copies
}

async function readCopy(copy: Copy, blocks: Blocks): Promise<void> {
  const { volume, bytes, faults, inSync } = copy
  const { offset, length, count } = blocks
  copy.error = await outcome((done) => volume.read(offset, bytes, 0, length, done))
  if (copy.error === null) return
  // What a member that is being rebuilt holds is of use only if it spares the writing.
  if (count === 1 || !inSync) {
    faults.fill(Fault.Unreadable)
    return
  }
  for (let block = 0; block < count; block++) {
    const start = startOf(blocks, block)
    const size = endOf(blocks, block) - start
    const error = await outcome((done) => volume.read(offset + start, bytes, start, size, done))
    if (error !== null) faults[block] = Fault.Unreadable
  }
}

/** Sees to it that there is a copy of a block that can be read, if it is in doubt and there is none. */
async function adoptInDoubt(
  mirror: Mirror,
  copies: readonly Copy[],
  blocks: Blocks,
  block: number,
): Promise<void> {
  const candidates = copies.filter((copy) => copy.inSync)
  if (candidates.some((copy) => copy.faults[block] === Fault.None)) return
  const start = startOf(blocks, block)
  const offset = blocks.offset + start
  const length = endOf(blocks, block) - start
  if (!mirror.isDoubtful(offset, length)) return
  for (const { volume, bytes, faults } of candidates) {
    if (volume.checks === undefined) continue
    const isAdopted = await volume.checks.adopt(offset, length).then(
      () => true,
      () => false,
    )
    if (!isAdopted) continue
    const error = await outcome((done) => volume.read(offset, bytes, start, length, done))
    if (error !== null) continue
    faults[block] = Fault.None
    return
  }
}

/** Notes what is wrong with a block, and puts its right bytes into all copies. An error if there are none. */
function compareBlock(
  copies: readonly Copy[],
  blocks: Blocks,
  block: number,
  findings: Findings,
): VolumeError | null {
  const source = copies.find((copy) => copy.inSync && copy.faults[block] === Fault.None)
  if (source === undefined) {
    // There is nothing to write.
    for (const copy of copies) copy.faults[block] = Fault.None
    return copies.find((copy) => copy.inSync)!.error
  }
  const start = startOf(blocks, block)
  const end = endOf(blocks, block)
  for (const copy of copies) {
    if (copy.faults[block] !== Fault.None || !differs(source, copy, start, end)) continue
    copy.faults[block] = Fault.Differing
  }
  const differing = copies.filter((copy) => copy.faults[block] === Fault.Differing)
  for (let at = start; at < end && differing.length > 0; at += SECTOR_BYTES) {
    const isSame = differing.every((copy) => !differs(source, copy, at, at + SECTOR_BYTES))
    if (!isSame) findings.differingBytes += SECTOR_BYTES
  }
  for (const copy of copies) {
    if (copy.faults[block] !== Fault.None) source.bytes.copy(copy.bytes, start, start, end)
  }
  return null
}

function differs(a: Copy, b: Copy, start: number, end: number): boolean {
  return a !== b && a.bytes.compare(b.bytes, start, end, start, end) !== 0
}

/**
 * Writes the blocks that have something wrong. An error if the member fails and has to stay.
 *
 * What was not what its checksum says is made durable: until it is, the old bytes may come back after a
 * crash, which then must not come in the midst of a write of a part of the block, or neither is known to be
 * right on any member.
 */
async function rewrite(
  mirror: Mirror,
  copy: Copy,
  blocks: Blocks,
  repaired: RepairedRange[],
): Promise<VolumeError | null> {
  const { member, volume, bytes, faults, inSync } = copy
  let wasUnreadable = false
  for (let block = 0; block < blocks.count; ) {
    const fault = faults[block]!
    const start = startOf(blocks, block)
    while (block < blocks.count && faults[block] === fault) block++
    if (fault === Fault.None) continue
    const offset = blocks.offset + start
    const length = endOf(blocks, block - 1) - start
    if (member.volume !== volume) return null
    const error = await outcome((done) => volume.write(offset, bytes, start, length, done))
    if (error !== null) return failMember(mirror, member, volume, error)
    if (fault === Fault.Unreadable) {
      wasUnreadable = true
      repaired.push({ memberNumber: member.number, offset, length })
    }
  }
  if (!wasUnreadable || !inSync || volume.checks === undefined) return null
  const error = await outcome((done) => volume.flush(done))
  return error && failMember(mirror, member, volume, error)
}
