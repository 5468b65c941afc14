/** Secrets for the command line: they come from files or standard input, and are shown to nobody. */
import { type FileHandle, open } from 'node:fs/promises'
import { CHAP_SECRET_BYTES_MAX, CHAP_SECRET_BYTES_MIN } from '@platter/protocol/iscsi'
import { CliFailure, type CliIo, ExitCode } from './io.ts'

/**
 * The secret in a file's first line, or in that of standard input for `-`. Rejects with a CliFailure, which
 * names `flag` and not the secret, when others may read the file, or it holds no fit secret.
 */
export async function readSecret(io: CliIo, flag: string, path: string): Promise<Buffer> {
  const text = path === '-' ? await io.input() : await readPrivateFile(flag, path)
  const secret = Buffer.from(text.replace(/\r?\n[\s\S]*$/, ''))
  if (secret.length >= CHAP_SECRET_BYTES_MIN && secret.length <= CHAP_SECRET_BYTES_MAX)
    return secret
  const range = `${CHAP_SECRET_BYTES_MIN} to ${CHAP_SECRET_BYTES_MAX}`
  throw unusable(flag, `a secret has ${range} bytes; that in ${path} has ${secret.length}`)
}

async function readPrivateFile(flag: string, path: string): Promise<string> {
  let file: FileHandle | undefined
  try {
    file = await open(path)
    const { mode, uid } = await file.stat()
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0')
      throw unusable(flag, `others may use ${path} (mode ${octal}): chmod 600 ${path}`)
    }
    if (uid !== process.getuid?.() && uid !== 0) {
      throw unusable(flag, `${path} belongs to another user (uid ${uid})`)
    }
    return await file.readFile('utf8')
  } catch (error) {
    if (error instanceof CliFailure) throw error
    throw unusable(flag, (error as Error).message)
  } finally {
    await file?.close()
  }
}

function unusable(flag: string, message: string): CliFailure {
  return new CliFailure(ExitCode.Failed, 'unusable-secret', `${flag}: ${message}`)
}
