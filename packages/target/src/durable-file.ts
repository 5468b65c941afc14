/** Small files that are either as before or as after a write, whatever happens in between. */
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'

/** Told after each step of a durable change. Fault tests throw from it: what follows then never happens. */
export type OnStep = (step: string) => void

/**
 * Replaces the file with `text`: a temporary file beside it is written, synced and renamed over it,
 * and then its directory synced. A crash leaves the old file or the new one, and perhaps the
 * temporary file, which the next write replaces. One write at a time.
 */
export async function replaceFile(
  filePath: string,
  text: string,
  onStep: OnStep = () => {},
): Promise<void> {
  const temporary = `${filePath}.new`
  // One that is left of a crash, or was put there, may have another mode.
  await rm(temporary, { force: true })
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(text)
    onStep('written')
    await file.sync()
  } finally {
    await file.close()
  }
  onStep('synced')
  await rename(temporary, filePath)
  onStep('renamed')
  await syncDirectory(path.dirname(filePath))
  onStep('directory synced')
}

/**
 * The text of a file that holds secrets, or undefined when there is no such file. Rejects when others than its
 * owner may read or write it, or it belongs to another user: it says what to do, and nothing of the content.
 */
export async function readPrivateFileIfThere(filePath: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(filePath)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { mode, uid } = await file.stat()
    if ((mode & 0o077) !== 0) {
      throw new Error(
        `others may use ${filePath} (mode ${octal(mode)}), and it holds secrets: chmod 600 ${filePath}`,
      )
    }
    if (uid !== process.getuid?.() && uid !== 0) {
      throw new Error(`${filePath} holds secrets, and belongs to another user (uid ${uid})`)
    }
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/** The file's text, or undefined when there is no such file. */
export async function readFileIfThere(filePath: string): Promise<string | undefined> {
  try {
    return await readFile(filePath, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Makes a directory that only its owner may enter, and those above it as needed. Rejects when it is there, and
 * others could put files of their own in place of ours.
 */
export async function makePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { mode, uid } = await stat(directory)
  if ((mode & 0o022) !== 0) {
    throw new Error(
      `others may change ${directory} (mode ${octal(mode)}), which holds state: chmod 700 ${directory}`,
    )
  }
  if (uid !== process.getuid?.() && uid !== 0) {
    throw new Error(`${directory} holds state, and belongs to another user (uid ${uid})`)
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0')
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  await handle.sync().finally(() => handle.close())
}
