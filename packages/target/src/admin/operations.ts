/** Every operation of the admin API, by the name that the command line gives it. */
import type { Static } from 'typebox'
import { arrays } from './arrays.ts'
import { disks } from './disks.ts'
import { grants } from './grants.ts'
import { hosts } from './hosts.ts'
import { partitions } from './partitions.ts'
import { redirects } from './redirects.ts'
import { secrets } from './secrets.ts'
import { sessions } from './sessions.ts'
import { status } from './status.ts'

export const operations = {
  ...disks,
  ...arrays,
  ...partitions,
  ...hosts,
  ...grants,
  ...redirects,
  ...secrets,
  ...sessions,
  ...status,
}

export type OperationName = keyof typeof operations
export type Input<N extends OperationName> = Static<(typeof operations)[N]['input']>
export type Output<N extends OperationName> = Static<(typeof operations)[N]['output']>
