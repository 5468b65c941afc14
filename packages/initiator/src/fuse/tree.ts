/**
 * What a mount shows: a root directory with files, and with directories of files. It may be changed
 * while it is mounted; who has a file open keeps it.
 */
import type { MountedFile } from './mounted-file.ts'

export const ROOT_INODE = 1

/** A name in a directory, and what it stands for. */
export interface Entry {
  /** Never that of another entry, as long as the tree exists. */
  readonly inode: number
  readonly content: Directory | MountedFile
  /** Times that the kernel has been told of it, and has not forgotten it. */
  lookups: number
  linked: boolean
}

export class Directory {
  /** In the order in which they were made; changed by the tree alone. */
  readonly entries = new Map<string, Entry>()
  /** One that is not listed is found by those who know its name, as .zfs is. */
  readonly listed: boolean

  constructor({ listed = true } = {}) {
    this.listed = listed
  }

  /** What a listing of it shows. */
  *listing(): Iterable<[name: string, entry: Entry]> {
    for (const named of this.entries) {
      const [, { content }] = named
      if (!(content instanceof Directory) || content.listed) yield named
    }
  }
}

export class Tree {
  readonly root = new Directory()
  readonly #byInode = new Map<number, Entry>()
  #nextInode = ROOT_INODE

  constructor() {
    this.#enter(this.root)
  }

  /** Throws an Error if the directory has that name. */
  add(directory: Directory, name: string, content: Directory | MountedFile): void {
    if (directory.entries.has(name)) throw new Error(`there is a ${name} already`)
    directory.entries.set(name, this.#enter(content))
  }

  /** The name is gone at once; what it stood for, when nobody has it open. */
  remove(directory: Directory, name: string): void {
    const entry = directory.entries.get(name)
    if (entry === undefined) return
    directory.entries.delete(name)
    entry.linked = false
    this.#dropIfUnused(entry)
  }

  /** Undefined where there is none, or none any more. */
  at(inode: number): Entry | undefined {
    return this.#byInode.get(inode)
  }

  /** The entry at a path as `/a/b`; that of the root is `/`. */
  find(path: string): Entry | undefined {
    let entry = this.#byInode.get(ROOT_INODE)
    for (const name of path.split('/')) {
      if (name === '') continue
      if (!(entry?.content instanceof Directory)) return undefined
      entry = entry.content.entries.get(name)
    }
    return entry
  }

  /** All files that have a name in a directory that is listed. */
  *files(directory = this.root): Iterable<MountedFile> {
    for (const [, { content }] of directory.listing()) {
      if (content instanceof Directory) yield* this.files(content)
      else yield content
    }
  }

  /** The kernel forgets `count` of the times that it was told of the entry. */
  forget(inode: number, count: number): void {
    const entry = this.#byInode.get(inode)
    if (entry === undefined) return
    entry.lookups -= count
    this.#dropIfUnused(entry)
  }

  #enter(content: Directory | MountedFile): Entry {
    const entry = { inode: this.#nextInode++, content, lookups: 0, linked: true }
    this.#byInode.set(entry.inode, entry)
    return entry
  }

  #dropIfUnused(entry: Entry): void {
    if (!entry.linked && entry.lookups <= 0) this.#byInode.delete(entry.inode)
  }
}
