import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'

/** A new directory whose path leaves room for a socket's name, unlike tap's fixtures. */
export async function stateDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'platter-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}
