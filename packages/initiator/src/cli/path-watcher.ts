/** What happens to paths, for the person who watches. Standard output is for the answer. */
import type { SessionEvent } from '../net/session-options.ts'

export class PathWatcher {
  readonly #say: (text: string) => void
  /** What was last said of each path that does not work. */
  readonly #said = new Map<string, string>()

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  /** What is as it was told last is not told again: several connections may share a path. */
  tell(event: SessionEvent): void {
    const { path, alive } = event
    if (event.type === 'restored') {
      if (this.#said.delete(path)) this.#say(`${path}: restored`)
      return
    }
    const text = `${event.type}: ${event.error.message}`
    if (event.type === 'refused' && this.#said.get(path) === text) return
    this.#said.set(path, text)
    const next = alive === 0 ? 'trying again' : `I/O goes on over ${alive} others`
    this.#say(`${path}: ${text}; ${next}`)
  }
}
