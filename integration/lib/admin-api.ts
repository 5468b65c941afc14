/** The admin API of platterd, asked directly: for tests that cannot wait for a process per command. */
import { request } from 'node:http'
import { join } from 'node:path'

export interface AdminAnswer {
  /** HTTP status; 0 when the server could not be reached or went away. */
  readonly status: number
  readonly body: unknown
}

/** One request to the server that has this state directory. Never rejects. */
export function askAdmin(
  stateDirectory: string,
  method: string,
  path: string,
  input?: object,
): Promise<AdminAnswer> {
  const socketPath = join(stateDirectory, 'admin.sock')
  const headers = input === undefined ? {} : { 'content-type': 'application/json' }
  return new Promise((resolve) => {
    const gone = () => resolve({ status: 0, body: null })
    const outgoing = request({ socketPath, method, path, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', gone)
      response.on('end', () => {
        const body = text === '' ? null : JSON.parse(text)
        resolve({ status: response.statusCode ?? 0, body })
      })
    })
    outgoing.on('error', gone)
    outgoing.end(input === undefined ? undefined : JSON.stringify(input))
  })
}

/** As `askAdmin`, but anything that is not granted is an error that says why. */
export async function askAdminOk<T>(
  stateDirectory: string,
  method: string,
  path: string,
  input?: object,
): Promise<T> {
  const { status, body } = await askAdmin(stateDirectory, method, path, input)
  if (status >= 200 && status < 300) return body as T
  throw new Error(`${method} ${path} got status ${status}: ${JSON.stringify(body)}`)
}
