/** The part of fuse-native 2.2.6 that we use; the package has no types of its own. */
declare module 'fuse-native' {
  /** The first argument is 0 or a negative errno; for `read` and `write`, or the count of bytes. */
  type Answer<T = never> = (result: number, value?: T) => void

  interface Attributes {
    readonly mode: number
    readonly uid: number
    readonly gid: number
    readonly size: number
    readonly ino: number
    readonly nlink: number
    readonly blksize: number
    readonly blocks: number
    readonly mtime: Date
    readonly atime: Date
    readonly ctime: Date
  }

  interface Operations {
    getattr?(path: string, answer: Answer<Attributes>): void
    fgetattr?(path: string, fd: number, answer: Answer<Attributes>): void
    readdir?(path: string, answer: Answer<readonly string[]>): void
    statfs?(path: string, answer: Answer<Record<string, number>>): void
    open?(path: string, flags: number, answer: Answer<number>): void
    release?(path: string, fd: number, answer: Answer): void
    /** `buffer` is libfuse's own, and lives until the answer. */
    read?(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      answer: Answer,
    ): void
    write?(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      offset: number,
      answer: Answer,
    ): void
    flush?(path: string, fd: number, answer: Answer): void
    fsync?(path: string, datasync: number, fd: number, answer: Answer): void
    truncate?(path: string, size: number, answer: Answer): void
    ftruncate?(path: string, fd: number, size: number, answer: Answer): void
    utimens?(path: string, atime: number, mtime: number, answer: Answer): void
    chmod?(path: string, mode: number, answer: Answer): void
    chown?(path: string, uid: number, gid: number, answer: Answer): void
    create?(path: string, mode: number, answer: Answer<number>): void
    unlink?(path: string, answer: Answer): void
    rename?(path: string, to: string, answer: Answer): void
    mkdir?(path: string, mode: number, answer: Answer): void
  }

  interface Options {
    readonly timeout?: false
    readonly autoUnmount?: boolean
    readonly allowOther?: boolean
    readonly defaultPermissions?: boolean
    readonly fsname?: string
    readonly subtype?: string
  }

  class Fuse {
    constructor(directory: string, operations: Operations, options: Options)
    mount(done: (error: Error | null) => void): void
    /** What `-o` gets, with `-o` in front; or nothing. */
    protected _fuseOptions(): string
  }

  export { type Attributes, type Operations, type Options }
  // biome-ignore lint/style/noDefaultExport: the package has one.
  export default Fuse
}
