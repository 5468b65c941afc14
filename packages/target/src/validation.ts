/** Checks plain data against a schema, and says what is wrong in words: path, what was got, what was wanted. */
import type { TSchema } from 'typebox'
import Value from 'typebox/value'

/**
 * What is wrong with `value`, one sentence for each place, as `grants[0].lun: got -1, wanted 0..16383`.
 * Empty when the value fits. A schema's `description` says what was wanted, where it has one.
 */
export function findFaults(schema: TSchema, value: unknown): string[] {
  const faults = new Map<string, string>()
  for (const error of Value.Errors(schema, value)) {
    const params = error.params as Record<string, unknown>
    const base = error.instancePath
    if (error.keyword === 'required') {
      for (const name of params.requiredProperties as string[]) {
        faults.set(`${base}/${name}`, 'is missing')
      }
    } else if (error.keyword === 'additionalProperties') {
      for (const name of params.additionalProperties as string[]) {
        faults.set(`${base}/${name}`, 'is not known here')
      }
    } else if (error.keyword !== 'boolean' && !faults.has(base)) {
      const node = at(schema, schemaKeys(error.schemaPath))
      const got = isHidden(node) ? 'something else' : shorten(at(value, keys(base)))
      faults.set(base, `got ${got}, wanted ${describe(node, error.message)}`)
    }
  }
  return [...faults].map(([path, fault]) => {
    const name = readablePath(keys(path))
    return fault.startsWith('got') ? `${name}: ${fault}` : `${name} ${fault}`
  })
}

/** The keys of a JSON pointer (RFC 6901). */
function keys(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function schemaKeys(schemaPath: string): string[] {
  return keys(schemaPath.replace(/^#/, ''))
}

/** What lies at the end of `path`, or undefined where it leads nowhere. */
function at(root: unknown, path: readonly string[]): unknown {
  let here = root
  for (const key of path) {
    if (typeof here !== 'object' || here === null) return undefined
    here = (here as Record<string, unknown>)[key]
  }
  return here
}

function readablePath(path: readonly string[]): string {
  const text = path.map((key) => (/^\d+$/.test(key) ? `[${key}]` : `.${key}`)).join('')
  return text.replace(/^\./, '') || 'value'
}

function describe(schema: unknown, fallback: string): string {
  const it = (schema ?? {}) as Record<string, unknown>
  if (typeof it.description === 'string') return it.description
  if (Array.isArray(it.enum)) return it.enum.join(' | ')
  if (it.minimum !== undefined && it.maximum !== undefined) return `${it.minimum}..${it.maximum}`
  if (it.minimum !== undefined) return `${it.type} of at least ${it.minimum}`
  if ('const' in it) return JSON.stringify(it.const)
  if (typeof it.type === 'string' && fallback.startsWith('must be')) return it.type
  return fallback
}

/** Values that hold secrets are marked `writeOnly`, as JSON Schema has it, and are not told. */
function isHidden(schema: unknown): boolean {
  return ((schema ?? {}) as { writeOnly?: unknown }).writeOnly === true
}

function shorten(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
