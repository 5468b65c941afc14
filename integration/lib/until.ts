/** Waiting for what nobody tells of. */

const LOOK_MS = 10

/** Resolves when the condition is met; a test that waits in vain ends by its own timeout. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
}
