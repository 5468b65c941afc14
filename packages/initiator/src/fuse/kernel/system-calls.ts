/**
 * What /dev/fuse needs of the system and Node has not, through koffi: its binary ships in its npm
 * package. Calls answer as the kernel does: a count or descriptor, or a negative errno.
 */
import { createRequire } from 'node:module'

export interface FuseSystemCalls {
  /** read(2) of up to `length` bytes to the beginning of `into`. */
  read(fd: number, into: Buffer, length: number): number
  /** write(2) of the first `length` bytes of `from`. */
  write(fd: number, from: Buffer, length: number): number
  setNonBlocking(fd: number): number
  /** Two connected Unix sockets, not inherited by programs that are started; throws on failure. */
  socketPair(): readonly [number, number]
  /** Waits, in another thread, for a descriptor that is sent over a Unix socket; 0 if none comes. */
  receiveDescriptor(socket: number): Promise<number>
  /**
   * Calls `readable` from the event loop whenever the descriptor can be read. Watching alone does not
   * keep the process running.
   */
  watch(fd: number, readable: () => void): Watch
}

/** A descriptor that is watched, until `end`: call that before it is closed. */
export interface Watch {
  pause(): void
  resume(): void
  end(): void
}

const AF_UNIX = 1
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000
const MSG_CMSG_CLOEXEC = 0x40000000
const UV_POLL = 8
const UV_READABLE = 1

let loaded: FuseSystemCalls | undefined

/** The calls, loaded once: koffi refuses a second type of the same name. Throws, with why, where there are none. */
export function loadFuseSystemCalls(): FuseSystemCalls {
  loaded ??= load()
  return loaded
}

function load(): FuseSystemCalls {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    const here = `${process.platform} on ${process.arch}`
    throw new Error(`it runs on 64-bit Linux (x64, arm64), this is ${here}`)
  }
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const libc = koffi.load(null)
  const read = libc.func('int64_t read(int fd, uintptr_t into, size_t length)')
  const write = libc.func('int64_t write(int fd, uintptr_t from, size_t length)')
  const fcntl = libc.func('int fcntl(int fd, int command, int argument)')
  const socketpair = libc.func('int socketpair(int domain, int type, int protocol, uintptr_t pair)')
  const recvmsg = libc.func('int64_t recvmsg(int fd, uintptr_t message, int flags)')

  const addressOf = (buffer: Buffer) => Number(koffi.address(buffer))
  const outcome = (result: number) => (result < 0 ? -koffi.errno() : result)

  return {
    read: (fd, into, length) => outcome(read(fd, addressOf(into), length)),
    write: (fd, from, length) => outcome(write(fd, addressOf(from), length)),
    setNonBlocking: (fd) => outcome(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK)),
    socketPair() {
      const pair = Buffer.alloc(8)
      const result = outcome(socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, addressOf(pair)))
      if (result < 0) throw new Error(`socketpair: errno ${-result}`)
      return [pair.readInt32LE(0), pair.readInt32LE(4)]
    },
    receiveDescriptor(socket) {
      const message = new DescriptorMessage(addressOf)
      return new Promise((resolve, reject) => {
        recvmsg.async(socket, message.address, MSG_CMSG_CLOEXEC, (error: unknown, count: number) =>
          error === null ? resolve(count > 0 ? message.descriptor : 0) : reject(error),
        )
      })
    },
    watch: watcher(koffi, libc, addressOf),
  }
}

/** A struct msghdr (recvmsg(2)) with room for one byte and one descriptor. */
class DescriptorMessage {
  readonly #byte = Buffer.alloc(1)
  readonly #vector = Buffer.alloc(16)
  /** A struct cmsghdr of 16 bytes, and the descriptor. */
  readonly #control = Buffer.alloc(24)
  readonly #header = Buffer.alloc(56)
  readonly address: number

  constructor(addressOf: (buffer: Buffer) => number) {
    this.#vector.writeBigUInt64LE(BigInt(addressOf(this.#byte)), 0)
    this.#vector.writeBigUInt64LE(1n, 8)
    this.#header.writeBigUInt64LE(BigInt(addressOf(this.#vector)), 16)
    this.#header.writeBigUInt64LE(1n, 24)
    this.#header.writeBigUInt64LE(BigInt(addressOf(this.#control)), 32)
    this.#header.writeBigUInt64LE(BigInt(this.#control.length), 40)
    this.address = addressOf(this.#header)
  }

  /** The descriptor that came with the message; 0 if none did. */
  get descriptor(): number {
    const came = this.#header.readUInt32LE(40) > 0
    return came ? this.#control.readInt32LE(16) : 0
  }
}

/**
 * libuv's own poll handle, which Node's binary exports: epoll tells the event loop, with no thread
 * between. A handle's memory is kept until libuv says that it has closed it.
 */
function watcher(
  koffi: typeof import('koffi'),
  libc: ReturnType<typeof import('koffi')['load']>,
  addressOf: (buffer: Buffer) => number,
): FuseSystemCalls['watch'] {
  const pollCallback = koffi.proto(
    'void FusePollCallback(uintptr_t handle, int status, int events)',
  )
  const closeCallback = koffi.proto('void FuseCloseCallback(uintptr_t handle)')
  const defaultLoop = libc.func('uintptr_t uv_default_loop()')
  const handleSize = libc.func('size_t uv_handle_size(int type)')
  const pollInit = libc.func('int uv_poll_init(uintptr_t loop, uintptr_t handle, int fd)')
  const pollStart = libc.func(
    'int uv_poll_start(uintptr_t handle, int events, FusePollCallback *callback)',
  )
  const pollStop = libc.func('int uv_poll_stop(uintptr_t handle)')
  const close = libc.func('void uv_close(uintptr_t handle, FuseCloseCallback *callback)')
  const unref = libc.func('void uv_unref(uintptr_t handle)')
  const open = new Set<Buffer>()

  return (fd, readable) => {
    const handle = Buffer.alloc(Number(handleSize(UV_POLL)))
    const address = addressOf(handle)
    const failed = pollInit(defaultLoop(), address, fd)
    if (failed !== 0) throw new Error(`uv_poll_init: errno ${-failed}`)
    open.add(handle)
    const onPoll = koffi.register(() => readable(), koffi.pointer(pollCallback))
    const onClosed = koffi.register(() => {
      open.delete(handle)
      setImmediate(() => {
        koffi.unregister(onPoll)
        koffi.unregister(onClosed)
      })
    }, koffi.pointer(closeCallback))
    const resume = () => {
      pollStart(address, UV_READABLE, onPoll)
    }
    resume()
    unref(address)
    return {
      resume,
      pause: () => {
        pollStop(address)
      },
      end: () => {
        close(address, onClosed)
      },
    }
  }
}
