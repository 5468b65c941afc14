/** Sanitize operations that are not done, so that they go on when the server has been restarted. */
import path from 'node:path'
import Type, { type Static } from 'typebox'
import { readFileIfThere, replaceFile } from './durable-file.ts'
import type { SanitizeRequest, SanitizeStore } from './scsi/sanitizer.ts'
import { findFaults } from './validation.ts'

const closed = { additionalProperties: false } as const

const Request = Type.Object(
  {
    method: Type.Union([Type.Literal('overwrite'), Type.Literal('block-erase')]),
    allowUnrestrictedExit: Type.Boolean(),
    pattern: Type.String({ pattern: '^([0-9a-f]{2})*$', description: 'bytes in hex' }),
    invert: Type.Boolean(),
    overwriteCount: Type.Integer({ minimum: 1, maximum: 31 }),
    failed: Type.Boolean(),
  },
  closed,
)
const FileSchema = Type.Object(
  { version: Type.Literal(1), partitions: Type.Record(Type.String(), Request) },
  closed,
)

/** Holds `sanitize.json` of a state directory, by partition id. */
export class SanitizeStates {
  readonly #filePath: string
  readonly #requests: Map<string, SanitizeRequest>
  /** Writes of the file, one after the other. */
  #writing: Promise<void> = Promise.resolve()

  private constructor(filePath: string, requests: Map<string, SanitizeRequest>) {
    this.#filePath = filePath
    this.#requests = requests
  }

  /** Rejects, naming file and place, when the file cannot be read or does not hold what it should. */
  static async open(directory: string): Promise<SanitizeStates> {
    const filePath = path.join(directory, 'sanitize.json')
    const text = await readFileIfThere(filePath)
    return new SanitizeStates(filePath, text === undefined ? new Map() : parse(text, filePath))
  }

  /** What a logical unit saves and finds of its own. */
  storeOf(partitionId: string): SanitizeStore {
    return {
      saved: this.#requests.get(partitionId) ?? null,
      save: (request) => this.#save(partitionId, request),
    }
  }

  #save(partitionId: string, request: SanitizeRequest | null): Promise<void> {
    if (request === null) this.#requests.delete(partitionId)
    else this.#requests.set(partitionId, request)
    const write = () => {
      const file: Static<typeof FileSchema> = {
        version: 1,
        partitions: Object.fromEntries(this.#requests),
      }
      return replaceFile(this.#filePath, `${JSON.stringify(file, null, 2)}\n`)
    }
    const written = this.#writing.then(write)
    this.#writing = written.catch(() => {})
    return written
  }
}

function parse(text: string, filePath: string): Map<string, SanitizeRequest> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${filePath} is not JSON: ${(cause as Error).message}`, { cause })
  }
  const faults = findFaults(FileSchema, value)
  if (faults.length > 0) throw new Error(`${filePath} is not valid: ${faults.join('; ')}`)
  return new Map(Object.entries((value as Static<typeof FileSchema>).partitions))
}
