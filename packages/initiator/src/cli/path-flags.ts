/** The paths that a command line names, and how I/O is spread over them. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { ConnectOptions } from '../host.ts'
import type { PathOptions } from '../net/path.ts'
import { type MultiMode, multiModes } from '../net/target-transport.ts'
import { type PolicyName, policyNames } from '../session/placement.ts'
import { pathArgument } from './portal.ts'
import { sizeArgument } from './size.ts'

export interface PathFlags extends ConnectionFlags {
  /** Besides the portal that is the command's argument. */
  readonly portal: readonly PathOptions[]
}

export interface ConnectionFlags {
  readonly connections?: number
  readonly multi?: MultiMode
  readonly policy: PolicyName
  /** In bytes. */
  readonly split?: number
  /** In ms. */
  readonly pathTimeout: number
  /** In ms. */
  readonly retryFor: number
}

export function withPaths(command: Command): Command {
  const paths = command.option(
    '--portal <host:port>',
    'a further portal of the target; may be repeated. As HOST:PORT,source=ADDR,weight=N it tells ' +
      'where to come from (an address or interface of ours) and its share for --policy weighted. ' +
      'Without any, all portals are used that the target tells of',
    furtherPath,
    [],
  )
  return withConnections(paths)
}

/** Adds to the paths named before; for commander. */
export function furtherPath(text: string, before: readonly PathOptions[]): readonly PathOptions[] {
  return [...before, pathArgument(text)]
}

/** Gives a command the flags of ConnectionFlags. */
export function withConnections(command: Command): Command {
  return command
    .option(
      '--connections <number>',
      'how many connections to spread the I/O over (default: 4, 2 within this machine, or one for each portal)',
      countArgument,
    )
    .addOption(
      new Option(
        '--multi <mode>',
        'connections of one session, or sessions of one connection (default: what the target allows)',
      ).choices(multiModes),
    )
    .addOption(
      new Option('--policy <policy>', 'which connection a command takes')
        .choices(policyNames)
        .default('least-bytes'),
    )
    .option(
      '--split <size>',
      'divide what is longer into parts of this size, such as 256K (default: by the target)',
      sizeArgument,
    )
    .option(
      '--path-timeout <seconds>',
      'a path that has owed an answer for so long is dead, and its I/O goes over the others',
      positiveSeconds,
      5_000,
    )
    .option(
      '--retry-for <seconds>',
      'how long I/O waits when all paths are dead, before it fails',
      secondsArgument,
      120_000,
    )
}

export function connectOptions(flags: ConnectionFlags): ConnectOptions {
  const { connections, multi, policy, split, pathTimeout, retryFor } = flags
  return {
    connections,
    multi,
    policy,
    splitBytes: split,
    pathTimeoutMs: pathTimeout,
    retryForMs: retryFor,
  }
}

function countArgument(text: string): number {
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text)
  throw new InvalidArgumentError(`got ${text}, wanted a number from 1 to 64`)
}

function secondsArgument(text: string): number {
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0) return seconds * 1000
  throw new InvalidArgumentError(`got ${text}, wanted a number of seconds`)
}

function positiveSeconds(text: string): number {
  const ms = secondsArgument(text)
  if (ms >= 1000) return ms
  throw new InvalidArgumentError(`got ${text}, wanted a number of seconds from 1 on`)
}
