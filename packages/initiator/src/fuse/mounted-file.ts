/** A file of a mount, as the drivers see it: of a size that no program can change. */

/** Bytes moved, or a negative errno. */
export type FileDone = (result: number) => void

export interface MountedFile {
  readonly sizeBytes: number
  readonly readOnly: boolean
  /** At the end of the file fewer bytes are read, and beyond it none. */
  read(offset: number, into: Buffer, position: number, length: number, done: FileDone): void
  /** At the end of the file fewer bytes are written, and beyond it there is no space, as on a disk. */
  write(offset: number, from: Buffer, position: number, length: number, done: FileDone): void
  /** As `write` with zeros, of any length; the storage may have the space back. */
  zero(offset: number, length: number, done: FileDone): void
  /** Makes durable what was written. */
  flush(done: FileDone): void
}
