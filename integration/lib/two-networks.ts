/** A server and a host, each a namespace of its own, with two cables between them. Needs root. */
import { NetworkNamespace } from './network-namespace.ts'

export const cables = ['cable1', 'cable2'] as const
export type Cable = (typeof cables)[number]

export class TwoNetworks {
  readonly server: NetworkNamespace
  readonly host: NetworkNamespace
  /** The server's addresses, by cable. */
  readonly addresses = { cable1: '10.77.1.1', cable2: '10.77.2.1' } as const
  /** What both ends of both cables do to packets. */
  #discipline: readonly string[] = ['pfifo']

  private constructor(server: NetworkNamespace, host: NetworkNamespace) {
    this.server = server
    this.host = host
  }

  static async create(): Promise<TwoNetworks> {
    const networks = new TwoNetworks(
      await NetworkNamespace.create(),
      await NetworkNamespace.create(),
    )
    const { server, host, addresses } = networks
    await server.layCable('cable1', `${addresses.cable1}/24`, host, '10.77.1.2/24')
    await server.layCable('cable2', `${addresses.cable2}/24`, host, '10.77.2.2/24')
    return networks
  }

  /** Each cable takes so much in each direction, as tc(8) has it: `200mbit`. */
  async limit(rate: string): Promise<void> {
    // A packet may be 64 KiB long here: the kernel cuts it up as late as it can.
    this.#discipline = ['tbf', 'rate', rate, 'burst', '256kb', 'latency', '50ms']
    for (const cable of cables) await this.mend(cable)
  }

  /** Nothing comes through any more, and nobody is told. */
  async cut(cable: Cable): Promise<void> {
    for (const end of [this.server, this.host]) await end.shape(cable, 'blackhole')
  }

  async mend(cable: Cable): Promise<void> {
    for (const end of [this.server, this.host]) await end.shape(cable, ...this.#discipline)
  }
}
