/** The portal that a command line names, and the flags of every command that asks one. */
import { ISCSI_PORT, parseName, parseTargetAddress } from '@platter/protocol/iscsi'
import { type Command, InvalidArgumentError } from 'commander'
import { defaultInitiatorName } from '../host.ts'
import { type Endpoint, formatEndpoint } from '../net/endpoint.ts'
import type { PathOptions } from '../net/path.ts'
import { type AuthenticationFlags, withAuthentication } from './authentication.ts'

export interface PortalFlags extends AuthenticationFlags {
  readonly json?: boolean
}

/** Gives a command the argument `portal` and the flags of PortalFlags. */
export function withPortal(command: Command): Command {
  return withHost(command).argument(
    '<portal>',
    `HOST or HOST:PORT of the target (port ${ISCSI_PORT})`,
    pathArgument,
  )
}

/** Gives a command the flags of PortalFlags alone. */
export function withHost(command: Command): Command {
  return withAuthentication(command)
    .option('--initiator-name <iqn>', 'who to log in as', nameArgument, defaultInitiatorName())
    .option('--json', 'answer in JSON')
}

/** A portal, and what is said of the path to it: `HOST:PORT,source=ADDR,weight=N`. For commander. */
export function pathArgument(text: string): PathOptions {
  const [portal, ...settings] = text.split(',')
  const address = parseTargetAddress(portal as string)
  if (address === undefined) {
    throw new InvalidArgumentError(`got ${text}, wanted HOST, HOST:PORT or [IPV6]:PORT`)
  }
  const path = { host: address.host, port: address.port }
  return Object.assign(path, ...settings.map(pathSetting))
}

function pathSetting(text: string): Partial<PathOptions> {
  const [name, value = ''] = text.split('=')
  if (name === 'source' && value !== '') return { source: value }
  if (name === 'weight' && Number(value) > 0) return { weight: Number(value) }
  throw new InvalidArgumentError(`got ${text}, wanted source=ADDRESS or weight=NUMBER`)
}

/** An iSCSI name, for commander. */
export function nameArgument(text: string): string {
  const name = parseName(text)?.name
  if (name !== undefined) return name
  throw new InvalidArgumentError(
    `got ${text}, wanted an iSCSI name such as iqn.2026-11.org.example:a`,
  )
}

/** `HOST:PORT`, as iSCSI writes it. */
export function formatPortal({ host, port }: Endpoint): string {
  return formatEndpoint({ host, port })
}
