/**
 * The seam between what a mount shows and how the kernel is spoken to. A driver gets a flat directory
 * of files, and answers the kernel's requests from it.
 */
import type { BlockFile } from './block-file.ts'

/** File names to files. */
export type BlockDirectory = ReadonlyMap<string, BlockFile>

export interface MountOptions {
  /** An empty directory: see mountpoint.ts. */
  readonly directory: string
  /** What mount(8) shows as the device. */
  readonly source: string
  /** Other users may use the files too; else only the one who mounts. */
  readonly allowOther: boolean
}

/** Mounts the files; resolves when programs can use them. */
export type FuseDriver = (files: BlockDirectory, options: MountOptions) => Promise<void>
