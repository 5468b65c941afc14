/** Directories in the user's cache, each made once for what it is made from. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { onCleanUp } from '../cleanup.ts'

const unusedMsMax = 14 * 24 * 3600 * 1000

/** The directory for this key, if there is one. */
export function findCached(key: string): string | undefined {
  const directory = join(cacheDirectory(), key)
  if (!existsSync(directory)) return undefined
  utimesSync(directory, new Date(), new Date())
  return directory
}

/** Has `fill` fill a directory for this key. Directories not used for two weeks go. */
export async function makeCached(
  key: string,
  fill: (directory: string) => Promise<void>,
): Promise<string> {
  const directory = join(cacheDirectory(), key)
  const unfinished = `${directory}.${process.pid}`
  onCleanUp(() => rmSync(unfinished, { recursive: true, force: true }))
  mkdirSync(unfinished, { recursive: true })
  await fill(unfinished)
  // Of two that made it at once, the first stays.
  if (!existsSync(directory)) renameSync(unfinished, directory)
  removeUnused(cacheDirectory())
  return directory
}

function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'platter', 'guest')
}

function removeUnused(parent: string): void {
  for (const name of readdirSync(parent)) {
    const path = join(parent, name)
    const unusedMs = Date.now() - statSync(path).mtimeMs
    if (unusedMs > unusedMsMax) rmSync(path, { recursive: true, force: true })
  }
}
