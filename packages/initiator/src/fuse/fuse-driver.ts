/**
 * The seam between what a mount shows and how the kernel is spoken to. A driver gets a tree of files,
 * and answers the kernel's requests from it.
 */
import type { Tree } from './tree.ts'

export interface MountOptions {
  /** An empty directory: see mountpoint.ts. */
  readonly directory: string
  /** What mount(8) shows as the device. */
  readonly source: string
  /** Other users may use the files too; else only the one who mounts. */
  readonly allowOther: boolean
}

/** Mounts the tree; resolves when programs can use its files. */
export type FuseDriver = (tree: Tree, options: MountOptions) => Promise<void>
