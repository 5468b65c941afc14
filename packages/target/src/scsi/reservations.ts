/**
 * Who has reserved a logical unit, and how: persistent reservations (SPC-4 section 5.12) and the
 * older RESERVE and RELEASE (SPC-2). Registrations are by initiator port, and so outlast sessions.
 * What has to be told to whom is returned, and done by the commands.
 */
import {
  insufficientRegistrationResources,
  invalidReleaseOfReservation,
  type RegistrationStatus,
  ReservationType,
  registrationsPreemptedUnitAttention,
  reservationsPreemptedUnitAttention,
  reservationsReleasedUnitAttention,
  type Sense,
} from '@platter/protocol/scsi'
import type { KeptReservations } from './kept-reservations.ts'
import type { Nexus } from './scsi-task.ts'
import { RELATIVE_TARGET_PORT } from './target-port.ts'

/**
 * What a command needs of the unit, for the tables of conflicts (SPC-4 table 66, SBC-3 table 13).
 * `nothing`: it is done whatever is reserved. `readiness`: only a RESERVE stands in its way.
 * `reservation`: it is about persistent reservations, which a RESERVE forbids to everyone. `read`:
 * exclusive access forbids it. `change`: every reservation does.
 */
export type Access = 'nothing' | 'readiness' | 'reservation' | 'read' | 'change'

/** What a change came to: refused, or whom it concerns beside the nexus that asked for it. */
export interface ReservationChange {
  readonly outcome: 'done' | 'conflict' | Sense
  /** Unit attentions by initiator port. */
  readonly attentions?: ReadonlyMap<string, Sense>
  /** Initiator ports that lost their registrations to a PREEMPT. */
  readonly preempted?: readonly string[]
}

interface Registration {
  readonly key: bigint
  readonly allTargetPorts: boolean
}

export interface RegisterOptions {
  readonly key: bigint
  readonly allTargetPorts: boolean
  /** APTPL: what is registered and reserved of the unit outlasts the server from now on, or does not. */
  readonly outlastsPower: boolean
}

export interface MoveOptions {
  readonly key: bigint
  readonly outlastsPower: boolean
  /** Whether the registration of the old holder ends. */
  readonly unregister: boolean
}

/** Initiator ports that may be registered at once with one unit. */
const REGISTRATIONS_MAX = 256

const done: ReservationChange = { outcome: 'done' }
const conflict: ReservationChange = { outcome: 'conflict' }

export class Reservations {
  /** Whether anything is reserved: all that a READ or WRITE looks at as long as nothing is. */
  isReserved = false
  #generation = 0
  readonly #registrations = new Map<string, Registration>()
  #type: ReservationType | undefined
  /** The initiator port that holds the reservation; undefined when there is none, or all do. */
  #holder: string | undefined
  /** The nexus whose RESERVE is in force. */
  #reserver: Nexus | undefined
  #outlastsPower = false

  /** With what was kept of the time before the server started. */
  constructor(kept: KeptReservations | null = null) {
    if (kept === null) return
    this.#outlastsPower = true
    for (const { initiatorPort, key, allTargetPorts } of kept.registrations) {
      this.#registrations.set(initiatorPort, { key, allTargetPorts })
    }
    if (kept.reservation === null) return
    this.#type = kept.reservation.type
    this.#holder = kept.reservation.holder ?? undefined
    this.isReserved = true
  }

  /** PTPL_A: the last registration had APTPL=1, and so all of this is to be kept. */
  get outlastsPower(): boolean {
    return this.#outlastsPower
  }

  /** What is to be kept now; null for nothing. */
  toKeep(): KeptReservations | null {
    if (!this.#outlastsPower || this.#registrations.size === 0) return null
    const type = this.#type
    return {
      registrations: [...this.#registrations].map(([initiatorPort, registration]) => ({
        initiatorPort,
        ...registration,
      })),
      reservation: type === undefined ? null : { type, holder: this.#holder ?? null },
    }
  }

  /** PRGENERATION: counts the changes of registrations. */
  get generation(): number {
    return this.#generation
  }

  get type(): ReservationType | undefined {
    return this.#type
  }

  /** The reservation key of the holder; 0 when there is none, or all registrants are. */
  get holderKey(): bigint {
    return (this.#holder === undefined ? undefined : this.keyOf(this.#holder)) ?? 0n
  }

  keyOf(port: string): bigint | undefined {
    return this.#registrations.get(port)?.key
  }

  registrations(): RegistrationStatus[] {
    return [...this.#registrations].map(([initiatorPort, { key, allTargetPorts }]) => ({
      key,
      allTargetPorts,
      relativeTargetPort: RELATIVE_TARGET_PORT,
      initiatorPort,
      ...(this.#type !== undefined &&
        this.#isHolder(initiatorPort) && { heldType: this.#type as number }),
    }))
  }

  /** Whether a command of `nexus` that needs `access` may be done. */
  allows(nexus: Nexus, access: Access): boolean {
    if (access === 'nothing') return true
    if (this.#reserver !== undefined) return this.#reserver === nexus && access !== 'reservation'
    if (this.#type === undefined || access === 'readiness' || access === 'reservation') return true
    const { initiatorPort } = nexus
    if (this.#isHolder(initiatorPort)) return true
    if (isForRegistrants(this.#type) && this.#registrations.has(initiatorPort)) return true
    return access === 'read' && isWriteExclusive(this.#type)
  }

  /** Registers `port`, or gives it another key; key 0 ends its registration. */
  register(port: string, { key, ...options }: RegisterOptions): ReservationChange {
    if (key !== 0n) return this.registerAll([port], { key, ...options })
    if (!this.#registrations.has(port)) return done
    this.#outlastsPower = options.outlastsPower
    this.#count()
    return this.#unregister(port)
  }

  /** Registers all of these ports with a key, or none of them. */
  registerAll(ports: readonly string[], options: RegisterOptions): ReservationChange {
    const added = new Set(ports.filter((port) => !this.#registrations.has(port)))
    if (this.#registrations.size + added.size > REGISTRATIONS_MAX) {
      return { outcome: insufficientRegistrationResources }
    }
    const { key, allTargetPorts, outlastsPower } = options
    this.#outlastsPower = outlastsPower
    this.#count()
    for (const port of ports) this.#registrations.set(port, { key, allTargetPorts })
    return done
  }

  /** RESERVE for a registered port. */
  reserve(port: string, type: ReservationType): ReservationChange {
    if (this.#type !== undefined) {
      return this.#isHolder(port) && this.#type === type ? done : conflict
    }
    this.#hold(type, port)
    return done
  }

  /** RELEASE for a registered port: one that holds nothing has nothing to release, and that is GOOD. */
  release(port: string, type: number): ReservationChange {
    const held = this.#type
    if (held === undefined || !this.#isHolder(port)) return done
    if (held !== type) return { outcome: invalidReleaseOfReservation }
    this.#free()
    return isForRegistrants(held) ? this.#tellOthers(port, reservationsReleasedUnitAttention) : done
  }

  /** CLEAR for a registered port. */
  clear(port: string): ReservationChange {
    const told = this.#tellOthers(port, reservationsPreemptedUnitAttention)
    this.#count()
    this.#registrations.clear()
    this.#free()
    return told
  }

  /** Whether PREEMPT with this key takes the reservation itself, and not registrations alone. */
  preemptsReservation(key: bigint): boolean {
    if (this.#type === undefined) return false
    return isForAll(this.#type) ? key === 0n : key === this.holderKey
  }

  /** PREEMPT for a registered port, which takes the reservation over where `preemptsReservation`. */
  preempt(port: string, key: bigint, type: ReservationType): ReservationChange {
    const takesOver = this.preemptsReservation(key)
    const preempted: string[] = []
    for (const [other, registration] of this.#registrations) {
      if (takesOver && other === port) continue
      if (key === 0n || registration.key === key) preempted.push(other)
    }
    if (!takesOver && preempted.length === 0) return conflict
    this.#count()
    const attentions = new Map<string, Sense>()
    const before = this.#type
    for (const other of preempted) this.#registrations.delete(other)
    if (takesOver) {
      this.#hold(type, port)
      if (before !== type) {
        for (const other of this.#registrations.keys()) {
          attentions.set(other, reservationsReleasedUnitAttention)
        }
      }
    } else if (this.#registrations.size === 0) {
      this.#free()
    }
    for (const other of preempted) attentions.set(other, registrationsPreemptedUnitAttention)
    attentions.delete(port)
    return { outcome: 'done', attentions, preempted }
  }

  /**
   * The ports that `isGone` picks lose their registrations, and whatever they have reserved. Returns unit
   * attentions by initiator port; null when nothing has changed.
   */
  removePorts(isGone: (port: string) => boolean): ReadonlyMap<string, Sense> | null {
    const reserver = this.#reserver
    if (reserver !== undefined && isGone(reserver.initiatorPort)) this.endReserve()
    const gone = [...this.#registrations.keys()].filter(isGone)
    if (gone.length === 0) return null
    this.#count()
    const attentions = new Map<string, Sense>()
    for (const port of gone) {
      for (const [other, sense] of this.#unregister(port).attentions ?? []) {
        attentions.set(other, sense)
      }
    }
    return attentions
  }

  /** REGISTER AND MOVE for a registered port: registers `to` with `key`, and makes it the holder. */
  move(port: string, to: string, options: MoveOptions): ReservationChange {
    const type = this.#type
    if (type === undefined || this.#holder !== port) return conflict
    const allTargetPorts = this.#registrations.get(to)?.allTargetPorts ?? false
    const change = this.register(to, { ...options, allTargetPorts })
    if (change.outcome !== 'done') return change
    this.#hold(type, to)
    if (options.unregister) this.#registrations.delete(port)
    return done
  }

  /**
   * RESERVE(6) and (10). Who holds a persistent reservation has what it asks for already; with that
   * exception (CRH of REPORT CAPABILITIES), registrations leave no room for it.
   */
  reserveUnit(nexus: Nexus): boolean {
    if (this.#registrations.size > 0) return this.#needsNoReserve(nexus.initiatorPort)
    if (this.#reserver !== undefined && this.#reserver !== nexus) return false
    this.#reserver = nexus
    this.isReserved = true
    return true
  }

  /** RELEASE(6) and (10): false is a conflict; to release what another nexus has reserved is none. */
  releaseUnit(nexus: Nexus): boolean {
    if (this.#registrations.size > 0) return this.#needsNoReserve(nexus.initiatorPort)
    if (this.#reserver === nexus) this.endReserve()
    return true
  }

  /** A reset of the unit, or of the nexus when it is given, ends a RESERVE; a persistent reservation stays. */
  endReserve(nexus?: Nexus): void {
    if (nexus !== undefined && nexus !== this.#reserver) return
    this.#reserver = undefined
    this.isReserved = this.#type !== undefined
  }

  #needsNoReserve(port: string): boolean {
    if (this.#type === undefined) return false
    const registered = isForRegistrants(this.#type) && this.#registrations.has(port)
    return registered || this.#isHolder(port)
  }

  #isHolder(port: string): boolean {
    if (this.#type === undefined) return false
    return isForAll(this.#type) ? this.#registrations.has(port) : this.#holder === port
  }

  #unregister(port: string): ReservationChange {
    const held = this.#type
    const wasHolder = this.#isHolder(port)
    this.#registrations.delete(port)
    if (held === undefined || !wasHolder) return done
    if (isForAll(held) && this.#registrations.size > 0) return done
    this.#free()
    return isForRegistrants(held) ? this.#tellOthers(port, reservationsReleasedUnitAttention) : done
  }

  #tellOthers(port: string, attention: Sense): ReservationChange {
    const others = [...this.#registrations.keys()].filter((other) => other !== port)
    return { outcome: 'done', attentions: new Map(others.map((other) => [other, attention])) }
  }

  #count(): void {
    this.#generation = (this.#generation + 1) >>> 0
  }

  #hold(type: ReservationType, port: string): void {
    this.#type = type
    this.#holder = isForAll(type) ? undefined : port
    this.isReserved = true
  }

  #free(): void {
    this.#type = undefined
    this.#holder = undefined
    this.isReserved = this.#reserver !== undefined
  }
}

function isForAll(type: ReservationType): boolean {
  return (
    type === ReservationType.WriteExclusiveAllRegistrants ||
    type === ReservationType.ExclusiveAccessAllRegistrants
  )
}

/** Registrants only, or all registrants. */
function isForRegistrants(type: ReservationType): boolean {
  return type >= ReservationType.WriteExclusiveRegistrantsOnly
}

function isWriteExclusive(type: ReservationType): boolean {
  return (
    type === ReservationType.WriteExclusive ||
    type === ReservationType.WriteExclusiveRegistrantsOnly ||
    type === ReservationType.WriteExclusiveAllRegistrants
  )
}
