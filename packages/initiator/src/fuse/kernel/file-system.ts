/**
 * What the kernel asks of a mount, answered from its tree, in which no program can make, move or remove
 * anything.
 */
import { constants } from 'node:fs'
import { constants as os } from 'node:os'
import { modeOf, SECTOR_BYTES, sizeOf } from '../attributes.ts'
import { Errno } from '../errno.ts'
import type { MountOptions } from '../fuse-driver.ts'
import type { MountedFile } from '../mounted-file.ts'
import { Directory, type Entry, ROOT_INODE, type Tree } from '../tree.ts'
import { type DirectoryEntry, encodeDirectory } from './directory-entries.ts'
import {
  attributesLayout,
  attributesOutLayout,
  batchForgetInLayout,
  entryOutLayout,
  FallocateMode,
  FuseOpcode,
  fallocateInLayout,
  forgetInLayout,
  forgetOneLayout,
  OPEN_PARALLEL_DIRECT_WRITES,
  offsets,
  openInLayout,
  openOutLayout,
  SetattrValid,
  setattrInLayout,
  statfsOutLayout,
  transferInLayout,
} from './fuse-layout.ts'
import { negotiateInit } from './init.ts'
import { ANSWER_AT, ARGUMENTS_AT, type FuseRequest, WRITE_DATA_AT } from './request.ts'

/** How long the kernel may believe names and attributes, in s. */
const VALID_S = 1
const BLOCK_BYTES = 4096
const NAME_LENGTH_MAX = 255
const ACCESS_MODE = 3
const NOT_IMPLEMENTED = -os.errno.ENOSYS

const transfer = offsets(transferInLayout, ARGUMENTS_AT)
const openIn = offsets(openInLayout, ARGUMENTS_AT)
const fallocateIn = offsets(fallocateInLayout, ARGUMENTS_AT)
const setattrIn = offsets(setattrInLayout, ARGUMENTS_AT)
const forgetIn = offsets(forgetInLayout, ARGUMENTS_AT)
const batchForgetIn = offsets(batchForgetInLayout, ARGUMENTS_AT)

/** `.` and `..` go before the entries of a directory. */
const OWN_OFFSET = 1
const PARENT_OFFSET = 2

/** Answers a request, now or later. */
type Operation = (request: FuseRequest) => void

function each(opcodes: readonly number[], operation: Operation): [number, Operation][] {
  return opcodes.map((opcode) => [opcode, operation])
}

const nothingToDo = each(
  [FuseOpcode.Release, FuseOpcode.Releasedir, FuseOpcode.Fsyncdir, FuseOpcode.Destroy],
  (request) => request.fail(0),
)

/** The files are the target's partitions: nothing here makes, moves or removes one. */
const refused = each(
  [
    FuseOpcode.Symlink,
    FuseOpcode.Mknod,
    FuseOpcode.Mkdir,
    FuseOpcode.Unlink,
    FuseOpcode.Rmdir,
    FuseOpcode.Rename,
    FuseOpcode.Rename2,
    FuseOpcode.Link,
    FuseOpcode.Create,
  ],
  (request) => request.fail(Errno.NotPermitted),
)

export class FuseFileSystem {
  readonly #tree: Tree
  readonly #options: MountOptions
  readonly #operations: ReadonlyMap<number, Operation>
  readonly #mountedAt = Math.floor(Date.now() / 1000)
  readonly #uid = process.getuid?.() ?? 0
  readonly #gid = process.getgid?.() ?? 0

  /** @param onReady called once, when the kernel and we have agreed on the protocol, or could not. */
  constructor(tree: Tree, options: MountOptions, onReady: (error: Error | null) => void) {
    this.#tree = tree
    this.#options = options
    this.#operations = new Map([
      ...nothingToDo,
      ...refused,
      [FuseOpcode.Read, (request) => this.#read(request)],
      [FuseOpcode.Write, (request) => this.#write(request)],
      [FuseOpcode.Fallocate, (request) => this.#fallocate(request)],
      [FuseOpcode.Fsync, (request) => this.#fsync(request)],
      [FuseOpcode.Lookup, (request) => this.#lookup(request)],
      [FuseOpcode.Forget, (request) => this.#forget(request)],
      [FuseOpcode.BatchForget, (request) => this.#batchForget(request)],
      [FuseOpcode.Getattr, (request) => this.#getattr(request)],
      [FuseOpcode.Setattr, (request) => this.#setattr(request)],
      [FuseOpcode.Open, (request) => this.#open(request)],
      [FuseOpcode.Opendir, (request) => this.#opened(request, 0)],
      [FuseOpcode.Readdir, (request) => this.#readdir(request)],
      [FuseOpcode.Statfs, (request) => this.#statfs(request)],
      [FuseOpcode.Init, (request) => negotiateInit(request, onReady)],
    ])
  }

  /** Answers a request, now or later. */
  handle(request: FuseRequest): void {
    const operation = this.#operations.get(request.opcode)
    if (operation === undefined) request.fail(NOT_IMPLEMENTED)
    else operation(request)
  }

  #read(request: FuseRequest): void {
    const file = this.#fileAt(request)
    if (file === undefined) {
      request.fail(Errno.NoEntry)
      return
    }
    const length = request.u32(transfer.size)
    file.read(request.u64(transfer.offset), request.buffer, ANSWER_AT, length, request.readDone)
  }

  /** A program that opened the file with O_SYNC or O_DSYNC has its answer when the data are durable. */
  #write(request: FuseRequest): void {
    const file = this.#fileAt(request)
    if (file === undefined) {
      request.fail(Errno.NoEntry)
      return
    }
    const durable = (request.u32(transfer.openFlags) & constants.O_DSYNC) !== 0
    const done = durable ? flushedFirst(file, request) : request.writeDone
    const length = request.u32(transfer.size)
    file.write(request.u64(transfer.offset), request.buffer, WRITE_DATA_AT, length, done)
  }

  /** A disk has its blocks: to allocate them is nothing; holes and ranges of zeros read alike. */
  #fallocate(request: FuseRequest): void {
    this.#withFile(request, (file) => {
      const { Allocate, KeepSize, PunchHole, ZeroRange } = FallocateMode
      const offset = request.u64(fallocateIn.offset)
      const length = request.u64(fallocateIn.length)
      const mode = request.u32(fallocateIn.mode) & ~KeepSize
      if (mode === PunchHole || mode === ZeroRange) file.zero(offset, length, request.fail)
      else if (mode !== Allocate) request.fail(Errno.NotSupported)
      else request.fail(offset + length > file.sizeBytes ? Errno.NoSpace : 0)
    })
  }

  #fsync(request: FuseRequest): void {
    this.#withFile(request, (file) => file.flush(request.fail))
  }

  #fileAt(request: FuseRequest): MountedFile | undefined {
    const content = this.#tree.at(request.nodeId)?.content
    return content instanceof Directory ? undefined : content
  }

  #withFile(request: FuseRequest, act: (file: MountedFile) => void): void {
    const file = this.#fileAt(request)
    if (file === undefined) request.fail(Errno.NoEntry)
    else act(file)
  }

  #lookup(request: FuseRequest): void {
    const end = request.buffer.indexOf(0, ARGUMENTS_AT)
    const name = request.buffer.toString('utf8', ARGUMENTS_AT, end)
    const parent = this.#tree.at(request.nodeId)?.content
    const entry = parent instanceof Directory ? parent.entries.get(name) : undefined
    if (entry === undefined) {
      request.fail(Errno.NoEntry)
      return
    }
    entry.lookups += 1
    const answer = {
      nodeId: entry.inode,
      generation: 0,
      entryValid: VALID_S,
      attributesValid: VALID_S,
      entryValidNs: 0,
      attributesValidNs: 0,
    }
    const length = entryOutLayout.encode(answer, request.buffer, ANSWER_AT)
    request.succeed(length + this.#encodeAttributes(request, ANSWER_AT + length, entry))
  }

  #forget(request: FuseRequest): void {
    this.#tree.forget(request.nodeId, request.u64(forgetIn.lookups))
    request.forget()
  }

  #batchForget(request: FuseRequest): void {
    const first = ARGUMENTS_AT + batchForgetInLayout.span
    for (let index = request.u32(batchForgetIn.count) - 1; index >= 0; index--) {
      const one = offsets(forgetOneLayout, first + index * forgetOneLayout.span)
      this.#tree.forget(request.u64(one.nodeId), request.u64(one.lookups))
    }
    request.forget()
  }

  #getattr(request: FuseRequest): void {
    const entry = this.#tree.at(request.nodeId)
    if (entry === undefined) {
      request.fail(Errno.NoEntry)
      return
    }
    const { buffer } = request
    const length = attributesOutLayout.encode({ valid: VALID_S, validNs: 0 }, buffer, ANSWER_AT)
    request.succeed(length + this.#encodeAttributes(request, ANSWER_AT + length, entry))
  }

  /** Times and sizes mean nothing to a disk: setting them is accepted, and changes nothing. */
  #setattr(request: FuseRequest): void {
    const refused = SetattrValid.Mode | SetattrValid.Uid | SetattrValid.Gid
    if ((request.u32(setattrIn.valid) & refused) !== 0) request.fail(Errno.NotPermitted)
    else this.#getattr(request)
  }

  #open(request: FuseRequest): void {
    this.#withFile(request, (file) => {
      const writes = (request.u32(openIn.flags) & ACCESS_MODE) !== constants.O_RDONLY
      if (writes && file.readOnly) request.fail(Errno.ReadOnly)
      // The device itself keeps writes that overlap in order.
      else this.#opened(request, OPEN_PARALLEL_DIRECT_WRITES)
    })
  }

  #opened(request: FuseRequest, flags: number): void {
    request.buffer.fill(0, ANSWER_AT, ANSWER_AT + openOutLayout.span)
    request.succeed(openOutLayout.encode({ handle: 0, flags }, request.buffer, ANSWER_AT))
  }

  #readdir(request: FuseRequest): void {
    const directory = this.#tree.at(request.nodeId)
    if (!(directory?.content instanceof Directory)) {
      request.fail(Errno.NoEntry)
      return
    }
    const after = request.u64(transfer.offset)
    const into = request.buffer.subarray(ANSWER_AT, ANSWER_AT + request.u32(transfer.size))
    request.succeed(encodeDirectory(this.#listed(directory, directory.content), after, into))
  }

  *#listed(own: Entry, directory: Directory): Iterable<DirectoryEntry> {
    const mode = modeOf(own, this.#options)
    yield { inode: own.inode, mode, name: '.', offset: OWN_OFFSET }
    yield { inode: ROOT_INODE, mode, name: '..', offset: PARENT_OFFSET }
    for (const [name, entry] of directory.listing()) {
      const { inode } = entry
      yield { inode, mode: modeOf(entry, this.#options), name, offset: PARENT_OFFSET + inode }
    }
  }

  #statfs(request: FuseRequest): void {
    let bytes = 0
    let files = 0
    for (const file of this.#tree.files()) {
      bytes += file.sizeBytes
      files += 1
    }
    const answer = {
      blocks: Math.floor(bytes / BLOCK_BYTES),
      blocksFree: 0,
      blocksAvailable: 0,
      files,
      filesFree: 0,
      blockSize: BLOCK_BYTES,
      nameLengthMax: NAME_LENGTH_MAX,
      fragmentSize: BLOCK_BYTES,
    }
    request.buffer.fill(0, ANSWER_AT, ANSWER_AT + statfsOutLayout.span)
    request.succeed(statfsOutLayout.encode(answer, request.buffer, ANSWER_AT))
  }

  /** @returns their length. */
  #encodeAttributes(request: FuseRequest, at: number, entry: Entry): number {
    const size = sizeOf(entry)
    const time = this.#mountedAt
    const attributes = {
      inode: entry.inode,
      size,
      blocks: Math.floor(size / SECTOR_BYTES),
      atime: time,
      mtime: time,
      ctime: time,
      atimeNs: 0,
      mtimeNs: 0,
      ctimeNs: 0,
      mode: modeOf(entry, this.#options),
      links: 1,
      uid: this.#uid,
      gid: this.#gid,
      device: 0,
      blockSize: BLOCK_BYTES,
      flags: 0,
    }
    return attributesLayout.encode(attributes, request.buffer, at)
  }
}

function flushedFirst(file: MountedFile, request: FuseRequest): (result: number) => void {
  return (written) => {
    if (written <= 0) request.writeDone(written)
    else file.flush((flushed) => request.writeDone(flushed < 0 ? flushed : written))
  }
}
