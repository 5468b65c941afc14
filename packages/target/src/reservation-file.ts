/**
 * The persistent reservations that hosts want kept (APTPL), in `reservations.json` of the state
 * directory. A file that cannot be understood keeps the server from starting: to serve without the
 * reservations in it would let hosts write that a cluster has fenced off.
 */
import path from 'node:path'
import { ReservationType } from '@platter/protocol/scsi'
import Type, { type Static } from 'typebox'
import { type OnStep, readFileIfThere, replaceFile } from './durable-file.ts'
import type { KeptReservations, ReservationKeeper } from './scsi/kept-reservations.ts'
import { findFaults } from './validation.ts'
import { type IoCompletion, VolumeError } from './volume/volume.ts'

const closed = { additionalProperties: false } as const

const Unit = Type.Object(
  {
    /** The partition's id. */
    partition: Type.String({
      pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
      description: 'a UUID in lower case',
    }),
    registrations: Type.Array(
      Type.Object(
        {
          initiatorPort: Type.String({
            pattern: '^[^,]+,i,0x[0-9a-f]{12}$',
            description: 'an initiator port such as iqn.2026-11.org.example:a,i,0x800000000001',
          }),
          key: Type.String({ pattern: '^0x[0-9a-f]{16}$', description: '0x and 16 hex digits' }),
          allTargetPorts: Type.Boolean(),
        },
        closed,
      ),
      { minItems: 1, description: 'at least one registration' },
    ),
    reservation: Type.Union([
      Type.Object(
        {
          type: Type.Enum(Object.values(ReservationType)),
          holder: Type.Union([Type.String(), Type.Null()]),
        },
        closed,
      ),
      Type.Null(),
    ]),
  },
  closed,
)
const FileSchema = Type.Object({ version: Type.Literal(1), units: Type.Array(Unit) }, closed)

export class ReservationFile {
  readonly filePath: string
  readonly #onStep: OnStep
  readonly #kept: Map<string, KeptReservations>
  /** Told when what they want kept is in the file; those that came during a write are for the next. */
  #waiting: IoCompletion[] = []
  #writing: Promise<void> | null = null

  private constructor(filePath: string, kept: Map<string, KeptReservations>, onStep: OnStep) {
    this.filePath = filePath
    this.#kept = kept
    this.#onStep = onStep
  }

  /** Reads the file of a state directory, if there is one. Rejects, naming the place that is wrong. */
  static async open(directory: string, onStep: OnStep = () => {}): Promise<ReservationFile> {
    const filePath = path.join(directory, 'reservations.json')
    const text = await readFileIfThere(filePath)
    const kept = text === undefined ? new Map() : parseReservations(text, filePath)
    return new ReservationFile(filePath, kept, onStep)
  }

  /** The keeper of one partition's reservations. */
  keeperOf(partition: string): ReservationKeeper {
    return {
      kept: this.#kept.get(partition) ?? null,
      keep: (reservations, completion) => this.#keep(partition, reservations, completion),
    }
  }

  /** The partition is no more. */
  forget(partition: string): void {
    if (this.#kept.has(partition)) this.#keep(partition, null, { ioCompleted: () => {} })
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await this.#writing
  }

  #keep(partition: string, reservations: KeptReservations | null, completion: IoCompletion): void {
    if (reservations === null) this.#kept.delete(partition)
    else this.#kept.set(partition, reservations)
    this.#waiting.push(completion)
    this.#writing ??= this.#write()
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const completions = this.#waiting
      this.#waiting = []
      const error = await replaceFile(this.filePath, this.#text(), this.#onStep).then(
        () => null,
        (cause: unknown) => new VolumeError('write', this.filePath, 0, cause),
      )
      for (const completion of completions) completion.ioCompleted(error)
    }
    this.#writing = null
  }

  #text(): string {
    const units = [...this.#kept].map(([partition, { registrations, reservation }]) => ({
      partition,
      registrations: registrations.map(({ initiatorPort, key, allTargetPorts }) => ({
        initiatorPort,
        key: `0x${key.toString(16).padStart(16, '0')}`,
        allTargetPorts,
      })),
      reservation,
    }))
    return `${JSON.stringify({ version: 1, units }, null, 2)}\n`
  }
}

/** Reads the file's text: reservations by partition. Throws, naming the file and what is wrong. */
export function parseReservations(text: string, filePath: string): Map<string, KeptReservations> {
  const refuse = (problem: string, cause?: unknown) =>
    new Error(
      `${filePath} ${problem}. It holds reservations that keep hosts from each other's data; when no host uses them any more, move the file away, and they are gone`,
      { cause },
    )
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw refuse(`is not JSON: ${(cause as Error).message}`, cause)
  }
  const faults = findFaults(FileSchema, value)
  if (faults.length === 0) faults.push(...findConflicts(value as Static<typeof FileSchema>))
  if (faults.length > 0) throw refuse(`is not valid: ${faults.join('; ')}`)
  return new Map(
    (value as Static<typeof FileSchema>).units.map(({ partition, registrations, reservation }) => [
      partition,
      {
        registrations: registrations.map((one) => ({ ...one, key: BigInt(one.key) })),
        reservation: reservation as KeptReservations['reservation'],
      },
    ]),
  )
}

/** What each value allows by itself, but not together with the others. */
function findConflicts({ units }: Static<typeof FileSchema>): string[] {
  const faults: string[] = []
  for (const [index, { partition, registrations, reservation }] of units.entries()) {
    const place = `units[${index}]`
    const first = units.findIndex((unit) => unit.partition === partition)
    if (first < index) faults.push(`${place}.partition: got that of units[${first}]`)
    const ports = registrations.map(({ initiatorPort }) => initiatorPort)
    if (new Set(ports).size < ports.length) faults.push(`${place}: a port is registered twice`)
    if (registrations.some(({ key }) => BigInt(key) === 0n)) faults.push(`${place}: got a key of 0`)
    if (reservation === null) continue
    const forAll = reservation.type >= ReservationType.WriteExclusiveAllRegistrants
    const held =
      reservation.holder === null ? forAll : !forAll && ports.includes(reservation.holder)
    if (!held)
      faults.push(
        `${place}.reservation.holder: got ${reservation.holder}, wanted ${forAll ? 'null' : 'a registered port'}`,
      )
  }
  return faults
}
