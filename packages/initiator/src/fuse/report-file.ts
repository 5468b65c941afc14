/** A text that is made when somebody looks, as a file that can only be read. */
import { Errno } from './errno.ts'
import type { FileDone, MountedFile } from './mounted-file.ts'

/** A text stays for so long, in ms: who has asked for its size reads what that is the size of. */
const STAYS_MS = 1000
/** Its size is a multiple of this, so that it hardly ever changes: a program may know the old one. */
const PAGE_BYTES = 4096
const BLANK = 0x20
const NEWLINE = 0x0a

export class ReportFile implements MountedFile {
  readonly readOnly = true
  readonly #report: () => string
  #bytes = Buffer.alloc(0)
  #madeMs = Number.NEGATIVE_INFINITY

  /** `report` gives the text as it is now; it must not mind blanks at its end. */
  constructor(report: () => string) {
    this.#report = report
  }

  get sizeBytes(): number {
    return this.#current().length
  }

  read(offset: number, into: Buffer, position: number, length: number, done: FileDone): void {
    // Its beginning is read from a new text, all else from the same.
    const bytes = offset === 0 ? this.#current() : this.#bytes
    done(bytes.copy(into, position, offset, offset + length))
  }

  write(_: number, _from: Buffer, _position: number, _length: number, done: FileDone): void {
    done(Errno.ReadOnly)
  }

  zero(_: number, _length: number, done: FileDone): void {
    done(Errno.ReadOnly)
  }

  flush(done: FileDone): void {
    done(0)
  }

  #current(): Buffer {
    const nowMs = performance.now()
    if (nowMs - this.#madeMs < STAYS_MS) return this.#bytes
    const text = this.#report()
    const length = Buffer.byteLength(text) + 1
    this.#bytes = Buffer.alloc(Math.ceil(length / PAGE_BYTES) * PAGE_BYTES, BLANK)
    this.#bytes.write(text)
    this.#bytes[this.#bytes.length - 1] = NEWLINE
    this.#madeMs = nowMs
    return this.#bytes
  }
}
