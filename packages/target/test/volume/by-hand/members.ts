// The data of the members, a block of 4096 bytes at a time, with what is known of each block.

import type { Assembly } from './assembly.ts'
import { regionsInDoubt } from './bitmap.ts'
import { crc32c } from './crc32c.ts'
import type { Label } from './label.ts'
import { journaledBytes } from './row-journal.ts'

export const BLOCK = 4096
const CHECKSUM_OF_ZEROS = 0x98f94189

/**
 * A block as a member holds it. It is `right` if nothing speaks against it, `doubtful` if its
 * checksum does but may be older than it, and `wrong` otherwise.
 */
export interface Block {
  readonly bytes: Buffer
  readonly is: 'right' | 'doubtful' | 'wrong'
}

export class Members {
  readonly #label: Label
  readonly #inDoubt: readonly boolean[]
  readonly #disks: (Buffer | undefined)[]
  readonly #data: (Buffer | undefined)[]
  readonly #rebuilt: readonly boolean[]

  /** Reads the bitmap, and writes what the row journal says into copies of the members' data. */
  constructor({ label, members }: Assembly, disks: readonly Buffer[]) {
    this.#label = label
    this.#disks = members.map(({ disk }) => (disk === undefined ? undefined : disks[disk]))
    this.#rebuilt = members.map(({ state }) => state === 'being rebuilt')
    const there = this.#disks.filter((disk) => disk !== undefined)
    this.#inDoubt = regionsInDoubt(label, there)
    const { dataOffset, dataSize } = label
    this.#data = this.#disks.map(
      (disk) => disk && Buffer.from(disk.subarray(dataOffset, dataOffset + dataSize)),
    )
    for (const { member, offset, bytes } of journaledBytes(label, there)) {
      this.#data[member]?.set(bytes, offset)
    }
  }

  /** Undefined if the member is absent, or is being rebuilt and does not hold this block yet. */
  block(member: number, offset: number): Block | undefined {
    const bytes = this.#data[member]?.subarray(offset, offset + BLOCK)
    if (bytes === undefined) return undefined
    const inDoubt = this.#inDoubt[Math.floor(offset / this.#label.regionSize)] === true
    if (this.#rebuilt[member] && inDoubt) return undefined
    if (this.fits(member, offset, bytes)) return { bytes, is: 'right' }
    return { bytes, is: inDoubt ? 'doubtful' : 'wrong' }
  }

  /** Whether bytes are those that the checksum of a member's block is of. */
  fits(member: number, offset: number, bytes: Buffer): boolean {
    const { checksums } = this.#label
    if (checksums.size === 0) return true
    const at = checksums.offset + 4 * (offset / BLOCK)
    const stored = (this.#disks[member] as Buffer).readUInt32BE(at)
    return (crc32c(bytes) ^ CHECKSUM_OF_ZEROS) >>> 0 === stored
  }
}
