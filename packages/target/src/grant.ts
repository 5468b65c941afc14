/**
 * What a grant is, and the rules that several of them keep among each other: one LUN names one
 * partition to a host, and an exclusive partition belongs to one host.
 */
import Type, { type Static } from 'typebox'

/** In a grant: every host. */
export const ALL_HOSTS = '*'

export const HostName = Type.String({
  pattern: '^(\\*|(iqn|eui|naa)\\..{1,219})$',
  description: 'the iSCSI name of a host, or * for all hosts',
})

const Id = Type.String({
  pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: 'a UUID in lower case',
})

/** LUNs of the single-level flat form (SAM-5 section 4.7.7.1) end here. */
const LUN_MAX = 16383

/** A host's right to a partition, and the LUN that it has there. */
export const Grant = Type.Object(
  {
    /** `*` is every host that has no grant of its own for the partition. */
    host: HostName,
    /** The array's id, so that a grant is kept while its array is away. */
    array: Id,
    partition: Id,
    lun: Type.Integer({ minimum: 0, maximum: LUN_MAX }),
    access: Type.Enum(['read-write', 'read-only']),
    /** Exclusive: the partition has this grant and no other. */
    sharing: Type.Enum(['exclusive', 'shared']),
  },
  { additionalProperties: false },
)
export type Grant = Static<typeof Grant>

/** The grants that `host`, by its name in normal form, has: its own come before those of all hosts. */
export function grantsOf(grants: readonly Grant[], host: string): Grant[] {
  const own = grants.filter((grant) => grant.host === host)
  const partitions = new Set(own.map(({ partition }) => partition))
  const rest = grants.filter((it) => it.host === ALL_HOSTS && !partitions.has(it.partition))
  return [...own, ...rest]
}

/**
 * The LUN for a new grant of `partition` to `host`: the one that other hosts know it by, if `host` has
 * nothing there, else the lowest that is free; undefined when all are in use.
 */
export function freeLun(
  grants: readonly Grant[],
  host: string,
  partition: string,
): number | undefined {
  const taken = new Set<number>()
  const known = new Set<number>()
  for (const grant of grants) {
    if (grant.partition === partition) known.add(grant.lun)
    else if (meet(grant.host, host)) taken.add(grant.lun)
  }
  for (const lun of known) if (!taken.has(lun)) return lun
  for (let lun = 0; lun <= LUN_MAX; lun++) if (!taken.has(lun)) return lun
  return undefined
}

/** What is wrong with each grant in the light of those before it. */
export function findGrantConflicts(grants: readonly Grant[]): string[] {
  const faults: string[] = []
  const byLun = new Map<number, number[]>()
  const byPartition = new Map<string, number[]>()
  for (const [index, grant] of grants.entries()) {
    const place = `grants[${index}]`
    const sameLun = listAt(byLun, grant.lun)
    const samePartition = listAt(byPartition, grant.partition)
    const holder = sameLun.find((other) => takesLunOf(grants[other] as Grant, grant))
    const twice = samePartition.find((other) => grants[other]?.host === grant.host)
    const sole = samePartition.find((other) => isSole(grants[other] as Grant, grant))
    if (holder !== undefined) {
      faults.push(`${place}.lun: got ${grant.lun}, which grants[${holder}] has already`)
    }
    if (twice !== undefined) faults.push(`${place}.partition: got that of grants[${twice}]`)
    else if (sole !== undefined) {
      faults.push(`${place}.sharing: one of it and grants[${sole}] is exclusive`)
    }
    if (grant.host === ALL_HOSTS && grant.sharing === 'exclusive') {
      faults.push(`${place}.sharing: got exclusive, wanted shared, as it is for all hosts`)
    }
    sameLun.push(index)
    samePartition.push(index)
  }
  return faults
}

/** Whether two grants make one LUN stand for two partitions at some host. */
export function takesLunOf(one: Grant, other: Grant): boolean {
  return one.lun === other.lun && one.partition !== other.partition && meet(one.host, other.host)
}

function isSole(other: Grant, grant: Grant): boolean {
  return other.sharing === 'exclusive' || grant.sharing === 'exclusive'
}

/** Whether some host may have grants of both. */
function meet(one: string, other: string): boolean {
  return one === other || one === ALL_HOSTS || other === ALL_HOSTS
}

function listAt<K>(lists: Map<K, number[]>, key: K): number[] {
  const list = lists.get(key) ?? []
  lists.set(key, list)
  return list
}
