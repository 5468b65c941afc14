/** How much memory a process has in use. */
import { readFileSync } from 'node:fs'

/** Resident bytes, from /proc/PID/status (proc(5)). */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}
