/** One I_T nexus as the device server keeps it: which units it sees, and what it has to be told. */
import type { CopyStatus, Sense } from '@platter/protocol/scsi'
import {
  decodeLun,
  encodeLun,
  lunsChangedUnitAttention,
  modeParametersChangedUnitAttention,
  powerOnUnitAttention,
} from '@platter/protocol/scsi'
import type { CopyRange } from './block-copy.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { Nexus, NexusTransport, ScsiTask } from './scsi-task.ts'
import { encodeSense } from './sense-format.ts'

/** The logical units that one initiator port sees: each once. */
export interface UnitView {
  readonly byLun: ReadonlyMap<number, LogicalUnit>
  /** Those of them that it may not change. */
  readonly readOnly: ReadonlySet<LogicalUnit>
}

/** What an initiator port sees, by its name; asked for each nexus, and again when that may have changed. */
export type ViewOf = (initiatorPort: string) => UnitView

export function sees({ byLun }: UnitView, unit: LogicalUnit): boolean {
  for (const seen of byLun.values()) if (seen === unit) return true
  return false
}

/** Third-party copies of one nexus, in progress or done, by unit and list identifier. */
export type CopiesByListId = Map<number, CopyStatus>

export interface CopyInProgress {
  readonly ranges: readonly CopyRange[]
  /** To be called when its command is aborted. */
  forget(): void
}

export class ScsiNexus implements Nexus {
  readonly copies = new Map<LogicalUnit, CopiesByListId>()
  readonly copying = new Map<ScsiTask, CopyInProgress>()
  readonly initiatorPort: string
  readonly #viewOf: ViewOf
  #view: UnitView
  /** Every nexus of the device server, this one with them: what it does may concern the others. */
  readonly peers: ReadonlySet<ScsiNexus>
  /** Absent only where nothing is to be told or taken back. */
  readonly transport: NexusTransport | undefined
  /** Unit attention conditions by unit, oldest first, none twice: so their number is bounded. */
  readonly #attentions = new Map<LogicalUnit, Sense[]>()
  /** Units whose power on this nexus has been told of, or will be. */
  readonly #known = new Set<LogicalUnit>()

  constructor(
    initiatorPort: string,
    viewOf: ViewOf,
    peers: ReadonlySet<ScsiNexus>,
    transport?: NexusTransport,
  ) {
    this.initiatorPort = initiatorPort
    this.#viewOf = viewOf
    this.#view = viewOf(initiatorPort)
    this.peers = peers
    this.transport = transport
    this.#noteUnits()
  }

  get answersQueries(): boolean {
    return this.transport?.answersQueries === true
  }

  /** Whether the initiator port of that name sees `unit`, logged in or not. */
  isSeenBy(port: string, unit: LogicalUnit): boolean {
    return sees(this.#viewOf(port), unit)
  }

  /** What it sees, by LUN. */
  get units(): ReadonlyMap<number, LogicalUnit> {
    return this.#view.byLun
  }

  sees(unit: LogicalUnit): boolean {
    return sees(this.#view, unit)
  }

  /** Whether it may not change `unit`, which it sees. */
  isReadOnly(unit: LogicalUnit): boolean {
    const { readOnly } = this.#view
    return readOnly.size !== 0 && readOnly.has(unit)
  }

  /** The unit that `task`, one of this nexus, is for; undefined where there is none. */
  unitOf(task: ScsiTask): LogicalUnit | undefined {
    return this.units.get(decodeLun(task.lunBuffer, task.lunPosition))
  }

  /**
   * Aborts its tasks for `unit`, but not `except`; returns how many there were. `done` is called when
   * none of their storage operations is under way any more: at once if none is.
   */
  abortTasks(unit: LogicalUnit, except: ScsiTask, done: () => void): number {
    if (this.transport === undefined) {
      done()
      return 0
    }
    let count = 0
    const chosen = (task: ScsiTask): boolean => {
      if (task === except || this.unitOf(task) !== unit) return false
      count++
      return true
    }
    this.transport.abortTasks(chosen, done)
    return count
  }

  /** The task is over; one that was copying has been aborted. */
  taskEnded(task: ScsiTask): void {
    if (this.copying.size === 0) return
    this.copying.get(task)?.forget()
    this.copying.delete(task)
  }

  /** Whether any unit attention is pending for `unit`; false at once in the usual case of none at all. */
  hasAttention(unit: LogicalUnit): boolean {
    return this.#attentions.size !== 0 && this.#attentions.has(unit)
  }

  /** Establishes a unit attention condition, and tells of it without being asked. */
  announce(unit: LogicalUnit, attention: Sense): void {
    this.raise(unit, attention)
    for (const [lun, seen] of this.units) if (seen === unit) this.#report(lun, attention)
  }

  #report(lun: number, attention: Sense): void {
    const bytes = Buffer.alloc(8)
    encodeLun(bytes, 0, lun)
    this.transport?.reportEvent(bytes, encodeSense(this.units.get(lun), attention))
  }

  /** Establishes a unit attention condition, unless the same is pending or the unit is not seen here. */
  raise(unit: LogicalUnit, attention: Sense): void {
    if (!this.#known.has(unit)) return
    const pending = this.#attentions.get(unit)
    if (pending === undefined) this.#attentions.set(unit, [attention])
    else if (!pending.includes(attention)) pending.push(attention)
  }

  /** What of `unit` is still to be reported, oldest first. */
  attentionsOf(unit: LogicalUnit): readonly Sense[] {
    return this.#attentions.get(unit) ?? []
  }

  /** The oldest condition of `unit`, which is cleared by being reported. */
  takeAttention(unit: LogicalUnit): Sense | undefined {
    const pending = this.#attentions.get(unit)
    const attention = pending?.shift()
    if (pending?.length === 0) this.#attentions.delete(unit)
    return attention
  }

  /** Clears one kind of condition for every unit. */
  clearAttention(attention: Sense): void {
    for (const [unit, pending] of this.#attentions) {
      const rest = pending.filter((other) => other !== attention)
      if (rest.length === 0) this.#attentions.delete(unit)
      else this.#attentions.set(unit, rest)
    }
  }

  /** Ends its tasks for which `senseOf` has sense data, as `NexusTransport.failTasks` does. */
  failTasks(senseOf: (task: ScsiTask) => Buffer | null, done: () => void): void {
    if (this.transport === undefined) done()
    else this.transport.failTasks(senseOf, done)
  }

  /** It sees other units from now on, or may change others: the initiator is told, if that is so. */
  look(view: UnitView): void {
    const before = this.#view
    this.#view = view
    const listChanged = !isSameMap(before.byLun, view.byLun)
    if (listChanged) {
      this.#noteUnits()
      // REPORT LUNS is for any LUN: the change of the list belongs to none.
      this.#report(0, lunsChangedUnitAttention)
    }
    const seen = new Set(view.byLun.values())
    for (const unit of before.byLun.values()) {
      const turned = before.readOnly.has(unit) !== view.readOnly.has(unit)
      // What is write-protected shows in the header of the mode parameters.
      if (seen.has(unit) && turned) this.announce(unit, modeParametersChangedUnitAttention)
    }
  }

  /** New units report power on, the rest that the list has changed. */
  #noteUnits(): void {
    const visible = new Set(this.units.values())
    for (const unit of this.#known) {
      if (visible.has(unit)) continue
      this.#known.delete(unit)
      this.#attentions.delete(unit)
    }
    const before = new Set(this.#known)
    for (const unit of visible) {
      this.#known.add(unit)
      this.raise(unit, before.has(unit) ? lunsChangedUnitAttention : powerOnUnitAttention)
    }
  }
}

function isSameMap(
  one: ReadonlyMap<number, LogicalUnit>,
  other: ReadonlyMap<number, LogicalUnit>,
): boolean {
  return one.size === other.size && [...one].every(([lun, unit]) => other.get(lun) === unit)
}
