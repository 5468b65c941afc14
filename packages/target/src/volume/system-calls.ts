/**
 * The Linux system calls that Node lacks, through koffi, whose binary ships in its npm package. All
 * of them take plain numbers and answer as the kernel does: a count, or a negative errno.
 */
import { createRequire } from 'node:module'
import os from 'node:os'

/** Calls on an open descriptor. Offsets and lengths are bytes; buffers are the caller's. */
export interface SystemCalls {
  /** pread(2): may wait for the disk. */
  pread(fd: number, into: Buffer, position: number, length: number, offset: number): number
  /** preadv2(2) with RWF_NOWAIT: -EAGAIN, or fewer bytes, where a disk would have to be waited for. */
  preadNoWait(fd: number, into: Buffer, position: number, length: number, offset: number): number
  /** pwrite(2). */
  pwrite(fd: number, from: Buffer, position: number, length: number, offset: number): number
  /** flock(2) with LOCK_EX | LOCK_NB: -EWOULDBLOCK if another open of the file holds it. */
  lockExclusively(fd: number): number
  /** fallocate(2) punching a hole, in another thread; `done` learns only whether it was done. */
  punchHole(fd: number, offset: number, length: number, done: (punched: boolean) => void): void
  /** lseek(2) to the first data, or the first hole, at `offset` or after it, in another thread. */
  seek(fd: number, offset: number, to: 'data' | 'hole', done: (found: number) => void): void
}

/** The calls, or null and why there are none. */
export interface SystemCallsAvailable {
  readonly calls: SystemCalls | null
  /** For the user, once: what is missing, and what that means. */
  readonly notice: string | null
}

const RWF_NOWAIT = 0x8
const LOCK_EX_NB = 0x2 | 0x4
const FALLOC_FL_KEEP_SIZE = 0x1
const FALLOC_FL_PUNCH_HOLE = 0x2
const SEEK_DATA = 3
const SEEK_HOLE = 4

/** Errors that are part of normal work, as the negative numbers that SystemCalls answer with. */
export const Errno = {
  WouldBlock: -os.constants.errno.EAGAIN,
  NotSupported: -os.constants.errno.EOPNOTSUPP,
  /** Of `seek` to data: there are none any more. */
  NothingThere: -os.constants.errno.ENXIO,
} as const

/** An Error as node:fs would have made it, for a negative errno that a SystemCalls function gave. */
export function systemError(call: string, negativeErrno: number): Error {
  const errno = -negativeErrno
  const code = Object.entries(os.constants.errno).find(([, number]) => number === errno)?.[0]
  const error = new Error(`${code ?? `errno ${errno}`}: ${call}`)
  return Object.assign(error, { errno: negativeErrno, code, syscall: call })
}

type AsyncCall = (ended: () => void) => void

/**
 * koffi throws when too many asynchronous calls wait, and what they do to one file is done one by one
 * anyway: a few run at a time.
 */
class CallQueue {
  static readonly #runningMax = 4
  readonly #waiting: AsyncCall[] = []
  #running = 0

  add(call: AsyncCall): void {
    this.#waiting.push(call)
    this.#startNext()
  }

  #startNext(): void {
    if (this.#running === CallQueue.#runningMax) return
    const call = this.#waiting.shift()
    if (call === undefined) return
    this.#running++
    call(() => {
      this.#running--
      this.#startNext()
    })
  }
}

function load(): SystemCalls {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new Error(`they are there on 64-bit Linux only, this is ${process.platform}`)
  }
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const libc = koffi.load(null)
  const pread = libc.func('int64_t pread(int fd, uintptr_t buf, size_t count, int64_t offset)')
  const pwrite = libc.func('int64_t pwrite(int fd, uintptr_t buf, size_t count, int64_t offset)')
  const preadv2 = libc.func(
    'int64_t preadv2(int fd, uintptr_t iov, int count, int64_t offset, int flags)',
  )
  const flock = libc.func('int flock(int fd, int operation)')
  const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)')
  const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)')

  // Asked anew for each call: 60 ns, as much as looking it up in a cache, and never stale.
  const addressOf = (buffer: Buffer) => Number(koffi.address(buffer))
  const outcome = (result: number) => (result < 0 ? -koffi.errno() : result)

  // One struct iovec, filled before each call, which has ended before the next.
  const iovec = new Float64Array(2)
  const iovecWords = new Uint32Array(iovec.buffer)
  const iovecAddress = addressOf(Buffer.from(iovec.buffer))

  const slowCalls = new CallQueue()

  return {
    pread: (fd, into, position, length, offset) =>
      outcome(pread(fd, addressOf(into) + position, length, offset)),
    preadNoWait(fd, into, position, length, offset) {
      const address = addressOf(into) + position
      iovecWords[0] = address >>> 0
      iovecWords[1] = address / 0x1_0000_0000
      iovecWords[2] = length
      return outcome(preadv2(fd, iovecAddress, 1, offset, RWF_NOWAIT))
    },
    pwrite: (fd, from, position, length, offset) =>
      outcome(pwrite(fd, addressOf(from) + position, length, offset)),
    lockExclusively: (fd) => outcome(flock(fd, LOCK_EX_NB)),
    punchHole(fd, offset, length, done) {
      const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
      slowCalls.add((ended) =>
        fallocate.async(fd, mode, offset, length, (error: unknown, result: number) => {
          ended()
          done(error === null && result === 0)
        }),
      )
    },
    seek(fd, offset, to, done) {
      const whence = to === 'data' ? SEEK_DATA : SEEK_HOLE
      slowCalls.add((ended) =>
        lseek.async(fd, offset, whence, (error: unknown, result: number) => {
          const found = error === null ? outcome(result) : Errno.NotSupported
          ended()
          done(found)
        }),
      )
    },
  }
}

let available: SystemCallsAvailable | undefined

/** Loads the calls on first use; without them disks work, but slower, unlocked and without holes. */
export function availableSystemCalls(): SystemCallsAvailable {
  if (available === undefined) {
    try {
      available = { calls: load(), notice: null }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const notice = `System calls that Node lacks are not available (${reason}): disks are not locked against a second server, discarded ranges are written with zeros, holes are not seen, and cached reads go through threads.`
      available = { calls: null, notice }
    }
  }
  return available
}
