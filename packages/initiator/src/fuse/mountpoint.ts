/** Directories that are mounted upon: whether they may be, whether they are, and how to undo it. */
import { execFile } from 'node:child_process'
import { readdir, readFile, realpath } from 'node:fs/promises'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** How often it is looked whether something is still mounted, in ms. */
const LOOK_MS = 200

export class MountpointError extends Error {
  override readonly name = 'MountpointError'
  /** `busy`: programs have files of it open. */
  readonly reason: 'unusable' | 'not-mounted' | 'busy'

  constructor(reason: MountpointError['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}

/**
 * The absolute path of a directory that can be mounted upon. A mount of ours whose process has died
 * is cleaned away first; `onStale` is told of it.
 */
export async function prepareMountpoint(path: string, onStale: () => void): Promise<string> {
  let names: string[]
  try {
    names = await readdir(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw unusable(`${path} does not exist; make it with: mkdir -p ${path}`)
    if (code === 'ENOTDIR') throw unusable(`${path} is not a directory`)
    if (code !== 'ENOTCONN') throw unusable(`${path}: ${message}`)
    onStale()
    await unmount(path, { lazy: true })
    names = await readdir(path)
  }
  const directory = await realpath(path)
  if ((await mountedType(directory)) !== undefined) {
    throw unusable(`${directory} has something mounted on it; unmount it first`)
  }
  if (names.length > 0) {
    throw unusable(`${directory} is not empty: ${names.length} names would be hidden`)
  }
  return directory
}

function unusable(message: string): MountpointError {
  return new MountpointError('unusable', message)
}

/** Undoes a FUSE mount, with fusermount, which needs no root for a mount of one's own. */
export async function unmount(directory: string, { lazy }: { lazy: boolean }): Promise<void> {
  const program = await findFusermount()
  try {
    await exec(program, ['-u', ...(lazy ? ['-z'] : []), '--', directory])
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() ?? String(error)
    if (/busy/i.test(said)) {
      throw new MountpointError(
        'busy',
        `${directory} is in use; see who with: fuser -vm ${directory}`,
      )
    }
    if (/not found in|not mounted|no such file/i.test(said)) {
      throw new MountpointError('not-mounted', `${directory} is not a FUSE mount`)
    }
    throw new MountpointError('unusable', `${program} -u ${directory}: ${said}`)
  }
}

/** fusermount3 or fusermount, whichever there is. */
export async function findFusermount(): Promise<string> {
  for (const program of ['fusermount3', 'fusermount']) {
    try {
      await exec(program, ['-V'])
      return program
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw unusable('fusermount is missing; on Debian: apt-get install fuse3')
}

/** Resolves when nothing is mounted on the directory any more, or `signal` says to stop looking. */
export async function untilUnmounted(directory: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await mountedType(directory)) !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

/** The type of the file system that is mounted on the directory, as `fuse.platter`. */
export async function mountedType(directory: string): Promise<string | undefined> {
  return (await mounts()).findLast((it) => it.directory === directory)?.type
}

/** The device of the file system that is mounted on the directory, as `MAJOR:MINOR`. */
export async function mountedDevice(directory: string): Promise<string | undefined> {
  return (await mounts()).findLast((it) => it.directory === directory)?.device
}

/** The directories on which file systems of a type are mounted. */
export async function mountsOfType(type: string): Promise<string[]> {
  return (await mounts()).filter((it) => it.type === type).map(({ directory }) => directory)
}

interface Mounted {
  readonly device: string
  readonly directory: string
  readonly type: string
}

/** All mounts, in their order (proc(5), mountinfo). */
async function mounts(): Promise<readonly Mounted[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trimEnd().split('\n')
  return lines.map((line) => {
    const [left = '', right = ''] = line.split(' - ')
    const [, , device = '', , directory = ''] = left.split(' ')
    return { device, directory: unescapeOctal(directory), type: right.split(' ')[0] ?? '' }
  })
}

/** Blanks and the like in paths stand there as \040. */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
