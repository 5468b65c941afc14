/**
 * What a target tells a host of its access, in one answer: the value of the private key
 * `X-org.platter.AccessInfo` (RFC 7143 section 13.22; docs/access-information.md has the grammar). A list
 * of text-values, so that none is longer than section 6.1 has it, however many partitions there are.
 */
import { formatTargetAddress, parseTargetAddress, type TargetAddress } from './name.ts'
import { parseNumber } from './text-value.ts'

/** The key. Its request is the LUN to begin at, as a number; only in Normal sessions. */
export const ACCESS_INFORMATION_KEY = 'X-org.platter.AccessInfo'

/** Partitions in one answer at most; a host asks again for those that follow. */
export const ACCESS_PAGE_PARTITIONS = 256

export interface AccessInformation {
  /** What the server is, as `Platter/0.1.0`. */
  readonly server: string
  /** The versions of iSCSI that a login may agree on. */
  readonly versionMin: number
  readonly versionMax: number
  /** Connections that one session of this host may have. */
  readonly maxConnections: number
  /** The portals that this host can use, each with its portal group tag. */
  readonly portals: readonly TargetAddress[]
  /** In the order of their LUNs. */
  readonly partitions: readonly AccessiblePartition[]
  /** Where to begin to be told of more; undefined when there are no more. */
  readonly nextLun: number | undefined
}

/** A partition as one host may use it. */
export interface AccessiblePartition {
  readonly lun: number
  readonly access: 'read-write' | 'read-only'
  readonly sharing: 'exclusive' | 'shared'
  readonly sizeBytes: number
  /** Names, which hold neither comma nor slash. */
  readonly array: string
  readonly name: string
}

/** The value of the key, without its zero byte. */
export function formatAccessInformation(information: AccessInformation): string {
  const { server, versionMin, versionMax, maxConnections, nextLun } = information
  return [
    'format:1',
    `server:${server}`,
    `versions:${versionMin}/${versionMax}`,
    `connections:${maxConnections}`,
    ...information.portals.map(formatPortal),
    ...information.partitions.map(formatPartition),
    ...(nextLun === undefined ? [] : [`next:${nextLun}`]),
  ].join(',')
}

/**
 * What a value of the key says; elements of a kind that is not known here are passed over. Throws an
 * Error that names the element for what is not of the form.
 */
export function parseAccessInformation(value: string): AccessInformation {
  const [format, ...elements] = value.split(',')
  if (format !== 'format:1') throw malformed(format as string, 'format:1')
  const single = new Map<string, string>()
  const portals: TargetAddress[] = []
  const partitions: AccessiblePartition[] = []
  for (const element of elements) {
    const colon = element.indexOf(':')
    const kind = element.slice(0, Math.max(colon, 0))
    const rest = element.slice(colon + 1)
    if (kind === 'portal') portals.push(parsePortal(rest))
    else if (kind === 'partition') partitions.push(parsePartition(rest))
    else single.set(kind, rest)
  }
  const [versionMin, versionMax, ...others] = (single.get('versions') ?? '').split('/')
  if (others.length > 0) throw malformed(`versions:${single.get('versions')}`, 'MIN/MAX')
  const next = single.get('next')
  return {
    server: single.get('server') ?? '',
    versionMin: number(versionMin, 'versions'),
    versionMax: number(versionMax, 'versions'),
    maxConnections: number(single.get('connections'), 'connections'),
    portals,
    partitions,
    nextLun: next === undefined ? undefined : number(next, 'next'),
  }
}

function formatPortal({ host, port, targetPortalGroupTag = 0 }: TargetAddress): string {
  return `portal:${targetPortalGroupTag}/${formatTargetAddress({ host, port })}`
}

function parsePortal(text: string): TargetAddress {
  const slash = text.indexOf('/')
  const address = parseTargetAddress(text.slice(slash + 1))
  if (slash < 1 || address === undefined) throw malformed(`portal:${text}`, 'TAG/HOST:PORT')
  return { ...address, targetPortalGroupTag: number(text.slice(0, slash), 'portal') }
}

function formatPartition(partition: AccessiblePartition): string {
  const { lun, access, sharing, sizeBytes, array, name } = partition
  return `partition:${[lun, access, sharing, sizeBytes, array, name].join('/')}`
}

function parsePartition(text: string): AccessiblePartition {
  const [lun, access, sharing, sizeBytes, array, name, ...more] = text.split('/')
  if (
    (access !== 'read-write' && access !== 'read-only') ||
    (sharing !== 'exclusive' && sharing !== 'shared') ||
    array === undefined ||
    name === undefined ||
    more.length > 0
  ) {
    throw malformed(`partition:${text}`, 'LUN/ACCESS/SHARING/BYTES/ARRAY/NAME')
  }
  return {
    lun: number(lun, 'partition'),
    access,
    sharing,
    sizeBytes: number(sizeBytes, 'partition'),
    array,
    name,
  }
}

function number(text: string | undefined, kind: string): number {
  const value = parseNumber(text ?? '')
  if (value === undefined) throw malformed(`${kind}:${text ?? ''}`, 'a number')
  return value
}

function malformed(got: string, wanted: string): Error {
  return new Error(`${ACCESS_INFORMATION_KEY}: got ${got}, wanted ${wanted}`)
}
