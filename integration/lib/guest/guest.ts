/** A virtual machine with a Linux kernel of its own, in which a test runs programs. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { temporaryDirectory } from '../cleanup.ts'
import { BackgroundProcess, type Outcome } from '../command.ts'
import type { NetworkNamespace } from '../network-namespace.ts'
import { guestImage } from './image.ts'

/** A network card of the guest: on a tap device of the namespace, with an address as 10.0.0.2/24. */
export interface GuestInterface {
  readonly tap: string
  readonly address: string
}

export interface GuestOptions {
  readonly network: NetworkNamespace
  readonly interfaces: readonly GuestInterface[]
}

const bootTimeoutMs = 240_000

/** The kernel's own tests and guards against its users only cost time here. */
const kernelParameters =
  'console=ttyS0 quiet panic=-1 net.ifnames=0 cryptomgr.notests mitigations=off nokaslr edd=off'

/** QEMU's parameters for a guest with these cards, and with its console where -serial puts it. */
export async function qemuParameters(
  interfaces: readonly GuestInterface[],
  serial: string,
  ...kernelArguments: string[]
): Promise<string[]> {
  const { kernel, initramfs } = await guestImage()
  const addresses = interfaces.map((it) => it.address).join(',')
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1024'],
    ...['-nodefaults', '-no-reboot', '-display', 'none', '-serial', serial],
    ...['-kernel', kernel, '-initrd', initramfs],
    ...['-append', `${kernelParameters} guest_addresses=${addresses} ${kernelArguments.join(' ')}`],
    ...interfaces.flatMap(({ tap }, index) => [
      ...['-netdev', `tap,id=net${index},ifname=${tap},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=net${index},romfile=`],
    ]),
  ]
}

/** A guest that has booted. It ends with `powerOff`, with the clean-up, or with this process. */
export class Guest {
  readonly #machine: BackgroundProcess
  readonly #agent: Socket
  readonly #pending = new Map<string, (outcome: Outcome) => void>()
  #asked = 0

  private constructor(machine: BackgroundProcess, agent: Socket, lines: Interface) {
    this.#machine = machine
    this.#agent = agent
    lines.on('line', (line) => this.#answer(line))
  }

  /** Builds the image if it has to, starts the guest and waits until its agent answers. */
  static async boot({ network, interfaces }: GuestOptions): Promise<Guest> {
    const path = join(temporaryDirectory(), 'agent')
    const listener = createServer().listen(path)
    const connected = once(listener, 'connection') as Promise<[Socket]>
    const parameters = [
      ...(await qemuParameters(interfaces, 'stdio')),
      ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${path}`],
      ...['-device', 'virtserialport,chardev=agent,name=org.platter.agent'],
    ]
    // Should this process be killed before it can clean up, the kernel ends the guest.
    const mortal = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...parameters]
    const machine = new BackgroundProcess(...network.inside('setpriv', mortal))
    const [agent] = await machine.whileRunning(connected, bootTimeoutMs)
    listener.close()
    const lines = createInterface({ input: agent })
    await machine.whileRunning(once(lines, 'line'), bootTimeoutMs)
    return new Guest(machine, agent, lines)
  }

  /** What the kernel has said, and what programs have written to the console. */
  get console(): string {
    return this.#machine.log
  }

  /** Runs a shell script, beside others that run already; answers with what it said, whatever its status. */
  async run(script: string, timeoutMs = 120_000): Promise<Outcome> {
    const number = String(++this.#asked)
    const answer = new Promise<Outcome>((resolve) => this.#pending.set(number, resolve))
    this.#agent.write(`${number} ${Buffer.from(script).toString('base64')}\n`)
    return await this.#machine.whileRunning(answer, timeoutMs)
  }

  /** As `run`, but anything other than exit status 0 is an error that says what the script said. */
  async runOk(script: string, timeoutMs?: number): Promise<string> {
    const { status, stdout, stderr } = await this.run(script, timeoutMs)
    if (status === 0) return stdout
    throw new Error(`in the guest, ${script} exited with ${status}:\n${stdout}${stderr}`)
  }

  /** Lets go of the agent, upon which the guest powers off. */
  async powerOff(): Promise<void> {
    this.#agent.destroy()
    await this.#machine.untilEnded(120_000)
  }

  #answer(line: string): void {
    const [number = '', status, stdout = '', stderr = ''] = line.split(' ')
    this.#pending.get(number)?.({
      status: Number(status),
      stdout: Buffer.from(stdout, 'base64').toString(),
      stderr: Buffer.from(stderr, 'base64').toString(),
    })
    this.#pending.delete(number)
  }
}
