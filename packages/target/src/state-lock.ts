/** Keeps a second server away from a state directory. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import path from 'node:path'
import { lockHolder } from './volume/lock-holder.ts'
import { availableSystemCalls, Errno, systemError } from './volume/system-calls.ts'

/**
 * Locks the directory for this process, until the returned function is called or the process ends,
 * however it ends. Throws, naming the holder, when another server has it.
 */
export function lockStateDirectory(directory: string): () => void {
  const { calls } = availableSystemCalls()
  const fd = openSync(path.join(directory, 'lock'), 'a', 0o600)
  const result = calls === null ? 0 : calls.lockExclusively(fd)
  if (result === 0) return () => closeSync(fd)
  try {
    if (result !== Errno.WouldBlock) throw systemError('flock', result)
    const holder = lockHolder(fstatSync(fd, { bigint: true }))
    throw new Error(`state directory ${directory} is in use by ${holder}`)
  } finally {
    closeSync(fd)
  }
}
