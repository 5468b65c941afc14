/** The portal that a command line names, and the flags of every command that asks one. */
import { ISCSI_PORT, parseName, parseTargetAddress } from '@platter/protocol/iscsi'
import { type Command, InvalidArgumentError } from 'commander'
import { defaultInitiatorName } from '../host.ts'
import type { Endpoint } from '../net/socket-connection.ts'
import { type AuthenticationFlags, withAuthentication } from './authentication.ts'

export interface PortalFlags extends AuthenticationFlags {
  readonly json?: boolean
}

/** Gives a command the argument `portal` and the flags of PortalFlags. */
export function withPortal(command: Command): Command {
  return withAuthentication(command)
    .argument('<portal>', `HOST or HOST:PORT of the target (port ${ISCSI_PORT})`, portalArgument)
    .option('--initiator-name <iqn>', 'who to log in as', nameArgument, defaultInitiatorName())
    .option('--json', 'answer in JSON')
}

function portalArgument(text: string): Endpoint {
  const address = parseTargetAddress(text)
  if (address !== undefined) return { host: address.host, port: address.port }
  throw new InvalidArgumentError(`got ${text}, wanted HOST, HOST:PORT or [IPV6]:PORT`)
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
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
