/** Brings the contents of older state files to the present version, before they are checked. */

/**
 * Version 1 granted every partition to every host. So do the grants of version 2 that this makes of
 * them: nothing that a host has is lost. Anything else is returned as it is.
 */
export function migrate(state: unknown): unknown {
  const { version, grants } = (state ?? {}) as { version?: unknown; grants?: unknown }
  if (version !== 1) return state
  const shared = Array.isArray(grants)
    ? grants.map((grant) => ({ ...grant, sharing: 'shared' }))
    : grants
  return { ...(state as object), version: 2, grants: shared }
}
