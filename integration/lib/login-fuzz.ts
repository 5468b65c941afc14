/**
 * Sequences of PDUs that nobody has thought of, from peers that know no secret. Each comes from its seed and
 * number alone, so that one that finds something can be had again.
 */
import { connect, type Socket } from 'node:net'
import { encodePairs } from './login-wire.ts'
import { Random } from './random.ts'
import { encodePdu } from './raw-pdu.ts'

export interface FuzzOptions {
  readonly port: number
  readonly targetName: string
  /** A host that has a secret there, which the fuzzer does not know. */
  readonly initiatorName: string
  readonly seed: number
  /** The sequence to begin with, and how many at once. */
  readonly first?: number
  readonly atOnce?: number
  /** Asked before each sequence, with how many have been begun. */
  goOn(begun: number): boolean
}

export interface FuzzCounts {
  sequences: number
  loginResponses: number
  /** Of those, the ones that refuse nothing. */
  agreements: number
  rejects: number
}

const LOGIN_RESPONSE = 0x23
const REJECT = 0x3f
const bhsBytes = 48
/** How long an answer is waited for before the next PDU is sent all the same. */
const patienceMs = 30
/** The server ends a login that does not end by itself in 15 seconds, give or take its clock's. */
const closeMs = 60_000

/** Throws an Error that names seed and sequence when a peer gets what only a host may get. */
export async function fuzzLogins(options: FuzzOptions): Promise<FuzzCounts> {
  const { seed, first = 0, atOnce = 16 } = options
  const counts: FuzzCounts = { sequences: 0, loginResponses: 0, agreements: 0, rejects: 0 }
  let begun = 0
  const work = async () => {
    while (options.goOn(begun)) {
      const index = first + begun++
      const fault = await runSequence(options, new Random(seed, index), counts)
      if (fault !== undefined) throw new Error(`sequence ${index} of seed ${seed}: ${fault}`)
      counts.sequences++
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return counts
}

async function runSequence(
  options: FuzzOptions,
  random: Random,
  counts: FuzzCounts,
): Promise<string | undefined> {
  // Many addresses, so that none of them is slowed down before it has found anything.
  const localAddress = `127.${1 + random.below(254)}.${random.below(256)}.${1 + random.below(254)}`
  // Below the ports that the system gives to servers of other tests, whose traffic is looked at.
  const peer = await Peer.open(options.port, localAddress, 10_000 + random.below(20_000))
  const length = 1 + random.below(8)
  for (let step = 0; step < length && !peer.closed; step++) {
    peer.send(nextPdu(options, random, step, peer.challenge))
    if (random.chance(85)) await peer.pause(patienceMs)
  }
  peer.end()
  if (!(await peer.isClosedWithin(closeMs))) return `the connection is open after ${closeMs} ms`
  return peer.judge(counts)
}

/** What the fuzzer says in one step: mostly something that a login could say there. */
function nextPdu(options: FuzzOptions, random: Random, step: number, challenge: string): Buffer {
  const kind = random.below(100)
  if (kind < 4) return random.bytes(random.below(300))
  if (kind >= 40) return expectedRequest(options, step, challenge, random)
  const pdu = kind < 16 ? anyRequest(random) : loginRequest(options, random, step, challenge)
  if (!random.chance(15)) return pdu
  for (let count = 1 + random.below(3); count > 0; count--) {
    pdu[random.below(random.chance(80) ? bhsBytes : pdu.length)] = random.below(256)
  }
  return pdu
}

/** A request of the full feature phase, or one of a target's. */
function anyRequest(random: Random): Buffer {
  const opcodes = [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x10, 0x20, 0x21, 0x23, 0x3f, 0x1c]
  const text = random.chance(50) ? 'SendTargets=All\0' : ''
  return encodePdu(
    {
      opcode: random.pick(opcodes),
      immediate: random.chance(50),
      flags: random.below(256),
      lun: random.below(3),
      initiatorTaskTag: random.below(20),
      words: [0xffffffff, random.below(4), random.below(4)],
      cdb: Buffer.from([
        random.pick([0x12, 0x28, 0x2a, 0xa0]),
        ...random.bytes(9),
        0,
        0,
        0,
        0,
        0,
        0,
      ]),
      data: random.chance(50) ? Buffer.from(text) : random.bytes(random.below(64)),
    },
    { header: false, data: false },
  )
}

/** What a host would say in this step that has all but the secret. */
function expectedRequest(
  { initiatorName, targetName }: FuzzOptions,
  step: number,
  challenge: string,
  random: Random,
): Buffer {
  const names = [
    ['InitiatorName', initiatorName],
    ['TargetName', targetName],
  ] as const
  const response = [
    ['CHAP_N', initiatorName],
    ['CHAP_R', `0x${random.bytes(16).toString('hex')}`],
  ] as const
  const asks = random.chance(50)
    ? ([
        ['CHAP_I', '1'],
        ['CHAP_C', challenge],
      ] as const)
    : []
  const steps = [
    [...names, ['AuthMethod', 'CHAP']],
    [['CHAP_A', '5']],
    [...response, ...asks],
  ] as const
  return encodePdu(
    {
      opcode: 0x03,
      immediate: true,
      flags: step < 2 ? 0x00 : 0x81,
      isidAndTsih: Buffer.from([0x80, 0, 0, 0, 0, 1, 0, 0]),
      initiatorTaskTag: 0x10,
      words: [0, 1, 0],
      data: encodePairs(steps[step] ?? []),
    },
    { header: false, data: false },
  )
}

function loginRequest(
  options: FuzzOptions,
  random: Random,
  step: number,
  challenge: string,
): Buffer {
  const likely = step === 0 ? 0x00 : random.pick([0x00, 0x81, 0x83, 0x87])
  const pairs: [string, string][] = []
  if (step === 0 || random.chance(3)) {
    pairs.push(['InitiatorName', random.chance(90) ? options.initiatorName : 'iqn.2026-11.x:y'])
    if (random.chance(70)) pairs.push(['TargetName', options.targetName])
    if (random.chance(40)) pairs.push(['SessionType', random.pick(['Normal', 'Discovery', 'x'])])
  }
  if (step < 2 && random.chance(80)) {
    pairs.push(['AuthMethod', random.pick(['CHAP', 'CHAP', 'CHAP,None', 'None', 'SRP', ''])])
  }
  for (let count = random.below(4); count > 0; count--) pairs.push(anyPair(random, challenge))
  if (random.chance(40)) pairs.sort(() => random.below(3) - 1)
  const text = encodePairs(pairs)
  return encodePdu(
    {
      opcode: 0x03,
      immediate: random.chance(95),
      flags: random.chance(80) ? likely : random.below(256),
      specific: random.chance(95) ? 0 : random.below(0x10000),
      isidAndTsih: Buffer.from([0x80, 0, 0, 0, 0, 1, 0, random.chance(95) ? 0 : 1]),
      initiatorTaskTag: random.chance(97) ? 0x10 : random.below(20),
      words: [0, 1, 0],
      data: random.chance(95) ? text : text.subarray(0, random.below(text.length + 1)),
    },
    { header: false, data: false },
  )
}

function anyPair(random: Random, challenge: string): [string, string] {
  const values = ['0', '1', '5', '7', '5,6,7,8', '99', 'Yes', 'None', 'All', '', '0x00', '0bAA==']
  const long = () => random.pick(['x', '0x', '0b']) + 'a'.repeat(random.below(9000))
  const key = random.pick([
    ...['CHAP_A', 'CHAP_A', 'CHAP_N', 'CHAP_R', 'CHAP_I', 'CHAP_C', 'AuthMethod', 'SendTargets'],
    ...['HeaderDigest', 'MaxConnections', 'MaxBurstLength', 'InitialR2T', 'ErrorRecoveryLevel'],
    ...['TargetAddress', 'TargetName', 'SessionType', 'X-a', 'X#NodeArchitecture', 'OFMarker', ''],
    ...['MaxRecvDataSegmentLength', 'TargetPortalGroupTag', 'InitiatorAlias', 'SRP_U'],
  ])
  if (key === 'CHAP_A' && random.chance(70)) return [key, '5,6,7,8']
  if (key === 'CHAP_C' && random.chance(40)) return [key, challenge]
  if (random.chance(4)) return [key, long()]
  return [key, random.chance(90) ? random.pick(values) : random.bytes(random.below(20)).toString()]
}

/** One connection of the fuzzer, and all that it was told on it. */
class Peer {
  closed = false
  readonly #socket: Socket
  readonly #ended: Promise<void>
  #received = Buffer.alloc(0)
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
    this.#ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.closed = true
        this.#wake?.()
        resolve()
      })
    })
  }

  static async open(port: number, localAddress: string, localPort: number): Promise<Peer> {
    const local = { localAddress, localPort }
    const socket = connect({ port, host: '127.0.0.1', ...local, noDelay: true })
    const peer = new Peer(socket)
    await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), peer.#ended])
    return peer
  }

  /** The CHAP_C that came last. */
  get challenge(): string {
    return /^.*CHAP_C=(0x[0-9a-f]+)/s.exec(this.#received.toString('latin1'))?.[1] ?? '0x00'
  }

  send(bytes: Buffer): void {
    if (!this.closed) this.#socket.write(bytes)
  }

  end(): void {
    this.#socket.end()
  }

  /** Until something comes, or the time is over. */
  async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }

  async isClosedWithin(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([this.#ended, late])
    clearTimeout(timer)
    return this.closed
  }

  /** What it was told that it should not have been, if anything. */
  judge(counts: FuzzCounts): string | undefined {
    const bytes = this.#received
    for (let at = 0; at + bhsBytes <= bytes.length; ) {
      const opcode = (bytes[at] as number) & 0x3f
      const length = bytes.readUIntBE(at + 5, 3)
      const text = bytes.toString('latin1', at + bhsBytes, at + bhsBytes + length)
      if (opcode === REJECT) counts.rejects++
      else if (opcode !== LOGIN_RESPONSE) return `it got a PDU of opcode 0x${opcode.toString(16)}`
      else {
        const fault = judgeLogin(bytes.subarray(at, at + bhsBytes), text)
        if (fault !== undefined) return fault
        counts.loginResponses++
        if (bytes.readUInt16BE(at + 36) === 0) counts.agreements++
      }
      at += bhsBytes + length + (-length & 3)
    }
    return undefined
  }
}

function judgeLogin(header: Buffer, text: string): string | undefined {
  const status = header.readUInt16BE(36)
  const flags = header[1] as number
  if (status === 0 && (flags & 0x80) !== 0)
    return `it left a stage, with flags 0x${flags.toString(16)}`
  if (status >> 8 === 1) return 'it was told where to go instead'
  if (/(^|\0)(TargetName|TargetAddress|TargetAlias)=/.test(text)) return `it was told: ${text}`
  return undefined
}
