/**
 * The messages of the kernel's FUSE protocol, as linux/fuse.h has them (version 7.31): numbers lie in
 * the machine's byte order, which is little-endian wherever this driver runs.
 */
import { blob, type Layout, nu64, type Structure, s32, struct, u16, u32 } from 'buffer-layout'

export const FUSE_MAJOR = 7
/** The newest minor version whose messages are described here. */
export const FUSE_MINOR = 31
/** From here on the answer to INIT has the form below. */
export const FUSE_MINOR_MIN = 23

/** What the kernel asks. Those that are not here are answered with ENOSYS. */
export const FuseOpcode = {
  Lookup: 1,
  Forget: 2,
  Getattr: 3,
  Setattr: 4,
  Symlink: 6,
  Mknod: 8,
  Mkdir: 9,
  Unlink: 10,
  Rmdir: 11,
  Rename: 12,
  Link: 13,
  Open: 14,
  Read: 15,
  Write: 16,
  Statfs: 17,
  Release: 18,
  Fsync: 20,
  Init: 26,
  Opendir: 27,
  Readdir: 28,
  Releasedir: 29,
  Fsyncdir: 30,
  Create: 35,
  Destroy: 38,
  BatchForget: 42,
  Fallocate: 43,
  Rename2: 45,
} as const

/** What both sides can do, told in INIT. */
export const FuseFlag = {
  AsyncRead: 1 << 0,
  BigWrites: 1 << 5,
  AsyncDirectIo: 1 << 15,
  ParallelDirops: 1 << 18,
  MaxPages: 1 << 22,
} as const

/** FOPEN_PARALLEL_DIRECT_WRITES: writes with O_DIRECT need not wait for each other. */
export const OPEN_PARALLEL_DIRECT_WRITES = 1 << 6

/** In the `valid` field of SETATTR: which attributes are to be set. */
export const SetattrValid = { Mode: 1 << 0, Uid: 1 << 1, Gid: 1 << 2 } as const

export const inHeaderLayout = struct([
  u32('length'),
  u32('opcode'),
  nu64('unique'),
  nu64('nodeId'),
  u32('uid'),
  u32('gid'),
  u32('pid'),
  u32(),
])

export const outHeaderLayout = struct([u32('length'), s32('error'), nu64('unique')])

export const initInLayout = struct([u32('major'), u32('minor'), u32('maxReadahead'), u32('flags')])

export const initOutLayout = struct([
  u32('major'),
  u32('minor'),
  u32('maxReadahead'),
  u32('flags'),
  u16('maxBackground'),
  u16('congestionThreshold'),
  u32('maxWrite'),
  u32('timeGranularity'),
  u16('maxPages'),
  u16('mapAlignment'),
  blob(32),
])

export const attributesLayout = struct([
  nu64('inode'),
  nu64('size'),
  nu64('blocks'),
  nu64('atime'),
  nu64('mtime'),
  nu64('ctime'),
  u32('atimeNs'),
  u32('mtimeNs'),
  u32('ctimeNs'),
  u32('mode'),
  u32('links'),
  u32('uid'),
  u32('gid'),
  u32('device'),
  u32('blockSize'),
  u32('flags'),
])

/** Followed by the attributes. */
export const entryOutLayout = struct([
  nu64('nodeId'),
  nu64('generation'),
  nu64('entryValid'),
  nu64('attributesValid'),
  u32('entryValidNs'),
  u32('attributesValidNs'),
])

/** Followed by the attributes. */
export const attributesOutLayout = struct([nu64('valid'), u32('validNs'), u32()])

/** FORGET. */
export const forgetInLayout = struct([nu64('lookups')])

/** BATCH_FORGET; as many nodes follow, and how often each was looked up. */
export const batchForgetInLayout = struct([u32('count'), u32()])
export const forgetOneLayout = struct([nu64('nodeId'), nu64('lookups')])

export const openInLayout = struct([u32('flags'), u32()])
export const openOutLayout = struct([nu64('handle'), u32('flags'), u32()])

/** The beginning of SETATTR, which is all that is looked at. */
export const setattrInLayout = struct([u32('valid'), u32()])

/** READ, READDIR and WRITE; the data of a WRITE follow. */
export const transferInLayout = struct([
  nu64('handle'),
  nu64('offset'),
  u32('size'),
  u32('transferFlags'),
  nu64('lockOwner'),
  u32('openFlags'),
  u32(),
])

export const fallocateInLayout = struct([
  nu64('handle'),
  nu64('offset'),
  nu64('length'),
  u32('mode'),
  u32(),
])

/** fallocate(2): what is to become of the range. */
export const FallocateMode = { Allocate: 0, KeepSize: 1, PunchHole: 2, ZeroRange: 16 } as const

export const writeOutLayout = struct([u32('size'), u32()])

export const statfsOutLayout = struct([
  nu64('blocks'),
  nu64('blocksFree'),
  nu64('blocksAvailable'),
  nu64('files'),
  nu64('filesFree'),
  u32('blockSize'),
  u32('nameLengthMax'),
  u32('fragmentSize'),
  blob(28),
])

/** Followed by the name, and padding up to a multiple of eight bytes. */
export const directoryEntryLayout = struct([
  nu64('inode'),
  nu64('nextOffset'),
  u32('nameLength'),
  u32('type'),
])

type FieldName<F extends readonly Layout[]> = Extract<F[number]['property'], string>

/** Where each field of a message lies, in bytes from `base`. */
export function offsets<const F extends readonly Layout[]>(
  layout: Structure<F>,
  base = 0,
): { readonly [K in FieldName<F>]: number } {
  const found: Record<string, number> = {}
  let offset = base
  for (const field of layout.fields) {
    if (field.property !== undefined) found[field.property] = offset
    offset += field.span
  }
  return found as { readonly [K in FieldName<F>]: number }
}
