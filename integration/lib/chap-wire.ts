/**
 * CHAP at the wire, from the initiator's side: each step a request of its own, each value as the test has
 * it. Shares no code with packages/protocol.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type LoginResponse, LoginWire, type Pairs } from './login-wire.ts'

/** Hashes by their CHAP_A. */
const hashes: Readonly<Record<string, string>> = {
  '5': 'md5',
  '6': 'sha1',
  '7': 'sha256',
  '8': 'sha3-256',
}

export interface Host {
  readonly initiatorName: string
  readonly user: string
  readonly secret: string
}

/** What the target gave to answer, and the algorithm it chose. */
export interface Challenge {
  readonly algorithm: string
  readonly identifier: number
  readonly bytes: Buffer
}

const security = { currentStage: 0 }
const leaveSecurity = { currentStage: 0, transit: true, nextStage: 1 }

export class ChapWire {
  readonly wire: LoginWire
  readonly host: Host

  private constructor(wire: LoginWire, host: Host) {
    this.wire = wire
    this.host = host
  }

  /** A connection on which CHAP has been agreed on. Without a target name, for discovery. */
  static async open(
    port: number,
    host: Host,
    targetName?: string,
    isid = randomBytes(1)[0],
  ): Promise<ChapWire> {
    const chap = new ChapWire(await LoginWire.open(port, isid), host)
    const answer = await chap.wire.ask(security, [
      ...chap.names(targetName),
      ['AuthMethod', 'CHAP'],
    ])
    if (answer.keys.AuthMethod !== 'CHAP') throw new Error(`AuthMethod=${answer.keys.AuthMethod}`)
    return chap
  }

  names(targetName: string | undefined): Pairs {
    const { initiatorName } = this.host
    if (targetName !== undefined) {
      return [
        ['InitiatorName', initiatorName],
        ['TargetName', targetName],
      ]
    }
    return [
      ['InitiatorName', initiatorName],
      ['SessionType', 'Discovery'],
    ]
  }

  /** One step in the security stage, which stays. */
  step(pairs: Pairs): Promise<LoginResponse> {
    return this.wire.ask(security, pairs)
  }

  /** Offers algorithms; the target's challenge. */
  async challenge(algorithms = '5'): Promise<Challenge> {
    const { status, keys } = await this.step([['CHAP_A', algorithms]])
    if (status !== 0) throw new Error(`CHAP_A=${algorithms} got status ${status.toString(16)}`)
    const { CHAP_A = '', CHAP_I, CHAP_C = '' } = keys
    const bytes = Buffer.from(CHAP_C.replace(/^0x/, ''), 'hex')
    return { algorithm: CHAP_A, identifier: Number(CHAP_I), bytes }
  }

  /** CHAP_N and CHAP_R for a challenge, with what else the test wants, and leaves the stage. */
  respond(challenge: Challenge, more: Pairs = []): Promise<LoginResponse> {
    const response = hash(challenge, this.host.secret)
    const own: Pairs = [
      ['CHAP_N', this.host.user],
      ['CHAP_R', hex(response)],
    ]
    return this.wire.ask(leaveSecurity, [...own, ...more])
  }

  leave(pairs: Pairs): Promise<LoginResponse> {
    return this.wire.ask(leaveSecurity, pairs)
  }

  close(): void {
    this.wire.close()
  }
}

/** The response to a challenge of who has this secret (RFC 1994). */
export function hash({ algorithm, identifier, bytes }: Challenge, secret: string): Buffer {
  const sum = createHash(hashes[algorithm] ?? '')
  return sum.update(Buffer.of(identifier)).update(secret).update(bytes).digest()
}

export const hex = (bytes: Buffer): string => `0x${bytes.toString('hex')}`
export const base64 = (bytes: Buffer): string => `0b${bytes.toString('base64')}`

/** CHAP_I and CHAP_C, for a host that asks the target who it is. */
export function asks(identifier: number | string, challenge: Buffer | string): Pairs {
  const CHAP_C = Buffer.isBuffer(challenge) ? hex(challenge) : challenge
  return [
    ['CHAP_I', `${identifier}`],
    ['CHAP_C', CHAP_C],
  ]
}
