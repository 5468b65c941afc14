/** How a command line says who we are to a target, and what the target must show. */
import {
  type AuthenticationFloor,
  authenticationFloors,
  type ChapAlgorithm,
  chapAlgorithmName,
  chapAlgorithms,
  parseChapAlgorithms,
} from '@platter/protocol/iscsi'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { authenticationPolicy, type HostAuthentication, type HostOptions } from '../host.ts'
import { faultOf } from '../session/authentication.ts'
import { type CliIo, misuse } from './io.ts'
import { readSecret } from './secret-file.ts'

export interface AuthenticationFlags {
  readonly initiatorName: string
  readonly chapUser?: string
  readonly secretFile?: string
  readonly targetUser?: string
  readonly targetSecretFile?: string
  readonly minAuth?: AuthenticationFloor
  readonly chapAlgorithms?: readonly ChapAlgorithm[]
}

const strongestFirst = chapAlgorithms.toReversed().map(chapAlgorithmName).join(',')

/** Gives a command the flags of AuthenticationFlags. */
export function withAuthentication(command: Command): Command {
  return command
    .option('--secret-file <path>', 'authenticate (CHAP) with the secret in this file; - for stdin')
    .option('--chap-user <name>', 'the user name of that secret (default: who we log in as)')
    .option('--target-secret-file <path>', 'have the target authenticate with this other secret')
    .option('--target-user <name>', 'the user name that the target must show (default: any)')
    .addOption(
      new Option(
        '--min-auth <least>',
        'log in only with this at least (default: all that there are secrets for)',
      ).choices(authenticationFloors),
    )
    .option(
      '--chap-algorithms <list>',
      `those allowed, the preferred first (default: ${strongestFirst})`,
      algorithmsArgument,
    )
}

function algorithmsArgument(text: string): readonly ChapAlgorithm[] {
  const algorithms = parseChapAlgorithms(text)
  if (algorithms !== undefined) return algorithms
  throw new InvalidArgumentError(`got ${text}, wanted some of ${strongestFirst}`)
}

/** Who we are to targets. Rejects as readAuthentication. */
export async function readHost(io: CliIo, flags: AuthenticationFlags): Promise<HostOptions> {
  return {
    initiatorName: flags.initiatorName,
    authentication: await readAuthentication(io, flags),
  }
}

/** Reads the secrets that the flags name. Rejects with a CliFailure when they do not go together. */
export async function readAuthentication(
  io: CliIo,
  flags: AuthenticationFlags,
): Promise<HostAuthentication> {
  const { secretFile, targetSecretFile, chapUser, targetUser, minAuth, initiatorName } = flags
  if (secretFile === '-' && targetSecretFile === '-') {
    throw misuse('--target-secret-file: standard input has the own secret already')
  }
  if (chapUser !== undefined && secretFile === undefined) {
    throw misuse('--chap-user takes --secret-file')
  }
  if (targetUser !== undefined && targetSecretFile === undefined) {
    throw misuse('--target-user takes --target-secret-file')
  }
  const authentication: HostAuthentication = {
    host:
      secretFile === undefined
        ? undefined
        : {
            user: chapUser,
            secret: await readSecret(io, '--secret-file', secretFile),
          },
    target:
      targetSecretFile === undefined
        ? undefined
        : {
            user: targetUser,
            secret: await readSecret(io, '--target-secret-file', targetSecretFile),
          },
    floor: minAuth,
    chapAlgorithms: flags.chapAlgorithms,
  }
  const fault = faultOf(authenticationPolicy(initiatorName, authentication))
  if (fault !== undefined) throw misuse(`authentication: ${fault}`)
  return authentication
}
