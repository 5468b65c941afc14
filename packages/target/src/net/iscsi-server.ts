/** The portals: listening sockets, the connections they accepted, and the clock that drives them. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Log } from '../log.ts'
import { TargetConnection } from '../session/connection.ts'
import type { TargetNode } from '../session/target-node.ts'
import { BusyPoll } from './busy-poll.ts'
import { type PortalAddress, reachablePortals } from './portals.ts'
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
}

export class IscsiServer {
  readonly #node: TargetNode
  readonly #log: Log
  readonly #connectionsMax: number
  readonly #loginsMax: number
  readonly #loginsPerAddressMax: number
  readonly #servers: Server[] = []
  /** What the servers are bound to, in numbers. */
  readonly #bound: PortalAddress[] = []
  readonly #connections = new Set<SocketConnection>()
  readonly #pool = new SlabPool(POOL_KEPT_BYTES)
  readonly #busyPoll = new BusyPoll({ nowMs: () => performance.now(), schedule: setImmediate })
  readonly #tick: NodeJS.Timeout

  constructor(options: IscsiServerOptions) {
    this.#node = options.node
    this.#log = options.log
    this.#connectionsMax = options.connectionsMax
    this.#loginsMax = options.loginsMax
    this.#loginsPerAddressMax = options.loginsPerAddressMax
    this.#tick = setInterval(() => this.#onTick(), TICK_MS)
    this.#tick.unref()
  }

  /** Listens on `host:port`; port 0 takes a free one. Rejects with the system's error. */
  listen(host: string, port: number): Promise<PortalAddress> {
    const server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.removeListener('error', reject)
        server.on('error', (error) => this.#log.error(`portal ${host}:${port}: ${error.message}`))
        this.#servers.push(server)
        const bound = server.address() as AddressInfo
        this.#bound.push({ host: bound.address, port: bound.port })
        resolve({ host, port: bound.port })
      })
    })
  }

  /** Stops accepting, ends every session as TargetNode.close does, and waits until the last connection is gone. */
  async close(): Promise<void> {
    const stopped = this.#servers.map(
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
  }
}
