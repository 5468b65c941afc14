/**
 * The arithmetic of CHAP (RFC 1994) as iSCSI uses it (RFC 7143 section 12.1.3): algorithms and responses.
 * Who asks whom, and in which order, is not here.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { parseBinary, parseNumber } from './text-value.ts'

/** Algorithms by the numbers that IANA gave them for CHAP_A, from the weakest to the strongest. */
export const ChapAlgorithm = { Md5: 5, Sha1: 6, Sha256: 7, Sha3_256: 8 } as const
export type ChapAlgorithm = (typeof ChapAlgorithm)[keyof typeof ChapAlgorithm]

/** The longest challenge, in bytes, before it is encoded (RFC 7143 section 12.1.3). */
export const CHAP_CHALLENGE_BYTES_MAX = 1024

const hashes: Readonly<Record<ChapAlgorithm, string>> = {
  [ChapAlgorithm.Md5]: 'md5',
  [ChapAlgorithm.Sha1]: 'sha1',
  [ChapAlgorithm.Sha256]: 'sha256',
  [ChapAlgorithm.Sha3_256]: 'sha3-256',
}

/** Every algorithm that there is, from the weakest to the strongest. */
export const chapAlgorithms: readonly ChapAlgorithm[] = Object.values(ChapAlgorithm)

/**
 * The algorithms of a list such as `sha3-256,sha256`, in its order; undefined if it is empty, or one
 * in it is not known or comes twice.
 */
export function parseChapAlgorithms(text: string): readonly ChapAlgorithm[] | undefined {
  const names = text.split(',')
  const found = names.map((name) => chapAlgorithms.find((it) => hashes[it] === name.trim()))
  const known = found.filter((it) => it !== undefined)
  return known.length === names.length && new Set(known).size === names.length ? known : undefined
}

/** `md5`, `sha1`, `sha256` or `sha3-256`. */
export function chapAlgorithmName(algorithm: ChapAlgorithm): string {
  return hashes[algorithm]
}

/** Secrets are of this many bytes: shorter ones can be guessed from one login (RFC 7143 section 9.2.1). */
export const CHAP_SECRET_BYTES_MIN = 12
export const CHAP_SECRET_BYTES_MAX = 255

/** One side's name and secret (CHAP_N, and what CHAP_R is made with). */
export interface ChapIdentity {
  readonly user: string
  readonly secret: Buffer
}

/**
 * The least that a login must have shown, at either end, from the weakest to the strongest: nothing; that
 * the host is who it says; that both are.
 */
export const authenticationFloors = ['none', 'chap', 'chap-mutual'] as const
export type AuthenticationFloor = (typeof authenticationFloors)[number]

/** What one side gave the other to answer: CHAP_I and CHAP_C. */
export interface ChapChallenge {
  /** 0 to 255. */
  readonly identifier: number
  readonly bytes: Buffer
}

/** What CHAP_I and CHAP_C, which `keys` have, ask. Throws what `fault` makes of the reason when they ask nothing. */
export function parseChapChallenge(
  keys: ReadonlyMap<string, string>,
  fault: (reason: string) => Error,
): ChapChallenge {
  const identifier = parseNumber(keys.get('CHAP_I') as string)
  if (identifier === undefined || identifier > 255) {
    throw fault(`CHAP_I=${keys.get('CHAP_I')} is not in the range of 0 to 255`)
  }
  const bytes = parseBinary(keys.get('CHAP_C') as string)
  if (bytes === undefined || bytes.length === 0 || bytes.length > CHAP_CHALLENGE_BYTES_MAX) {
    throw fault(`CHAP_C is not of 1 to ${CHAP_CHALLENGE_BYTES_MAX} bytes`)
  }
  return { identifier, bytes }
}

/** The response of who knows `secret`, in a new buffer: the hash of identifier, secret and challenge. */
export function chapResponse(
  algorithm: ChapAlgorithm,
  { identifier, bytes }: ChapChallenge,
  secret: Buffer,
): Buffer {
  const hash = createHash(hashes[algorithm])
  return hash.update(Buffer.of(identifier)).update(secret).update(bytes).digest()
}

/** Whether both are the same; how long it takes does not depend on what they hold. */
export function isSameResponse(expected: Buffer, got: Buffer): boolean {
  return expected.length === got.length && timingSafeEqual(expected, got)
}
