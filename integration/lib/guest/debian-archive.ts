/** Debian packages as files, from the sources that apt-get is configured with on this machine. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from '../cleanup.ts'
import { runOk } from '../command.ts'

/** One version of a package. */
export interface Archive {
  readonly name: string
  readonly version: string
}

/**
 * What would be installed for these packages on a machine that has none at all, in apt's order, by
 * the lists that apt has. Rejects when it has none.
 */
export async function resolveArchives(packages: readonly string[]): Promise<Archive[]> {
  const empty = temporaryDirectory()
  mkdirSync(join(empty, 'partial'))
  writeFileSync(join(empty, 'status'), '')
  const settings = [
    `Dir::State::status=${join(empty, 'status')}`,
    `Dir::Cache::archives=${empty}`,
    'APT::Install-Recommends=false',
    'Debug::NoLocking=true',
  ].flatMap((setting) => ['-o', setting])
  const parameters = ['-qq', '--print-uris', ...settings, 'install', ...packages]
  const printed = await runOk('apt-get', parameters)
  // 'URI' name_version_architecture.deb size checksum; a colon in a version is written %3a.
  const files = [...printed.matchAll(/^'\S+' ([^\s_]+)_([^\s_]+)_\w+\.deb /gm)]
  if (files.length === 0)
    throw new Error(`apt-get names no files:
${printed}`)
  return files.map(([, name = '', version = '']) => ({
    name,
    version: decodeURIComponent(version),
  }))
}

/**
 * Downloads them, checked against the archive's signature; answers with the paths of the files.
 * Rejects when the lists are so old that the archive no longer has them.
 */
export async function downloadArchives(
  archives: readonly Archive[],
  directory: string,
): Promise<string[]> {
  const names = archives.map(({ name, version }) => `${name}=${version}`)
  const parameters = ['-q', '-o', 'APT::Sandbox::User=root', 'download', ...names]
  await runOk('apt-get', parameters, { cwd: directory, timeoutMs: 300_000 })
  return readdirSync(directory).map((name) => join(directory, name))
}

/** Fetches the current lists of packages. */
export async function updateLists(): Promise<void> {
  await runOk('apt-get', ['update', '-q', '-o', 'DPkg::Lock::Timeout=300'])
}
