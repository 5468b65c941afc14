/** The portals: listening sockets, the connections they accepted, and the clock that drives them. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { BusyPoll } from '@platter/transport/busy-poll'
import type { Log } from '../log.ts'
import { TargetConnection } from '../session/connection.ts'
import type { TargetNode } from '../session/target-node.ts'
import { type PortalAddress, type PortRange, reachablePortals } from './portals.ts'
import { SlabPool } from './slab-pool.ts'
import { SocketConnection } from './socket-connection.ts'

const TICK_MS = 1000
const POOL_KEPT_BYTES = 64 * 1024 * 1024

export interface IscsiServerOptions {
  /** The iSCSI target node that all portals serve. */
  readonly node: TargetNode
  readonly log: Log
  /** TCP connections at once, over all portals; more are closed as soon as they are accepted. */
  readonly connectionsMax: number
  /** Of those, how many may not have logged in: over all addresses, and from one. */
  readonly loginsMax: number
  readonly loginsPerAddressMax: number
  /** Called about once a second. */
  onTick?(): void
}

export class IscsiServer {
  readonly #node: TargetNode
  readonly #log: Log
  readonly #connectionsMax: number
  readonly #loginsMax: number
  readonly #loginsPerAddressMax: number
  readonly #servers: Server[] = []
  /** Those that `openPort` has made, by `port host`. */
  readonly #dataServers = new Map<string, Server>()
  #isClosing = false
  readonly #ticked: (() => void) | undefined
  /** What the servers are bound to, in numbers. */
  readonly #bound: PortalAddress[] = []
  readonly #connections = new Set<SocketConnection>()
  readonly #pool = new SlabPool(POOL_KEPT_BYTES)
  readonly #busyPoll = new BusyPoll({
    awakeMs: 0.1,
    closeMs: 0.2,
    nowMs: () => performance.now(),
    schedule: setImmediate,
  })
  readonly #tick: NodeJS.Timeout

  constructor(options: IscsiServerOptions) {
    this.#node = options.node
    this.#log = options.log
    this.#connectionsMax = options.connectionsMax
    this.#loginsMax = options.loginsMax
    this.#loginsPerAddressMax = options.loginsPerAddressMax
    this.#ticked = options.onTick
    this.#tick = setInterval(() => this.#onTick(), TICK_MS)
    this.#tick.unref()
  }

  /** Listens on `host:port`; port 0 takes a free one. Rejects with the system's error. */
  async listen(host: string, port: number): Promise<PortalAddress> {
    const server = await this.#listen(host, port)
    this.#servers.push(server)
    const bound = server.address() as AddressInfo
    this.#bound.push({ host: bound.address, port: bound.port })
    return { host, port: bound.port }
  }

  /**
   * Listens on a port of an address that is free, the first of `range` if there is one. It is told to nobody.
   * Rejects with the system's error.
   */
  async openPort(host: string, range?: PortRange): Promise<number> {
    for (let port = range?.low ?? 0; ; port++) {
      try {
        const server = await this.#listen(host, port)
        const bound = server.address() as AddressInfo
        this.#dataServers.set(`${bound.port} ${host}`, server)
        return bound.port
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code !== 'EADDRINUSE' || range === undefined || port >= range.high) throw error
      }
    }
  }

  /** Takes no more connections there; those that there are stay. */
  closePort({ host, port }: PortalAddress): void {
    this.#dataServers.get(`${port} ${host}`)?.close()
    this.#dataServers.delete(`${port} ${host}`)
  }

  #listen(host: string, port: number): Promise<Server> {
    const server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.removeListener('error', reject)
        server.on('error', (error) => this.#log.error(`portal ${host}:${port}: ${error.message}`))
        if (this.#isClosing) server.close(() => reject(new Error('the server stops')))
        else resolve(server)
      })
    })
  }

  /** Stops accepting, ends every session as TargetNode.close does, and waits until the last connection is gone. */
  async close(): Promise<void> {
    this.#isClosing = true
    const stopped = [...this.#servers, ...this.#dataServers.values()].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    )
    await this.#node.close(performance.now())
    clearInterval(this.#tick)
    for (const { connection } of this.#connections) connection.end('shutdown', 'the server stops')
    await Promise.all(stopped)
    while (this.#connections.size > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  #accept(accepted: Socket): void {
    const refusal = this.#refusalOf(accepted)
    if (refusal !== undefined) {
      this.#log.warn(`${accepted.remoteAddress}: refused: ${refusal}`)
      accepted.destroy()
      return
    }
    const connection = new SocketConnection({
      accepted,
      pool: this.#pool,
      busyPoll: this.#busyPoll,
      log: this.#log,
      portals: (local) => reachablePortals(this.#bound, local, networkInterfaces()),
      connect: (sink, addresses) =>
        new TargetConnection({ sink, node: this.#node, addresses, nowMs: performance.now() }),
      closed: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }

  /** Why there is no room for one more connection, if there is none. */
  #refusalOf({ remoteAddress = '' }: Socket): string | undefined {
    if (this.#connections.size >= this.#connectionsMax) return `${this.#connectionsMax} connections`
    const logins = [...this.#connections].filter((it) => it.connection.session === undefined)
    if (logins.length >= this.#loginsMax) return `${logins.length} logins are under way`
    const own = logins.filter(({ remoteHost }) => remoteHost === remoteAddress).length
    return own >= this.#loginsPerAddressMax ? `${own} logins of it are under way` : undefined
  }

  #onTick(): void {
    const nowMs = performance.now()
    for (const { connection } of this.#connections) connection.onTimer(nowMs)
    this.#ticked?.()
  }
}
