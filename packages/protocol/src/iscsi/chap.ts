/**
 * The arithmetic of CHAP (RFC 1994) as iSCSI uses it (RFC 7143 section 12.1.3): algorithms and responses.
 * Who asks whom, and in which order, is not here.
 */
import { createHash, timingSafeEqual } from 'node:crypto'

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

/** Every algorithm that there is. */
export const chapAlgorithms: readonly ChapAlgorithm[] = Object.values(ChapAlgorithm)

/** What one side gave the other to answer: CHAP_I and CHAP_C. */
export interface ChapChallenge {
  /** 0 to 255. */
  readonly identifier: number
  readonly bytes: Buffer
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
