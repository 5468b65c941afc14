/** A network of the test's own: addresses that clash with nobody's, and virtual machines on it. */
import { spawnSync } from 'node:child_process'
import { onCleanUp } from './cleanup.ts'
import { runOk } from './command.ts'

let made = 0

/** A Linux network namespace. The clean-up removes it, and with it the devices that it holds. */
export class NetworkNamespace {
  readonly name: string

  private constructor(name: string) {
    this.name = name
  }

  /** Makes one in which only the loopback interface is up. Needs root. */
  static async create(): Promise<NetworkNamespace> {
    const namespace = new NetworkNamespace(`platter-${process.pid}-${++made}`)
    await runOk('ip', ['netns', 'add', namespace.name])
    onCleanUp(() => spawnSync('ip', ['netns', 'delete', namespace.name]))
    await namespace.#ip('link', 'set', 'lo', 'up')
    return namespace
  }

  /** Adds a tap device for a virtual machine; `address`, as 10.0.0.1/24, is this side's. */
  async addTap(device: string, address: string): Promise<void> {
    await this.#ip('tuntap', 'add', 'dev', device, 'mode', 'tap')
    await this.plugIn(device, address)
  }

  /** Gives a device an address, as 10.0.0.1/24; `lo` is there from the beginning. */
  async addAddress(device: string, address: string): Promise<void> {
    await this.#ip('address', 'add', address, 'dev', device)
  }

  /** Lays a cable to another namespace: a device of this name at both ends, with these addresses. */
  async layCable(
    device: string,
    address: string,
    other: NetworkNamespace,
    otherAddress: string,
  ): Promise<void> {
    const peer = ['peer', 'name', device, 'netns', other.name]
    await this.#ip('link', 'add', device, 'type', 'veth', ...peer)
    await this.plugIn(device, address)
    await other.plugIn(device, otherAddress)
  }

  /** Gives a device that is there an address, and has it carry packets. */
  async plugIn(device: string, address: string): Promise<void> {
    await this.addAddress(device, address)
    await this.#ip('link', 'set', device, 'up')
  }

  /** What becomes of packets that leave by the device: a queueing discipline, as tc(8) has it. */
  async shape(device: string, ...discipline: readonly string[]): Promise<void> {
    await runOk('tc', ['-n', this.name, 'qdisc', 'replace', 'dev', device, 'root', ...discipline])
  }

  /** What to run instead, so that the program runs in this network; its process id stays its own. */
  inside(program: string, parameters: readonly string[]): [string, string[]] {
    return ['nsenter', [`--net=/run/netns/${this.name}`, program, ...parameters]]
  }

  async #ip(...parameters: string[]): Promise<void> {
    await runOk('ip', ['-n', this.name, ...parameters])
  }
}
