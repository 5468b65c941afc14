/** The two halves of a device number as stat(2) gives it, encoded as by Linux's makedev(3). */
export function deviceNumber(device: bigint): { readonly major: bigint; readonly minor: bigint } {
  return {
    major: ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n),
    minor: (device & 0xffn) | ((device >> 12n) & 0xffffff00n),
  }
}
