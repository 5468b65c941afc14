/**
 * What the server must remember and the disks' labels do not say: which disks are its own, its iSCSI
 * name, and who may use which partition as which LUN. Arrays and partitions themselves are on the
 * disks (docs/volume-format.md); docs/platterd.md says in which order both are changed.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import path from 'node:path'
import Type, { type Static } from 'typebox'
import { type OnStep, readPrivateFileIfThere, replaceFile } from './durable-file.ts'
import { findGrantConflicts, Grant, HostName } from './grant.ts'
import { migrate } from './state-migration.ts'
import { findFaults } from './validation.ts'

const closed = { additionalProperties: false } as const

/** RFC 7143 section 4.2.7.1: at most 223 bytes; the letters are those left after stringprep (RFC 3722). */
const IscsiName = Type.String({
  pattern: '^iqn\\.[0-9]{4}-(0[1-9]|1[0-2])\\.[a-z0-9.:-]{1,211}$',
  description: 'an iSCSI name such as iqn.2026-11.org.example:storage',
})

/** Where hosts are sent instead of being let in. */
export const Redirect = Type.Object(
  {
    host: HostName,
    address: Type.String({ pattern: ':[0-9]{1,5}$', description: 'HOST:PORT' }),
    permanent: Type.Boolean(),
  },
  closed,
)
export type Redirect = Static<typeof Redirect>

/** A secret of CHAP; never shown again, not even in an error. */
const Secret = Type.String({ writeOnly: true })
/** Null stands for the iSCSI name of whom it belongs to. */
const User = Type.Union([Type.String(), Type.Null()])

/** What a host authenticates with, and, for both directions, what we authenticate to it with. */
export const HostSecret = Type.Object(
  {
    host: HostName,
    user: User,
    secret: Secret,
    target: Type.Optional(
      Type.Object({ user: User, secret: Secret }, { ...closed, writeOnly: true }),
    ),
  },
  { ...closed, writeOnly: true },
)
export type HostSecret = Static<typeof HostSecret>

const Network = Type.String({
  pattern: '^[0-9a-f.:]+/[0-9]{1,3}$',
  description: 'a network such as 192.0.2.0/24',
})

/** A host that is known by name, and what has been set for it. */
export const Host = Type.Object(
  {
    name: HostName,
    /** Absent: what the server has for all. */
    maxConnections: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
    /** As for maxConnections. */
    maxSessions: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
    dataPorts: Type.Optional(Type.Enum(['fixed', 'dynamic'])),
    /** Where it may come from, as ADDRESS/PREFIX; absent: from anywhere. */
    networks: Type.Optional(Type.Array(Network)),
    /** What it must show at the least; absent: what the server asks of all. */
    minAuth: Type.Optional(Type.Enum(['chap', 'chap-mutual'])),
    allowUnauthenticated: Type.Optional(Type.Literal(true)),
  },
  closed,
)
export type Host = Static<typeof Host>

const STATE_VERSION = 2

const StateSchema = Type.Object(
  {
    version: Type.Literal(STATE_VERSION),
    targetName: IscsiName,
    targetPortalGroupTag: Type.Integer({ minimum: 1, maximum: 65535 }),
    disks: Type.Array(Type.String({ pattern: '^/', description: 'an absolute path' })),
    /** Those of `disks` that take the place of one that an array loses. */
    spares: Type.Optional(Type.Array(Type.String({ pattern: '^/' }))),
    grants: Type.Array(Grant),
    hosts: Type.Optional(Type.Array(Host)),
    redirects: Type.Optional(Type.Array(Redirect)),
    secrets: Type.Optional(Type.Array(HostSecret, { writeOnly: true })),
  },
  closed,
)
export type State = Readonly<Static<typeof StateSchema>>

/** Holds the state of one state directory, and keeps it durable. */
export class StateStore {
  readonly filePath: string
  readonly #onStep: OnStep
  #current: State

  private constructor(filePath: string, state: State, onStep: OnStep) {
    this.filePath = filePath
    this.#current = state
    this.#onStep = onStep
  }

  /**
   * Reads `state.json` of a directory that exists; makes it, with a new target name, when there is
   * none. Rejects, naming file and place, when it cannot be read, others may use it, or it does not hold
   * what it should.
   */
  static async open(directory: string, onStep: OnStep = () => {}): Promise<StateStore> {
    const filePath = path.join(directory, 'state.json')
    const text = await readPrivateFileIfThere(filePath)
    if (text !== undefined) return new StateStore(filePath, parseState(text, filePath), onStep)
    const store = new StateStore(filePath, newState(), onStep)
    await store.replace(store.current)
    return store
  }

  get current(): State {
    return this.#current
  }

  /** Makes `next` the state, durably. When it rejects, `current` is as before. */
  async replace(next: State): Promise<void> {
    const text = `${JSON.stringify(next, null, 2)}\n`
    parseState(text, this.filePath)
    await replaceFile(this.filePath, text, this.#onStep)
    this.#current = next
  }
}

/** Reads a state file's text; throws naming each place that is wrong. */
export function parseState(text: string, filePath: string): State {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${filePath} is not JSON: ${(cause as Error).message}`, { cause })
  }
  const version = (value as { version?: unknown } | null)?.version
  if (typeof version === 'number' && version > STATE_VERSION) {
    throw new Error(
      `${filePath} has version ${version}; this platterd knows version ${STATE_VERSION}: use a newer one`,
    )
  }
  value = migrate(value)
  const faults = findFaults(StateSchema, value)
  if (faults.length === 0) faults.push(...findConflicts(value as State))
  if (faults.length > 0) throw new Error(`${filePath} is not valid: ${faults.join('; ')}`)
  return value as State
}

/** What each value allows by itself, but not together with the others. */
function findConflicts(state: State): string[] {
  const faults = findGrantConflicts(state.grants)
  for (const [index, disk] of state.disks.entries()) {
    const first = state.disks.indexOf(disk)
    if (first < index) faults.push(`disks[${index}]: got that of disks[${first}]`)
  }
  for (const list of ['redirects', 'secrets'] as const) {
    const hosts = (state[list] ?? []).map(({ host }) => host)
    for (const [index, host] of hosts.entries()) {
      const first = hosts.indexOf(host)
      if (first < index) faults.push(`${list}[${index}].host: got that of ${list}[${first}]`)
    }
  }
  for (const [index, { name }] of (state.hosts ?? []).entries()) {
    const first = state.hosts?.findIndex((host) => host.name === name) ?? index
    if (first < index) faults.push(`hosts[${index}].name: got that of hosts[${first}]`)
  }
  return faults
}

function newState(): State {
  const host = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
  const unique = randomBytes(4).toString('hex')
  return {
    version: STATE_VERSION,
    targetName: `iqn.2026-11.org.platter:${host === '' ? 'san' : host}-${unique}`,
    targetPortalGroupTag: 1,
    disks: [],
    grants: [],
  }
}
