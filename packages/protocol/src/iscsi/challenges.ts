/** Challenges that a node sends: random, and remembered, so that none is taken back from a peer. */
import { randomBytes } from 'node:crypto'
import type { ChapChallenge } from './chap.ts'

/** As long as the longest hash: no challenge comes twice. */
const CHALLENGE_BYTES = 32
/** Logins under way at once, and those just gone, are fewer. */
const REMEMBERED = 4096

export class Challenges {
  readonly #random: (length: number) => Buffer
  readonly #issued = new Set<string>()

  /** `random` is for tests; it answers with as many unpredictable bytes as it is asked for. */
  constructor(random: (length: number) => Buffer = randomBytes) {
    this.#random = random
  }

  /** A new challenge. */
  issue(): ChapChallenge {
    const bytes = this.#random(CHALLENGE_BYTES)
    this.#issued.add(bytes.toString('hex'))
    for (const oldest of this.#issued) {
      if (this.#issued.size <= REMEMBERED) break
      this.#issued.delete(oldest)
    }
    return { identifier: this.#random(1)[0] as number, bytes }
  }

  /** Whether `bytes` is a challenge of ours, on whichever connection it was sent. */
  isOurs(bytes: Buffer): boolean {
    return this.#issued.has(bytes.toString('hex'))
  }
}
