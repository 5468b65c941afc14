/** Says who holds a file's lock, for the error that someone else is told. Linux only. */

import fs from 'node:fs'
import { deviceNumber } from './device-number.ts'

const COMMAND_LENGTH_MAX = 100

/** `process 123 (node platterd serve)`, as far as it can be found out from /proc. */
export function lockHolder(file: fs.BigIntStats): string {
  try {
    const { major, minor } = deviceNumber(file.dev)
    const hex = (number: bigint) => number.toString(16).padStart(2, '0')
    const inode = `${hex(major)}:${hex(minor)}:${file.ino}`
    const pid = holderPid(fs.readFileSync('/proc/locks', 'utf8'), inode)
    if (pid === null) return 'another process'
    if (pid === process.pid) return `this process (${pid})`
    const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split(/[\0\s]+/)
    return `process ${pid} (${words.join(' ').trim().slice(0, COMMAND_LENGTH_MAX)})`
  } catch {
    // The holder may have ended meanwhile, or /proc be hidden: still no reason to fail otherwise.
    return 'another process'
  }
}

// A line is `5: FLOCK  ADVISORY  WRITE 4242 08:01:131 0 EOF`.
function holderPid(locks: string, inode: string): number | null {
  for (const line of locks.split('\n')) {
    const words = line.trim().split(/\s+/)
    if (words[1] === 'FLOCK' && words[5] === inode) return Number(words[4])
  }
  return null
}
