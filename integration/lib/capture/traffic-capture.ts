/**
 * What goes to and from the ports of a server, as the kernel saw it: dumpcap hands us whole packets, and
 * of each connection we keep the beginning.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { onCleanUp } from '../cleanup.ts'
import type { NetworkNamespace } from '../network-namespace.ts'
import { connectionOf, decodeRecord, PcapReader, type Segment } from './pcap.ts'

const MiB = 2 ** 20
/** The most payload kept of a connection. Logins and whatever a test does once are in it; bulk is more of the same. */
const connectionBytesMax = MiB
/** The most kept in all. */
const totalBytesMax = 48 * MiB
/** What dumpcap keeps until we take it in, in MiB. */
const kernelBufferMiB = 32

/** Whose traffic is captured, over whichever interface it goes. */
export interface CapturedPlace {
  readonly ports: readonly [number, ...number[]]
  /** Where they are, if not in the network of the machine. */
  readonly network?: NetworkNamespace | undefined
}

export class TrafficCapture {
  readonly place: CapturedPlace
  readonly #dumpcap: ChildProcess
  readonly #ended: Promise<unknown>
  #said = ''
  readonly #reader = new PcapReader()
  readonly #records: Buffer[] = []
  /** Payload of each connection seen so far, in bytes. */
  readonly #seen = new Map<string, number>()
  readonly #cut = new Set<string>()
  #keptBytes = 0
  /** What the datagram to one of the ports holds that tells us how far dumpcap has come. */
  #mark = ''
  #onMark: (() => void) | undefined

  private constructor(place: CapturedPlace) {
    this.place = place
    const filter = place.ports.map((port) => `port ${port}`).join(' or ')
    const from = ['-i', 'any', '-y', 'LINUX_SLL', '-B', String(kernelBufferMiB), '-f', filter]
    this.#dumpcap = spawn(...this.#there('dumpcap', ['-q', '-P', '-w', '-', ...from]))
    onCleanUp(() => this.#dumpcap.kill('SIGKILL'))
    this.#ended = once(this.#dumpcap, 'close')
    this.#dumpcap.stdout?.on('data', (piece: Buffer) => this.#take(piece))
    this.#dumpcap.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
    })
  }

  /** Captures from now on. */
  static async start(place: CapturedPlace): Promise<TrafficCapture> {
    const capture = new TrafficCapture(place)
    await capture.#untilMarkSeen()
    return capture
  }

  /** Ends it when all that was sent so far has come in. */
  async stop(): Promise<void> {
    await this.#untilMarkSeen()
    this.#dumpcap.stdout?.removeAllListeners('data').resume()
    this.#dumpcap.kill('SIGINT')
    await this.#ended
  }

  /** How many connections went on after what was kept of them. */
  get cut(): number {
    return this.#cut.size
  }

  /** Packets that dumpcap could not take in fast enough; known when it has ended. */
  get dropped(): number {
    return Number(/received\/dropped on interface .*: \d+\/(\d+)/.exec(this.#said)?.[1] ?? 0)
  }

  /** Writes what several captures have kept to one file in pcap's format. */
  static async write(path: string, captures: readonly TrafficCapture[]): Promise<void> {
    const headers = captures.map((capture) => capture.#reader.header ?? Buffer.alloc(0))
    const records = captures.flatMap((capture) => capture.#records)
    await writeFile(path, [...headers.slice(0, 1), ...records])
  }

  #take(piece: Buffer): void {
    for (const record of this.#reader.push(piece)) {
      const packet = decodeRecord(record)
      if (packet?.protocol === 'tcp') this.#keep(record, packet)
      else if (packet?.payload.toString() === this.#mark) this.#onMark?.()
    }
  }

  #keep(record: Buffer, segment: Segment): void {
    const connection = connectionOf(segment)
    const isNew = segment.syn && !segment.ack
    const before = isNew ? 0 : (this.#seen.get(connection) ?? 0)
    const seen = before + segment.payload.length
    if (seen > connectionBytesMax || this.#keptBytes + record.length > totalBytesMax) {
      // From here on nothing of it may be kept, or there would be a gap.
      this.#seen.set(connection, Number.POSITIVE_INFINITY)
      if (segment.payload.length > 0) this.#cut.add(connection)
      return
    }
    this.#seen.set(connection, seen)
    this.#keptBytes += record.length
    // A copy: the record is a view of all that came with it.
    this.#records.push(Buffer.from(record))
  }

  /** Sends marks, because dumpcap may not be listening yet, until one comes in. */
  async #untilMarkSeen(): Promise<void> {
    this.#mark = randomUUID()
    const seen = new Promise<void>((resolve) => {
      this.#onMark = resolve
    })
    const failed = this.#ended.then(() => {
      throw new Error(`dumpcap has ended: ${this.#said}`)
    })
    const datagram = `printf ${this.#mark} > /dev/udp/127.0.0.1/${this.place.ports[0]}`
    const send = () => spawn(...this.#there('bash', ['-c', datagram]), { stdio: 'ignore' })
    const timer = setInterval(send, 50)
    try {
      await Promise.race([seen, failed])
    } finally {
      clearInterval(timer)
    }
  }

  /** What to run, so that the program runs in the network that is captured. */
  #there(program: string, parameters: string[]): [string, string[]] {
    return this.place.network?.inside(program, parameters) ?? [program, parameters]
  }
}
