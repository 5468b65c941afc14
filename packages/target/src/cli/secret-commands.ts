/** `platterd secret …`: secrets come from a file or standard input, never from the command line. */
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { Command, Option } from 'commander'
import type { ShownSecret } from '../admin/model.ts'
import { readPrivateFileIfThere } from '../durable-file.ts'
import { ask, type ClientFlags, confirm, show, withClientFlags } from './client-command.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'
import { formatTable } from './table.ts'

type SetFlags = ClientFlags & {
  readonly user?: string | null
  readonly file?: string
  readonly generate?: boolean
  readonly mutual?: boolean
}

/** Random bytes of a secret that is made here: 128 bits (RFC 7143 section 9.2.1). */
const RANDOM_BYTES = 16

export function secretCommand(io: CliIo): Command {
  const secret = new Command('secret').description('what hosts authenticate with (CHAP)')
  withClientFlags(secret.command('set'))
    .description('read a secret from standard input, and have the host authenticate with it')
    .argument('<host>', "the host's iSCSI name, or '*' for all that have no secret of their own")
    .option('--user <name>', 'its CHAP user name (default: its iSCSI name)')
    .option('--file <path>', 'read the secret from this file instead')
    .addOption(
      new Option('--generate', 'make a random secret, and show it this once').conflicts('file'),
    )
    .option('--mutual', 'the other direction: what the server authenticates to the host with')
    .action(async (host: string, { user = null, mutual = false, ...flags }: SetFlags) => {
      const secret = flags.generate ? randomSecret() : await readSecret(io, flags.file)
      const made = await ask(io, flags, 'secret set', { host, user, secret, mutual })
      if (flags.generate) show(io, flags, { ...made, secret }, describeGenerated)
      else show(io, flags, made, describe)
    })
  withClientFlags(secret.command('list'))
    .description('list who must authenticate')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'secret list', {}), formatSecrets)
    })
  withClientFlags(secret.command('delete'))
    .description('forget the secrets of a host, which need not authenticate any more')
    .argument('<host>', 'the name that was given when it was set')
    .option('--yes', 'do not ask')
    .action(async (host: string, { yes, ...flags }: ClientFlags & { yes?: boolean }) => {
      await confirm(io, yes, `Let ${host} log in without a secret?`)
      const answer = await ask(io, flags, 'secret delete', { host })
      show(io, flags, answer, () => `${host} need not authenticate any more\n`)
    })
  return secret
}

function randomSecret(): string {
  return randomBytes(RANDOM_BYTES).toString('hex')
}

/** The text up to the first line's end. */
async function readSecret(io: CliIo, file: string | undefined): Promise<string> {
  const text = file === undefined ? await io.input() : await readSecretFile(io, file)
  return text.replace(/\r?\n[\s\S]*$/, '')
}

async function readSecretFile(io: CliIo, file: string): Promise<string> {
  try {
    const text = await readPrivateFileIfThere(path.resolve(io.cwd, file))
    if (text !== undefined) return text
    throw new Error(`there is no ${file}`)
  } catch (error) {
    throw new CliFailure(ExitCode.Failed, 'unreadable', `--file: ${(error as Error).message}`)
  }
}

function formatSecrets(secrets: readonly ShownSecret[]): string {
  const rows = secrets.map((it) => [
    it.host,
    it.user ?? 'its iSCSI name',
    it.mutual ? 'both ways' : 'one way',
  ])
  return formatTable(['HOST', 'USER', 'HOW'], rows, 'nobody must authenticate')
}

function describe({ host, user, mutual, sharedWith }: ShownSecret): string {
  const who = host === '*' ? 'every other host' : host
  const name = user === null ? 'its iSCSI name' : user
  const warning = sharedWith.map((other) => `warning: ${other} has the same secret\n`)
  const how = mutual ? 'and so does the server' : 'one way'
  return `${who} must authenticate as ${name}, ${how}\n${warning.join('')}`
}

function describeGenerated(made: ShownSecret & { readonly secret: string }): string {
  return `${describe(made)}the secret, which is not shown again: ${made.secret}\n`
}
