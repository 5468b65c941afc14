/**
 * Why a change of an array was refused, or failed:
 * - invalid-request: a name, size or choice of disks that cannot be
 * - not-found, already-exists: a partition or array of that name
 * - in-use: a partition that is open, or a disk that holds something
 * - no-space: in the array, or in its partition table
 * - storage-failed: a disk failed; `cause` says how
 */
export type ArrayErrorCode =
  | 'invalid-request'
  | 'not-found'
  | 'already-exists'
  | 'in-use'
  | 'no-space'
  | 'storage-failed'

/** Nothing was changed, unless the message says that this is not known. */
export class ArrayError extends Error {
  override readonly name = 'ArrayError'
  readonly code: ArrayErrorCode

  constructor(code: ArrayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Throws ArrayError if there is a problem. */
export function refuseIf(code: ArrayErrorCode, problem: string | null): void {
  if (problem !== null) throw new ArrayError(code, problem)
}
