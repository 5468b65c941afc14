/** Block formats of partitions: which blocks hosts address, and which the storage changes as a whole. */

export interface BlockSizes {
  /** What hosts address: no transfer is of less. */
  readonly logicalBlockSizeBytes: number
  /** What is read before it is written, when less than all of it is. */
  readonly physicalBlockSizeBytes: number
}

/** By the names under which disks are sold. */
export const blockFormats = {
  '512': { logicalBlockSizeBytes: 512, physicalBlockSizeBytes: 512 },
  '512e': { logicalBlockSizeBytes: 512, physicalBlockSizeBytes: 4096 },
  '4kn': { logicalBlockSizeBytes: 4096, physicalBlockSizeBytes: 4096 },
} as const satisfies Readonly<Record<string, BlockSizes>>
export type BlockFormat = keyof typeof blockFormats

/**
 * What partitions get unless it is said otherwise. It tells the truth: a page of the page cache is
 * 4 KiB, and so are the blocks of the file systems and disks below. And every host can use it.
 */
export const DEFAULT_BLOCK_FORMAT: BlockFormat = '512e'

/** The format that has these sizes; undefined if there is none. */
export function findBlockFormat(sizes: BlockSizes): BlockFormat | undefined {
  return (Object.keys(blockFormats) as BlockFormat[]).find(
    (name) =>
      blockFormats[name].logicalBlockSizeBytes === sizes.logicalBlockSizeBytes &&
      blockFormats[name].physicalBlockSizeBytes === sizes.physicalBlockSizeBytes,
  )
}
