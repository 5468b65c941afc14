// Reads partitions from the bytes of an array's disks, as docs/volume-format.md says and nothing
// else: no code of the server is used, and no disk is written.

import { type Assembly, assemble } from './assembly.ts'
import { atomicWrite } from './atomic-journal.ts'
import { dataChunksPerRow, type Label, type Partition, parityCount } from './label.ts'
import { BLOCK, type Block, Members } from './members.ts'
import { restoreRow, rowLayout } from './parity.ts'

export interface ArrayByHand extends Assembly {
  partitions(): readonly Partition[]
  /** @throws Error when there is no such partition, or bytes of it are lost. */
  readPartition(name: string): Buffer
}

/**
 * Opens an array from all bytes of its disks, in any order and with others among them.
 * @throws Error that says why, when there is no such array or it cannot be used.
 */
export function openByHand(disks: readonly Buffer[], arrayName: string): ArrayByHand {
  const assembly = assemble(disks, arrayName)
  const members = new Members(assembly, disks)
  return {
    ...assembly,
    partitions: () => assembly.label.partitions,
    readPartition(name) {
      const partition = assembly.label.partitions.find((each) => each.name === name)
      if (partition === undefined) throw new Error(`There is no partition ${name}`)
      const bytes = readExtents(assembly, members, partition)
      const inSync = assembly.members.flatMap(({ state, disk }) =>
        state === 'in sync' && disk !== undefined ? [disks[disk] as Buffer] : [],
      )
      for (const part of atomicWrite(assembly.label, inSync)) {
        if (part.partitionId === partition.id) bytes.set(part.bytes, part.offset)
      }
      return bytes
    },
  }
}

function readExtents(assembly: Assembly, members: Members, partition: Partition): Buffer {
  const { label } = assembly
  const width = dataChunksPerRow(label.level, label.members.length)
  const blocks: Buffer[] = []
  for (const { startRow, rowCount } of partition.extents) {
    for (let chunk = startRow * width; chunk < (startRow + rowCount) * width; chunk++) {
      for (let at = 0; at < label.chunkSize; at += BLOCK) {
        blocks.push(readBlock(assembly, members, chunk, at))
      }
    }
  }
  return Buffer.concat(blocks).subarray(0, partition.size)
}

/** On which members a chunk of the array is, the same in each of them: chunk `row`. */
export function placeOf(
  { level, members }: Label,
  chunk: number,
): { readonly row: number; readonly holders: readonly number[] } {
  const width = dataChunksPerRow(level, members.length)
  const row = Math.floor(chunk / width)
  const k = chunk % width
  if (level === 0) return { row, holders: [k] }
  if (level === 1) return { row, holders: [...members.keys()] }
  if (level === 10) return { row, holders: [2 * k, 2 * k + 1] }
  const { data } = rowLayout(members.length, parityCount(level), row)
  return { row, holders: [data[k] as number] }
}

/** The block at `at` of a chunk of the array. */
function readBlock({ label }: Assembly, members: Members, chunk: number, at: number): Buffer {
  const { row, holders } = placeOf(label, chunk)
  const offset = row * label.chunkSize + at
  const parities = parityCount(label.level)
  if (parities === 0) return oneOf(members, holders, offset)
  const layout = rowLayout(label.members.length, parities, row)
  const holder = holders[0] as number
  const block = members.block(holder, offset)
  if (block?.is === 'right') return block.bytes
  const there = believable(members, [...label.members.keys()], offset, (some) =>
    restoreRow(layout, some, BLOCK),
  )
  return restoreRow(layout, there, BLOCK)[holder] as Buffer
}

/** From the first copy that is right, or else from the first that may be. */
function oneOf(members: Members, copies: readonly number[], offset: number): Buffer {
  const blocks = copies.map((member) => members.block(member, offset))
  const block =
    blocks.find((each) => each?.is === 'right') ?? blocks.find((each) => each?.is === 'doubtful')
  if (block === undefined) throw new Error(`Byte ${offset} of members ${copies} is lost`)
  return block.bytes
}

/**
 * The members' bytes of a row that can be believed: those that are right, and of the doubtful ones
 * what the others say if it fits the checksum, and what the member itself holds if not.
 */
function believable(
  members: Members,
  numbers: readonly number[],
  offset: number,
  restore: (there: readonly (Buffer | undefined)[]) => readonly Buffer[],
): (Buffer | undefined)[] {
  const blocks = numbers.map((member) => members.block(member, offset))
  const right = blocks.map((block) => (block?.is === 'right' ? block.bytes : undefined))
  if (!blocks.some((block) => block?.is === 'doubtful')) return right
  const others = attempt(() => restore(right))
  return blocks.map((block: Block | undefined, member) => {
    if (block?.is !== 'doubtful') return right[member]
    const restored = others?.[member]
    return restored && members.fits(member, offset, restored) ? restored : block.bytes
  })
}

function attempt<T>(compute: () => T): T | undefined {
  try {
    return compute()
  } catch {
    return undefined
  }
}
