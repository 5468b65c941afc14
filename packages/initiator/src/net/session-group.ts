/**
 * Several sessions with one target as one transport, for targets that allow one connection in a session.
 * Each prefers a path of its own; a policy says which one takes a command. What is under way on a session that
 * is lost stays with it, and is executed again once it is back: only its own ISID ends the old commands.
 */
import type { PlacementPolicy } from '../session/placement.ts'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import type { ScsiTask } from '../session/task.ts'
import type { PersistentSession } from './persistent-session.ts'

export class SessionGroup implements ScsiTransport {
  readonly #sessions: readonly PersistentSession[]
  readonly #place: PlacementPolicy

  /** One session at least. */
  constructor(sessions: readonly PersistentSession[], place: PlacementPolicy) {
    this.#sessions = sessions
    this.#place = place
  }

  /** As ScsiTransport. While no session is there, the one waits that has the least to do. */
  execute(task: ScsiTask): void {
    const session = this.#place(this.#sessions, task.length) ?? this.#idlest()
    session.execute(task)
  }

  #idlest(): PersistentSession {
    return this.#sessions.reduce((best, it) => (it.bytesInFlight < best.bytesInFlight ? it : best))
  }
}
