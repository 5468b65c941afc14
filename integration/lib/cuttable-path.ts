/** A way to a server that can be cut, with a sign or without one: a proxy on a port of its own. */
import { once } from 'node:events'
import { type AddressInfo, createServer, Socket, connect as tcpConnect } from 'node:net'
import { onCleanUp } from './cleanup.ts'

/** `reset`: connections are reset, and new ones too. `silent`: nothing comes through any more. */
export type Cut = 'reset' | 'silent'

interface Pair {
  readonly near: Socket
  readonly far: Socket
}

export class CuttablePath {
  readonly host = '127.0.0.1'
  port = 0
  readonly #serverPort: number
  readonly #server = createServer((socket) => this.#accept(socket))
  readonly #pairs = new Set<Pair>()
  #cut: Cut | null = null
  /** Connections that have been made through it. */
  made = 0

  private constructor(serverPort: number) {
    this.#serverPort = serverPort
  }

  static async to(serverPort: number): Promise<CuttablePath> {
    const path = new CuttablePath(serverPort)
    path.#server.listen(0, path.host)
    await once(path.#server, 'listening')
    path.port = (path.#server.address() as AddressInfo).port
    onCleanUp(() => path.close())
    return path
  }

  /** Connections that are there. */
  get open(): number {
    return this.#pairs.size
  }

  cut(how: Cut): void {
    this.#cut = how
    if (how === 'reset') this.#resetAll()
    else for (const { near, far } of this.#pairs) silence(near, far)
  }

  /** Lets new connections through again; those that were cut silently are no more. */
  mend(): void {
    if (this.#cut === 'silent') this.#resetAll()
    this.#cut = null
  }

  close(): void {
    this.#server.close()
    this.#resetAll()
  }

  #resetAll(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  #accept(near: Socket): void {
    near.on('error', () => {})
    if (this.#cut === 'reset') {
      near.resetAndDestroy()
      return
    }
    this.made += 1
    const far = this.#cut === 'silent' ? new Socket() : tcpConnect(this.#serverPort, this.host)
    far.on('error', () => {})
    const pair = { near, far }
    this.#pairs.add(pair)
    near.setNoDelay(true)
    far.setNoDelay(true)
    if (this.#cut === null) near.pipe(far).pipe(near)
    near.once('close', () => {
      this.#pairs.delete(pair)
      if (this.#cut !== 'silent') far.destroy()
    })
    far.once('close', () => {
      if (this.#cut !== 'silent') near.destroy()
    })
  }
}

function silence(near: Socket, far: Socket): void {
  near.unpipe(far)
  far.unpipe(near)
  near.pause()
  far.pause()
}
