/** Disks as the admin API tells of them. */
import type { Disk } from './admin/model.ts'
import type { ArraySet } from './array-set.ts'
import type { KnownDisk } from './disk-set.ts'
import type { Spares } from './spares.ts'

export function describeDisk(
  { path, volume, reason }: KnownDisk,
  arrays: ArraySet,
  spares: Spares,
): Disk {
  const spare = spares.has(path)
  if (volume === null) {
    return { path, state: 'unavailable', sizeBytes: null, array: null, spare, reason }
  }
  const known = { path, sizeBytes: volume.sizeBytes, spare }
  const member = arrays.using(volume)?.name ?? null
  const left = arrays.leftBy(volume)?.name ?? null
  if (reason !== null) {
    const use = member === null ? '' : `; array ${member} goes on with it as long as it can`
    const array = member ?? left
    return { ...known, state: 'unavailable', array, reason: `${reason}${use}` }
  }
  if (member !== null) return { ...known, state: 'member', array: member, reason: null }
  if (left !== null) {
    const remedy = `it was taken out of array ${left}; take it back with: array re-add ${left} ${path}`
    return { ...known, state: 'out', array: left, reason: remedy }
  }
  const fault = arrays.faultOf(volume)
  return { ...known, state: fault === null ? 'free' : 'unavailable', array: null, reason: fault }
}
