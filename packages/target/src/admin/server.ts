/** The admin API as HTTP on a Unix socket that only the server's own user may open. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { createConnection } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { findFaults } from '../validation.ts'
import { type Operation, pathParameters, sendsQuery } from './operation.ts'
import { operations } from './operations.ts'
import { TargetError, type TargetErrorCode, type TargetFacade } from './target-facade.ts'

const httpStatus: Record<TargetErrorCode, number> = {
  'invalid-request': 400,
  'not-found': 404,
  'already-exists': 409,
  'in-use': 409,
  'no-space': 409,
  unavailable: 409,
  'storage-failed': 500,
  'shutting-down': 503,
}

/** Linux's sockaddr_un holds 108 bytes, the last of them zero (unix(7)). */
const socketPathMaxBytes = 107

export interface AdminServer {
  /** Stops taking requests, lets those under way finish, and removes the socket. */
  close(): Promise<void>
}

export interface AdminServerOptions {
  readonly target: TargetFacade
  readonly socketPath: string
  /** Told of errors that are the server's own fault, which callers see as `internal-error`. */
  readonly onInternalError: (error: Error) => void
}

/** Serves the admin API. Rejects with TargetError when the socket is taken or cannot be made. */
export async function serveAdmin(options: AdminServerOptions): Promise<AdminServer> {
  const app = createApp(options)
  await removeStaleSocket(options.socketPath)
  await app.ready()
  await listen(app, options.socketPath)
  return { close: () => app.close() }
}

function createApp({ target, onInternalError }: AdminServerOptions): FastifyInstance {
  const app = fastify({
    bodyLimit: 256 * 1024,
    // Of the names in a path an iSCSI name is the longest: 223 bytes, three times as long in a URL.
    routerOptions: { maxParamLength: 1024 },
    requestTimeout: 30_000,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      sendError(reply, error.statusCode ?? 400, 'invalid-request', error.message)
    },
  })
  app.setNotFoundHandler((request, reply) => {
    const known = `${request.method} ${request.url}`
    sendError(reply, 404, 'not-found', `the admin API has no ${known}`)
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    if (error instanceof TargetError) {
      sendError(reply, httpStatus[error.code], error.code, error.message)
    } else if (error.statusCode !== undefined && error.statusCode < 500) {
      sendError(reply, error.statusCode, 'invalid-request', error.message)
    } else {
      onInternalError(error)
      sendError(reply, 500, 'internal-error', `the server failed: ${error.message}`)
    }
  })
  for (const it of Object.values(operations) as unknown as Operation[]) {
    app.route({
      method: it.method,
      url: it.path,
      handler: async (request, reply) => {
        const answer = await it.run(target, readInput(it, request))
        return answer === null ? reply.code(204).send() : answer
      },
    })
  }
  return app
}

/** Joins what came in the URL and in the query or body, and checks it against the operation's schema. */
function readInput(it: Operation, request: FastifyRequest): Record<string, unknown> {
  const given = sendsQuery(it.method) ? request.query : request.body
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TargetError('invalid-request', 'the body must be a JSON object')
  }
  const twice = pathParameters(it.path).filter((name) => name in given)
  const input = { ...given, ...(request.params as object) }
  const faults = [
    ...twice.map((name) => `${name} is given by the URL and must not be given again`),
    ...findFaults(it.input, input),
  ]
  if (faults.length > 0) throw new TargetError('invalid-request', faults.join('; '))
  return input
}

function sendError(reply: FastifyReply, status: number, code: string, message: string): void {
  reply.code(status).send({ error: { code, message } })
}

/** Listens with a mode of 0600 from the first moment on. */
function listen(app: FastifyInstance, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      reject(new TargetError('unavailable', `cannot listen on ${socketPath}: ${error.message}`))
    }
    app.server.once('error', fail)
    const umask = process.umask(0o177)
    try {
      app.server.listen(socketPath, () => {
        app.server.off('error', fail)
        chmodSync(socketPath, 0o600)
        resolve()
      })
    } finally {
      process.umask(umask)
    }
  })
}

/** A daemon that was killed leaves its socket behind; one that answers is another daemon's. */
async function removeStaleSocket(socketPath: string): Promise<void> {
  if (Buffer.byteLength(socketPath) > socketPathMaxBytes) {
    const length = Buffer.byteLength(socketPath)
    throw new TargetError(
      'invalid-request',
      `socket path ${socketPath} has ${length} bytes, at most ${socketPathMaxBytes} are possible; name a shorter one with --socket`,
    )
  }
  const stat = lstatSync(socketPath, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket()) {
    throw new TargetError('already-exists', `${socketPath} exists and is not a socket`)
  }
  if (await answers(socketPath)) {
    throw new TargetError('in-use', `another server answers on ${socketPath}`)
  }
  unlinkSync(socketPath)
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath)
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}
