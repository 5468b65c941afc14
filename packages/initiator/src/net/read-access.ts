/** What a target says that we may use of it, page by page (docs/access-information.md). */
import {
  ACCESS_INFORMATION_KEY,
  type AccessInformation,
  parseAccessInformation,
} from '@platter/protocol/iscsi'
import type { LoginIdentity } from '../session/login.ts'
import { type Ask, askInSession } from './ask-in-session.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * Resolves with all pages as one, or with undefined when the target does not know the question;
 * `identity` is for a Normal session. Rejects with a LoginError, a ConnectionLostError, or what is wrong
 * with the answer.
 */
export function readAccess(
  endpoint: Endpoint,
  identity: LoginIdentity,
): Promise<AccessInformation | undefined> {
  return askInSession(endpoint, identity, async (ask) => {
    const first = await askPage(ask, 0)
    if (first === undefined) return undefined
    const partitions = [...first.partitions]
    let next = first.nextLun
    while (next !== undefined) {
      const page = await askPage(ask, next)
      const { nextLun } = page ?? {}
      if (nextLun !== undefined && nextLun <= next) {
        throw new Error(
          `${ACCESS_INFORMATION_KEY}: next:${nextLun} follows a page from LUN ${next}`,
        )
      }
      partitions.push(...(page?.partitions ?? []))
      next = nextLun
    }
    return { ...first, partitions, nextLun: undefined }
  })
}

async function askPage(ask: Ask, firstLun: number): Promise<AccessInformation | undefined> {
  const answers = await ask([[ACCESS_INFORMATION_KEY, `${firstLun}`]])
  const value = answers.find(([key]) => key === ACCESS_INFORMATION_KEY)?.[1] ?? 'NotUnderstood'
  const isRefusal = ['NotUnderstood', 'Reject', 'Irrelevant'].includes(value)
  return isRefusal ? undefined : parseAccessInformation(value)
}
