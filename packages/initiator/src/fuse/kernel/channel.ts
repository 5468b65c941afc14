/**
 * /dev/fuse in the event loop: requests are read as they come, answers are written at once, and no
 * thread is between. At most REQUESTS_MAX are under way; the kernel keeps those beyond.
 */
import { constants } from 'node:os'
import { FuseRequest, type RequestOwner } from './request.ts'
import type { FuseSystemCalls, Watch } from './system-calls.ts'

/** Bounds the memory of a mount: each request has a buffer of 1 MiB, of which it touches what it moves. */
export const REQUESTS_MAX = 64

/** Requests that are taken before other sockets have their turn. */
const BATCH = 32

const { EAGAIN, EINTR, ENOENT, ENODEV, ENOTCONN } = constants.errno

export interface ChannelOptions {
  readonly calls: FuseSystemCalls
  /** Non-blocking. The channel's from now on: it is closed with it. */
  readonly fd: number
  readonly onRequest: (request: FuseRequest) => void
  /** Nothing comes any more: null when it was unmounted, else why. */
  readonly onEnd: (error: Error | null) => void
  readonly closeDescriptor: (fd: number) => void
}

export class FuseChannel implements RequestOwner {
  readonly #options: ChannelOptions
  readonly #free: FuseRequest[] = []
  #made = 0
  readonly #watch: Watch
  #paused = false
  #ended = false

  constructor(options: ChannelOptions) {
    this.#options = options
    this.#watch = options.calls.watch(options.fd, () => this.#receive())
  }

  answer(request: FuseRequest, length: number): void {
    const { calls, fd } = this.#options
    if (!this.#ended) {
      const result = calls.write(fd, request.buffer, length)
      // ENOENT: the program has been killed, and the kernel has forgotten what it asked for.
      if (result < 0 && -result !== ENOENT) this.#endBy(-result, 'write')
    }
    this.forget(request)
  }

  forget(request: FuseRequest): void {
    this.#free.push(request)
    if (!this.#paused || this.#ended) return
    this.#paused = false
    this.#watch.resume()
  }

  #receive(): void {
    const { calls, fd, onRequest } = this.#options
    for (let count = 0; count < BATCH && !this.#ended; count++) {
      const request = this.#take()
      if (request === undefined) {
        this.#paused = true
        this.#watch.pause()
        return
      }
      const result = calls.read(fd, request.buffer, request.buffer.length)
      if (result < 0) {
        this.#free.push(request)
        // ENOENT: a request was withdrawn while it was read.
        if (-result === EINTR || -result === ENOENT) continue
        if (-result !== EAGAIN) this.#endBy(-result, 'read')
        return
      }
      if (request.begin(result)) onRequest(request)
      else this.#free.push(request)
      // Who has one request under way at a time sends no other before it is answered: to ask would be in vain.
      if (this.#made - this.#free.length === 1) return
    }
  }

  #take(): FuseRequest | undefined {
    const request = this.#free.pop()
    if (request !== undefined || this.#made === REQUESTS_MAX) return request
    this.#made++
    return new FuseRequest(this)
  }

  #endBy(errno: number, call: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#watch.end()
    const { closeDescriptor, fd, onEnd } = this.#options
    closeDescriptor(fd)
    const unmounted = errno === ENODEV || errno === ENOTCONN
    onEnd(unmounted ? null : new Error(`/dev/fuse: ${call} failed with errno ${errno}`))
  }
}
