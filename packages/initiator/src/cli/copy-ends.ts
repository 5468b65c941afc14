/** The flags of the two ends of a copy: what both have in common, and what one has of its own. */
import { type Command, Option } from 'commander'
import type { HostOptions } from '../host.ts'
import type { PathOptions } from '../net/path.ts'
import { type AuthenticationFlags, readHost } from './authentication.ts'
import { type CliIo, misuse } from './io.ts'
import { furtherPath } from './path-flags.ts'
import { offsetArgument } from './size.ts'

export type End = 'from' | 'to'

/** Of authentication, what an end may have of its own; secrets and names, not what is allowed. */
const ownNames = ['secretFile', 'chapUser', 'targetSecretFile', 'targetUser'] as const
type OwnName = (typeof ownNames)[number]

interface PlaceFlags {
  readonly portal: readonly PathOptions[]
  readonly offset: number
}

type OfEnd<E extends End> = {
  readonly [K in keyof PlaceFlags as `${E}${Capitalize<K>}`]: PlaceFlags[K]
} & { readonly [K in OwnName as `${E}${Capitalize<K>}`]?: string }

export type EndFlags = AuthenticationFlags & OfEnd<'from'> & OfEnd<'to'>

/** Gives a command the flags of EndFlags but those of AuthenticationFlags. */
export function withEnds(command: Command): Command {
  for (const [end, which] of [
    ['from', 'the first partition'],
    ['to', 'the second partition'],
  ] as const) {
    command
      .addOption(
        new Option(`--${end}-portal <host:port>`, `a further portal of ${which}; may be repeated`)
          .argParser(furtherPath)
          .default([], 'those that its target tells of'),
      )
      .option(`--${end}-offset <size>`, `where in ${which} to begin`, offsetArgument, 0)
      .option(`--${end}-secret-file <path>`, `--secret-file for ${which} alone`)
      .option(`--${end}-chap-user <name>`, `--chap-user for ${which} alone`)
      .option(`--${end}-target-secret-file <path>`, `--target-secret-file for ${which} alone`)
      .option(`--${end}-target-user <name>`, `--target-user for ${which} alone`)
  }
  return command
}

/** Who we are to each end. Rejects as readHost. */
export async function readHosts(
  io: CliIo,
  flags: EndFlags,
): Promise<Readonly<Record<End, HostOptions>>> {
  const from = authenticationOf(flags, 'from')
  const to = authenticationOf(flags, 'to')
  const same = ownNames.every((name) => from[name] === to[name])
  if (!same && takesInput(from) && takesInput(to)) {
    throw misuse('standard input has one secret, for one end')
  }
  const first = await readHost(io, from)
  return { from: first, to: same ? first : await readHost(io, to) }
}

function authenticationOf(flags: EndFlags, end: End): AuthenticationFlags {
  const own = ownNames.flatMap((name) => {
    const ofEnd =
      `${end}${name[0]?.toUpperCase()}${name.slice(1)}` as `${End}${Capitalize<OwnName>}`
    const value = flags[ofEnd]
    return value === undefined ? [] : [[name, value]]
  })
  return { ...flags, ...Object.fromEntries(own) }
}

function takesInput({ secretFile, targetSecretFile }: AuthenticationFlags): boolean {
  return secretFile === '-' || targetSecretFile === '-'
}
