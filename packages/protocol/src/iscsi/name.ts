/**
 * Names of iSCSI nodes (RFC 7143 section 4.2.7), the addresses of target portals (section 13.8), and
 * the `iscsi:` URLs that clients use to name a logical unit.
 */

/** The port that IANA assigned to iSCSI. */
export const ISCSI_PORT = 3260

/** The longest name, in bytes of UTF-8. */
export const NAME_BYTES_MAX = 223

export interface IscsiName {
  readonly type: 'iqn' | 'eui' | 'naa'
  /** The whole name, normalised: two names are the same node's if these are equal. */
  readonly name: string
}

/**
 * Letters and digits of any script and `-.:`, as RFC 3722 leaves them; and `_`, which it forbids but
 * many host names, and so initiator names, have.
 */
const iqnPattern =
  /^iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9-]+(\.[a-z0-9-]+)*(:[-.:_\p{L}\p{M}\p{N}]*)?$/u
const euiPattern = /^eui\.[0-9a-f]{16}$/
const naaPattern = /^naa\.([0-9a-f]{16}|[0-9a-f]{32})$/

/**
 * A name in any spelling; undefined if it is not valid. Of the RFC 3722 profile this applies lower
 * case and compatibility composition, and not the tables of single characters.
 */
export function parseName(text: string): IscsiName | undefined {
  const name = text.normalize('NFKC').toLowerCase().normalize('NFKC')
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) return undefined
  if (iqnPattern.test(name)) return { type: 'iqn', name }
  if (euiPattern.test(name)) return { type: 'eui', name }
  if (naaPattern.test(name)) return { type: 'naa', name }
  return undefined
}

/** The SCSI name of an initiator port (RFC 7143 section 4.4.2). `isid` is twelve hexadecimal digits. */
export function formatInitiatorPort(initiatorName: string, isid: string): string {
  return `${initiatorName},i,0x${isid}`
}

/** The SCSI name of a target port, which is a portal group (RFC 7143 section 4.4.2). */
export function formatTargetPort(targetName: string, targetPortalGroupTag: number): string {
  return `${targetName},t,0x${targetPortalGroupTag.toString(16).padStart(4, '0')}`
}

/** Where a target can be reached. An IPv6 host stands here without brackets. */
export interface TargetAddress {
  readonly host: string
  readonly port: number
  readonly targetPortalGroupTag?: number
}

/** `host[:port][,portal-group-tag]`, an IPv6 host in brackets; undefined if it is not of that form. */
export function parseTargetAddress(text: string): TargetAddress | undefined {
  const match =
    /^(\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]|[^\s[\]:,/]+)(?::(\d{1,5}))?(?:,(\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const host = (match[1] as string).replace(/^\[|\]$/g, '')
  const port = match[2] === undefined ? ISCSI_PORT : Number(match[2])
  if (port < 1 || port > 65535) return undefined
  if (match[3] === undefined) return { host, port }
  const targetPortalGroupTag = Number(match[3])
  return targetPortalGroupTag > 65535 ? undefined : { host, port, targetPortalGroupTag }
}

/** The value of a TargetAddress key. An IPv4 address that was mapped into IPv6 is written as itself. */
export function formatTargetAddress(address: TargetAddress): string {
  const { targetPortalGroupTag } = address
  const tag = targetPortalGroupTag === undefined ? '' : `,${targetPortalGroupTag}`
  return `${formatHost(address.host)}:${address.port}${tag}`
}

function formatHost(host: string): string {
  const unmapped = host.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
  return unmapped.includes(':') ? `[${unmapped}]` : unmapped
}

/** What an `iscsi:` URL names: a logical unit, or a target, or only a portal. */
export interface IscsiUrl {
  readonly host: string
  readonly port: number
  readonly targetName?: string
  readonly lun?: number
}

/** `iscsi://host[:port][/target-name[/lun]]`; undefined if it is not of that form. */
export function parseIscsiUrl(text: string): IscsiUrl | undefined {
  const match = /^iscsi:\/\/([^/@,]+)(?:\/(?:([^/]+)(?:\/(\d{1,5})?)?)?)?$/.exec(text)
  if (match === null) return undefined
  const address = parseTargetAddress(match[1] as string)
  if (address === undefined) return undefined
  const { host, port } = address
  if (match[2] === undefined) return { host, port }
  const targetName = parseName(match[2])?.name
  if (targetName === undefined) return undefined
  if (match[3] === undefined) return { host, port, targetName }
  const lun = Number(match[3])
  return lun > 16383 ? undefined : { host, port, targetName, lun }
}

/** The inverse of `parseIscsiUrl`. The port is always written. */
export function formatIscsiUrl(url: IscsiUrl): string {
  const target = url.targetName === undefined ? '' : `/${url.targetName}`
  const lun = url.lun === undefined ? '' : `/${url.lun}`
  return `iscsi://${formatHost(url.host)}:${url.port}${target}${lun}`
}
