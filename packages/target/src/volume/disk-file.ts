/**
 * One file or block device as a Volume. Cached data are read and written at once in the event loop;
 * whatever would wait for the disk goes to libuv's pool.
 */
import fs from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { deviceNumber } from './device-number.ts'
import { locateFileHoles } from './file-holes.ts'
import { lockHolder } from './lock-holder.ts'
import { assertRange } from './range.ts'
import {
  availableSystemCalls,
  Errno,
  type SystemCalls,
  type SystemCallsAvailable,
  systemError,
} from './system-calls.ts'
import { type HoleMap, type IoCompletion, type Volume, VolumeError } from './volume.ts'

const BLOCK_SIZE_BYTES = 512
/** The unit of the page cache: a write of less may first have to read the rest from the disk. */
const PAGE_SIZE_BYTES = 4096
/** After this many misses in a row, `readNow` asks the page cache only now and then. */
const MISSES_BEFORE_BACKOFF = 4
const READS_SKIPPED_MAX = 15
/** Written over ranges that cannot be punched out. Never changed. */
const ZEROS = Buffer.alloc(1024 * 1024)
/** statfs(2) types of the file systems that are nothing but page cache: reads never wait. */
const MEMORY_FILE_SYSTEMS: readonly number[] = [0x01021994, 0x858458f6]

type ReadNowMode = 'memory' | 'no-wait' | 'never'

export interface DiskFileOptions {
  /** For tests: other system calls than this machine's. */
  readonly systemCalls?: SystemCallsAvailable
}

/**
 * Creates a sparse disk file of `sizeBytes` (a multiple of 512), durably.
 * @throws VolumeError if anything exists at `filePath`, or it cannot be made.
 */
export async function createDiskFile(filePath: string, sizeBytes: number): Promise<void> {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % BLOCK_SIZE_BYTES !== 0) {
    throw new RangeError(
      `size of ${filePath} is ${sizeBytes}, must be a positive multiple of ${BLOCK_SIZE_BYTES}`,
    )
  }
  try {
    const file = await open(filePath, 'wx', 0o600)
    try {
      await file.truncate(sizeBytes)
      await file.sync()
    } catch (error) {
      await fs.promises.unlink(filePath)
      throw error
    } finally {
      await file.close()
    }
    const directory = await open(path.dirname(path.resolve(filePath)), 'r')
    await directory.sync().finally(() => directory.close())
  } catch (error) {
    throw new VolumeError('open', filePath, 0, error)
  }
}

/** One read, write or zeroing on its way through the pool, in as many calls as it takes. */
class PooledTransfer {
  op: 'read' | 'write' | 'discard' = 'read'
  buffer: Buffer = ZEROS
  position = 0
  offset = 0
  remaining = 0
  completion: IoCompletion | null = null
  readonly file: DiskFile
  readonly onTransferred: (error: Error | null, count: number) => void

  constructor(file: DiskFile) {
    this.file = file
    this.onTransferred = (error, count) => this.file.transferred(this, error, count)
  }
}

interface OpenedFile {
  readonly name: string
  readonly fd: number
  readonly sizeBytes: number
  readonly calls: SystemCalls | null
  readonly mode: ReadNowMode
}

/** A disk. Made by `DiskFile.open`, exclusively: see there. */
export class DiskFile implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes = BLOCK_SIZE_BYTES
  readonly #fd: number
  readonly #calls: SystemCalls | null
  readonly #readNowMode: ReadNowMode
  #misses = 0
  #readsToSkip = 0
  readonly #freeTransfers: PooledTransfer[] = []
  #inFlight = 0
  #onIdle: (() => void) | null = null
  #closed: Promise<void> | null = null
  #flushing: IoCompletion[] | null = null
  #flushWaiting: IoCompletion[] = []
  #flushError: Error | null = null

  private constructor(opened: OpenedFile) {
    this.name = opened.name
    this.sizeBytes = opened.sizeBytes
    this.#fd = opened.fd
    this.#calls = opened.calls
    this.#readNowMode = opened.mode
  }

  /**
   * Opens a disk file or block device, and holds it until `close` (or the end of the process) so
   * that no one else, in this process or another, can open it as a disk.
   * @throws VolumeError naming the path, and who holds it if it is held.
   */
  static async open(filePath: string, options: DiskFileOptions = {}): Promise<DiskFile> {
    const { calls } = options.systemCalls ?? availableSystemCalls()
    let fd: number | undefined
    try {
      const found = fs.statSync(filePath)
      if (!found.isFile() && !found.isBlockDevice()) {
        throw new Error('it is neither a file nor a block device')
      }
      const device = found.isBlockDevice()
      // On a block device, O_EXCL is the kernel's own claim: it also keeps mounted ones out.
      fd = fs.openSync(filePath, fs.constants.O_RDWR | (device ? fs.constants.O_EXCL : 0))
      if (!device && calls !== null) lock(fd, calls)
      const sizeBytes = device ? deviceSizeBytes(fd) : fs.fstatSync(fd).size
      const usableBytes = sizeBytes - (sizeBytes % BLOCK_SIZE_BYTES)
      if (usableBytes === 0) throw new Error(`its size is ${sizeBytes} bytes`)
      const mode = readNowMode(filePath, fd, device, calls)
      return new DiskFile({ name: filePath, fd, sizeBytes: usableBytes, calls, mode })
    } catch (error) {
      if (fd !== undefined) fs.closeSync(fd)
      throw new VolumeError('open', filePath, 0, error)
    }
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#calls === null || this.#closed !== null) return false
    if (this.#readNowMode === 'memory') {
      return this.#calls.pread(this.#fd, into, position, length, offset) === length
    }
    if (this.#readNowMode === 'never') return false
    if (this.#readsToSkip > 0) {
      this.#readsToSkip--
      return false
    }
    if (this.#calls.preadNoWait(this.#fd, into, position, length, offset) === length) {
      this.#misses = 0
      return true
    }
    this.#misses++
    if (this.#misses >= MISSES_BEFORE_BACKOFF) {
      this.#readsToSkip = Math.min(this.#misses, READS_SKIPPED_MAX)
    }
    return false
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#calls === null || this.#closed !== null) return false
    if (((offset | length) & (PAGE_SIZE_BYTES - 1)) !== 0 && this.#readNowMode !== 'memory') {
      return false
    }
    return this.#calls.pwrite(this.#fd, from, position, length, offset) === length
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    if (this.#closed !== null) this.#refuse('read', offset, completion)
    else this.#startTransfer('read', offset, into, position, length, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    if (this.#closed !== null) this.#refuse('write', offset, completion)
    else this.#startTransfer('write', offset, from, position, length, completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    if (this.#closed !== null) {
      this.#refuse('discard', offset, completion)
      return
    }
    if (this.#calls === null || length === 0) {
      this.#startTransfer('discard', offset, ZEROS, 0, length, completion)
      return
    }
    this.#inFlight++
    this.#calls.punchHole(this.#fd, offset, length, (punched) => {
      // Without holes in this file system, or with an error that writing zeros will tell.
      if (!punched) this.#startTransfer('discard', offset, ZEROS, 0, length, completion)
      this.#operationEnded()
      if (punched) completion.ioCompleted(null)
    })
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    if (this.#closed !== null) {
      this.#refuse('locate', offset, completion)
      return
    }
    this.#inFlight++
    const ended = () => {
      this.#operationEnded()
      completion.ioCompleted(null)
    }
    if (this.#calls !== null) locateFileHoles(this.#calls, this.#fd, offset, length, map, ended)
    else {
      map.add(false, length)
      process.nextTick(ended)
    }
  }

  /**
   * One fdatasync runs at a time; flushes asked for meanwhile share the next, since the one under
   * way may have begun before the writes they are to cover. Once an fdatasync has failed the kernel
   * may have dropped what it could not write, so that no later one can be believed: all fail until
   * the disk is opened anew.
   */
  flush(completion: IoCompletion): void {
    if (this.#closed !== null) {
      this.#refuse('flush', 0, completion)
      return
    }
    this.#flushWaiting.push(completion)
    this.#inFlight++
    if (this.#flushing === null) this.#startFlush()
  }

  close(): Promise<void> {
    this.#closed ??= this.#whenIdle().then(
      () =>
        new Promise<void>((resolve, reject) => {
          fs.close(this.#fd, (error) => (error ? reject(error) : resolve()))
        }),
    )
    return this.#closed
  }

  #whenIdle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }

  #refuse(op: VolumeError['op'], offset: number, completion: IoCompletion): void {
    const error = new VolumeError(op, this.name, offset, new Error('the disk is closed'))
    process.nextTick(() => completion.ioCompleted(error))
  }

  #startTransfer(
    op: PooledTransfer['op'],
    offset: number,
    buffer: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const transfer = this.#freeTransfers.pop() ?? new PooledTransfer(this)
    transfer.op = op
    transfer.buffer = buffer
    transfer.position = position
    transfer.offset = offset
    transfer.remaining = length
    transfer.completion = completion
    this.#inFlight++
    this.#continueTransfer(transfer)
  }

  #continueTransfer(transfer: PooledTransfer): void {
    const { op, buffer, position, offset, remaining, onTransferred } = transfer
    if (op === 'read') fs.read(this.#fd, buffer, position, remaining, offset, onTransferred)
    else if (op === 'write') fs.write(this.#fd, buffer, position, remaining, offset, onTransferred)
    else fs.write(this.#fd, ZEROS, 0, Math.min(remaining, ZEROS.length), offset, onTransferred)
  }

  /** Called by PooledTransfer only. */
  transferred(transfer: PooledTransfer, error: Error | null, count: number): void {
    if (error === null && count < transfer.remaining) {
      if (count > 0) {
        transfer.position += count
        transfer.offset += count
        transfer.remaining -= count
        this.#continueTransfer(transfer)
        return
      }
      const reason = `no bytes, ${transfer.remaining} wanted: the file is shorter than the ${this.sizeBytes} bytes it had when it was opened, or cannot grow`
      this.#endTransfer(transfer, new Error(reason))
      return
    }
    this.#endTransfer(transfer, error)
  }

  #endTransfer(transfer: PooledTransfer, error: Error | null): void {
    const completion = transfer.completion!
    const failure =
      error === null ? null : new VolumeError(transfer.op, this.name, transfer.offset, error)
    transfer.completion = null
    transfer.buffer = ZEROS
    this.#freeTransfers.push(transfer)
    this.#operationEnded()
    completion.ioCompleted(failure)
  }

  #startFlush(): void {
    this.#flushing = this.#flushWaiting
    this.#flushWaiting = []
    if (this.#flushError !== null) {
      process.nextTick(() => this.#flushed(this.#flushError))
    } else {
      fs.fdatasync(this.#fd, (error) => this.#flushed(error))
    }
  }

  #flushed(error: Error | null): void {
    this.#flushError = error
    const failure = error === null ? null : new VolumeError('flush', this.name, 0, error)
    const completions = this.#flushing!
    this.#flushing = null
    if (this.#flushWaiting.length > 0) this.#startFlush()
    for (const completion of completions) {
      this.#operationEnded()
      completion.ioCompleted(failure)
    }
  }

  #operationEnded(): void {
    this.#inFlight--
    if (this.#inFlight === 0) this.#onIdle?.()
  }
}

function lock(fd: number, calls: SystemCalls): void {
  const result = calls.lockExclusively(fd)
  if (result === 0) return
  if (result !== Errno.WouldBlock) throw systemError('flock', result)
  throw new Error(`it is in use by ${lockHolder(fs.fstatSync(fd, { bigint: true }))}`)
}

function deviceSizeBytes(fd: number): number {
  // Its stat says 0. sysfs counts in units of 512, whatever the device's own block size.
  const { major, minor } = deviceNumber(fs.fstatSync(fd, { bigint: true }).rdev)
  return Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512
}

function readNowMode(
  filePath: string,
  fd: number,
  device: boolean,
  calls: SystemCalls | null,
): ReadNowMode {
  if (calls === null) return 'never'
  // A device's path lies on devtmpfs, which says nothing of the device.
  if (!device && MEMORY_FILE_SYSTEMS.includes(fs.statfsSync(filePath).type)) return 'memory'
  const probe = calls.preadNoWait(fd, Buffer.alloc(BLOCK_SIZE_BYTES), 0, BLOCK_SIZE_BYTES, 0)
  return probe === BLOCK_SIZE_BYTES || probe === Errno.WouldBlock ? 'no-wait' : 'never'
}
