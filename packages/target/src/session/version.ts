/**
 * The versions of the protocol that a login may agree on (RFC 7143 section 11.12.4), and what each allows to
 * authenticate with. A policy may narrow that down; neither a version nor a peer widens it.
 */
import { type ChapAlgorithm, chapAlgorithms } from '@platter/protocol/iscsi'

export type AuthMethod = 'CHAP' | 'None'

export interface ProtocolVersion {
  readonly number: number
  readonly authMethods: readonly AuthMethod[]
  readonly chapAlgorithms: readonly ChapAlgorithm[]
}

/** From the oldest to the newest. There is one so far: RFC 3720 and RFC 7143 are both 00h. */
export const protocolVersions: readonly ProtocolVersion[] = [
  { number: 0x00, authMethods: ['CHAP', 'None'], chapAlgorithms },
]

/** The newest of `versions` from `versionMin` to `versionMax`; undefined if there is none. */
export function selectVersion(
  { versionMin, versionMax }: { readonly versionMin: number; readonly versionMax: number },
  versions: readonly ProtocolVersion[] = protocolVersions,
): ProtocolVersion | undefined {
  return versions.findLast(({ number }) => number >= versionMin && number <= versionMax)
}
