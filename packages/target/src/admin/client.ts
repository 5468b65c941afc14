/** Calls the admin API of a running server over its Unix socket. */
import { type IncomingMessage, request } from 'node:http'
import { pathParameters, sendsQuery } from './operation.ts'
import { type Input, type OperationName, type Output, operations } from './operations.ts'

/** The server's refusal, or why it could not be asked: `unreachable`, `bad-answer`, or its own code. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const timeoutMs = 60_000

/** Runs one operation. Rejects with AdminError. */
export async function callAdmin<N extends OperationName>(
  socketPath: string,
  name: N,
  input: Input<N>,
): Promise<Output<N>> {
  const { method, path } = operations[name]
  const rest: Record<string, unknown> = { ...input }
  let url: string = path
  for (const parameter of pathParameters(path)) {
    url = url.replace(`:${parameter}`, encodeURIComponent(String(rest[parameter])))
    delete rest[parameter]
  }
  if (sendsQuery(method)) {
    const query = new URLSearchParams(rest as Record<string, string>).toString()
    return exchange(socketPath, method, query === '' ? url : `${url}?${query}`, null)
  }
  return exchange(socketPath, method, url, JSON.stringify(rest))
}

async function exchange<T>(
  socketPath: string,
  method: string,
  path: string,
  body: string | null,
): Promise<T> {
  const response = await send(socketPath, method, path, body)
  const text = await readText(response)
  if (response.statusCode === 204) return null as T
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch (cause) {
    throw new AdminError('bad-answer', `the server's answer is not JSON: ${text.slice(0, 80)}`, {
      cause,
    })
  }
  if (response.statusCode === 200) return answer as T
  const { error } = answer as { error?: { code: string; message: string } }
  throw new AdminError(error?.code ?? 'bad-answer', error?.message ?? `got ${text.slice(0, 80)}`)
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: string | null,
): Promise<IncomingMessage> {
  const headers = body === null ? {} : { 'content-type': 'application/json' }
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, timeout: timeoutMs }, resolve)
    outgoing.once('timeout', () => {
      outgoing.destroy(new Error(`no answer in ${timeoutMs / 1000} s`))
    })
    outgoing.once('error', (cause) => {
      reject(
        new AdminError('unreachable', `no server answers on ${socketPath}: ${cause.message}`, {
          cause,
        }),
      )
    })
    outgoing.end(body ?? undefined)
  })
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
