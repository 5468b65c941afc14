/**
 * Arithmetic on the 32-bit serial numbers of iSCSI: CmdSN, StatSN, DataSN, R2TSN
 * (RFC 7143 section 4.2.2.1, which takes it from RFC 1982). All values are unsigned 32-bit.
 */

/** Whether `a` comes before `b`. False both ways when they are exactly 2^31 apart. */
export function serialLess(a: number, b: number): boolean {
  const distance = (b - a) >>> 0
  return distance !== 0 && distance < 0x80000000
}

/** Whether `a` is `b` or comes before it. */
export function serialLessOrEqual(a: number, b: number): boolean {
  return (b - a) >>> 0 < 0x80000000
}

/** `a` advanced by `n`, which may be negative. */
export function serialAdd(a: number, n: number): number {
  return (a + n) >>> 0
}

/** The later of the two. */
export function serialMax(a: number, b: number): number {
  return serialLess(a, b) ? b : a
}

/** Whether `sn` lies in the window from `first` to `last`, both included. `last` = `first` - 1 is an empty window. */
export function serialInWindow(sn: number, first: number, last: number): boolean {
  return !serialLess(sn, first) && !serialLess(last, sn) && serialLessOrEqual(first, last)
}
