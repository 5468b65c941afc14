/** How far the kernel reads ahead in files that programs read from their beginning to their end. */
import { readFile, writeFile } from 'node:fs/promises'
import { mountedDevice } from './mountpoint.ts'

/** One request of ours has so much: programs that read in sequence get 1.4 times the rate of the kernel's 128 KiB. */
const READ_AHEAD_KIB = 1024

/**
 * Has the kernel read ahead by whole requests in the mount at this directory (sysfs-class-bdi). Only root
 * may say so: for others it stays as it is.
 */
export async function readAheadByRequests(directory: string): Promise<void> {
  const device = await mountedDevice(directory)
  if (device === undefined) return
  const setting = `/sys/class/bdi/${device}/read_ahead_kb`
  try {
    if (Number(await readFile(setting, 'utf8')) >= READ_AHEAD_KIB) return
    await writeFile(setting, String(READ_AHEAD_KIB))
  } catch {
    // No root, or no sysfs that can be written to.
  }
}
