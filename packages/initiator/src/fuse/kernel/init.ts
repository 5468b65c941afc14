/** INIT, the kernel's first request: the version of the protocol, and what both sides can do. */
import { constants } from 'node:os'
import {
  FUSE_MAJOR,
  FUSE_MINOR,
  FUSE_MINOR_MIN,
  FuseFlag,
  initInLayout,
  initOutLayout,
  offsets,
} from './fuse-layout.ts'
import { ANSWER_AT, ARGUMENTS_AT, type FuseRequest, MAX_TRANSFER_BYTES } from './request.ts'

/** Requests of the page cache, and asynchronous direct ones, that the kernel sends at once. */
const BACKGROUND_MAX = 64
/** From here on it lets writers wait. */
const CONGESTION = 48
const PAGE_BYTES = 4096
/** What one request moves where MAX_PAGES is not known. */
const DEFAULT_TRANSFER_BYTES = 32 * PAGE_BYTES

const WANTED_FLAGS =
  FuseFlag.AsyncRead |
  FuseFlag.BigWrites |
  FuseFlag.AsyncDirectIo |
  FuseFlag.ParallelDirops |
  FuseFlag.MaxPages

const initIn = offsets(initInLayout, ARGUMENTS_AT)

/** Answers INIT. Refuses a kernel that speaks too old a protocol, with an error that says so. */
export function negotiateInit(request: FuseRequest, ready: (error: Error | null) => void): void {
  const major = request.u32(initIn.major)
  const minor = request.u32(initIn.minor)
  if (major !== FUSE_MAJOR || minor < FUSE_MINOR_MIN) {
    request.fail(-constants.errno.EPROTO)
    const wanted = `${FUSE_MAJOR}.${FUSE_MINOR_MIN} or a later minor version`
    ready(new Error(`the kernel speaks FUSE ${major}.${minor}, wanted ${wanted}`))
    return
  }
  const flags = request.u32(initIn.flags) & WANTED_FLAGS
  const large = (flags & FuseFlag.MaxPages) !== 0
  const maxWrite = large ? MAX_TRANSFER_BYTES : DEFAULT_TRANSFER_BYTES
  const answer = {
    major: FUSE_MAJOR,
    minor: Math.min(minor, FUSE_MINOR),
    maxReadahead: Math.min(request.u32(initIn.maxReadahead), MAX_TRANSFER_BYTES),
    flags,
    maxBackground: BACKGROUND_MAX,
    congestionThreshold: CONGESTION,
    maxWrite,
    timeGranularity: 1,
    maxPages: maxWrite / PAGE_BYTES,
    mapAlignment: 0,
  }
  request.buffer.fill(0, ANSWER_AT, ANSWER_AT + initOutLayout.span)
  request.succeed(initOutLayout.encode(answer, request.buffer, ANSWER_AT))
  ready(null)
}
