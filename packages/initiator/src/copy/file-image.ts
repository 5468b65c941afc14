/** Image files and block devices of this machine. */
import type { Stats } from 'node:fs'
import { constants, type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { loadFileHoles } from './file-holes.ts'
import type { ImageSink, ImageSource } from './image.ts'
import { StreamSink, StreamSource } from './stream-image.ts'
import { putZeros } from './zeros.ts'

/** An image that is to be closed; one that was only read, or written and flushed, loses nothing by that. */
export interface OpenImage<T> {
  readonly image: T
  close(): Promise<void>
}

/** Opens what is to be read: a file, a block device, or what gives its bytes one after the other. */
export async function openImage(path: string): Promise<OpenImage<ImageSource>> {
  const file = await open(path)
  try {
    const found = await file.stat()
    const close = () => file.close()
    if (found.isDirectory()) throw new Error(`${path} is a directory, not an image`)
    if (!found.isFile() && !found.isBlockDevice()) {
      const stream = file.createReadStream({ autoClose: false })
      return { image: new StreamSource(stream), close }
    }
    return { image: new FileImage(path, file, lengthOf(file, found), false), close }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** There is something already, and nobody said that it may be overwritten. */
export class ImageExistsError extends Error {
  override readonly name = 'ImageExistsError'
  readonly path: string

  constructor(path: string) {
    super(`${path} exists`)
    this.path = path
  }
}

/**
 * Opens what is to be written, with `sizeBytes` of zeros if it is a file. Rejects with an ImageExistsError
 * when a file or a block device is there and `overwrite` is not set; pipes and terminals lose nothing.
 */
export async function createImage(
  path: string,
  sizeBytes: number,
  overwrite: boolean,
): Promise<OpenImage<ImageSink>> {
  const found = await stat(path).catch(() => null)
  const occupied = found?.isFile() === true || found?.isBlockDevice() === true
  if (occupied && !overwrite) throw new ImageExistsError(path)
  // O_EXCL only where there was nothing: whoever made the file meanwhile keeps it.
  const { O_WRONLY, O_CREAT, O_EXCL } = constants
  const file = await open(path, found === null ? O_WRONLY | O_CREAT | O_EXCL : O_WRONLY)
  const close = () => file.close()
  try {
    if (found === null || found.isFile()) {
      await file.truncate(0)
      await file.truncate(sizeBytes)
      const image = new FileImage(path, file, sizeBytes, true)
      return { image: found === null ? withDirectory(image, path) : image, close }
    }
    if (!found.isBlockDevice()) {
      return {
        image: new StreamSink((bytes) => named(path, () => writeAll(file, bytes, null))),
        close,
      }
    }
    const deviceBytes = lengthOf(file, found)
    if (deviceBytes >= sizeBytes) {
      return { image: new FileImage(path, file, sizeBytes, false), close }
    }
    throw new Error(`${path} has ${deviceBytes} bytes, and ${sizeBytes} are to be written`)
  } catch (error) {
    await file.close()
    throw error
  }
}

function lengthOf(file: FileHandle, found: Stats): number {
  return found.isBlockDevice() ? loadFileHoles().deviceBytes(file.fd) : found.size
}

class FileImage implements ImageSource, ImageSink {
  readonly sequential = false
  readonly sizeBytes: number
  readonly #path: string
  readonly #file: FileHandle
  /** What was not written are zeros. */
  readonly #empty: boolean

  constructor(path: string, file: FileHandle, sizeBytes: number, empty: boolean) {
    this.#path = path
    this.#file = file
    this.sizeBytes = sizeBytes
    this.#empty = empty
  }

  dataFrom(offset: number): number {
    return loadFileHoles().dataFrom(this.#file.fd, offset, this.sizeBytes)
  }

  read(offset: number, into: Buffer): Promise<number> {
    return named(this.#path, async () => {
      let got = 0
      while (got < into.length) {
        const { bytesRead } = await this.#file.read(into, got, into.length - got, offset + got)
        if (bytesRead === 0) break
        got += bytesRead
      }
      return got
    })
  }

  write(offset: number, from: Buffer): Promise<void> {
    return named(this.#path, () => writeAll(this.#file, from, offset))
  }

  async zero(offset: number, length: number): Promise<void> {
    if (!this.#empty) await putZeros(offset, length, (at, zeros) => this.write(at, zeros))
  }

  flush(): Promise<void> {
    return named(this.#path, () => this.#file.sync())
  }
}

/** Node does not say which file could not be read or written. */
async function named<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    throw Object.assign(new Error(`${path}: ${message}`, { cause: error }), { code })
  }
}

/** A new file is durable when its directory has it. */
function withDirectory(image: ImageSink, path: string): ImageSink {
  return {
    sequential: image.sequential,
    write: (offset, from) => image.write(offset, from),
    zero: (offset, length) => image.zero(offset, length),
    async flush() {
      await image.flush()
      const directory = await open(dirname(path))
      try {
        await directory.sync()
      } finally {
        await directory.close()
      }
    },
  }
}

/** At the file's own position if `offset` is null. */
async function writeAll(file: FileHandle, bytes: Buffer, offset: number | null): Promise<void> {
  for (let put = 0; put < bytes.length; ) {
    const at = offset === null ? null : offset + put
    put += (await file.write(bytes, put, bytes.length - put, at)).bytesWritten
  }
}
