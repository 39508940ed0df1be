// A small HTTP server on a unix socket: JSON in, JSON out, streams as one object a
// line. It knows routes, errors and limits; what an answer says is up to the routes.

import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import type { ApiErrorBody } from './schema.ts'

const MAX_BODY_BYTES = 1 << 20
const MAX_STREAMS = 64

/** A request that failed for a reason that its sender should know. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.status = status
    this.code = code
  }
}

export type ApiRequest = {
  /** Captured groups of the route's path, decoded. */
  readonly parameters: readonly string[]
  readonly query: URLSearchParams
  /** Undefined without a body. */
  readonly body: unknown
  /** Aborted when the client goes. */
  readonly signal: AbortSignal
}

export type Route = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Matched whole. */
  readonly path: RegExp
  /** Of a request's body, where it may be larger than those of others. */
  readonly maxBodyBytes?: number
} & (
  | { readonly answer: (request: ApiRequest) => unknown }
  /** Looks at the request, which it may refuse; what it returns then writes objects until it ends. */
  | { readonly stream: (request: ApiRequest) => Stream }
)

/** `send` resolves when the client can take more. Bytes are sent as they are, as whole lines of JSON. */
export type Stream = (send: (item: unknown) => Promise<void>) => Promise<void>

export type ApiServer = { close(): Promise<void> }

/** Told of each request that failed for a reason that is not its sender's, for the log. */
export type RequestFailure = { readonly method: string; readonly url: string; readonly error: unknown }

const toStandardError = ({ method, url, error }: RequestFailure): void => console.error(`${method} ${url}:`, error)

/**
 * Listens on a unix socket that only root can use. A socket file that nobody listens on is taken over.
 * @throws SocketInUseError, NotASocketError
 */
export async function serveApi(
  path: string,
  routes: readonly Route[],
  onFailure: (failure: RequestFailure) => void = toStandardError,
): Promise<ApiServer> {
  await requireUnserved(path)
  if (fs.lstatSync(path, { throwIfNoEntry: false })) fs.unlinkSync(path)
  let streams = 0
  const server = http.createServer((request, response) => {
    const { method = 'GET', url = '/' } = request
    const countStream = (change: number): number => {
      streams += change
      return streams
    }
    void handle(routes, request, response, countStream, error => onFailure({ method, url, error }))
  })
  server.keepAliveTimeout = 60_000
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  // Nobody else may reach it, not even for the moment until its mode could be changed.
  const umask = process.umask(0o177)
  server.listen(path, resolve)
  process.umask(umask)
  await promise
  return {
    async close() {
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      server.closeAllConnections()
      await closed.promise
    },
  }
}

/** Another process answers on the socket. */
export class SocketInUseError extends Error {
  override readonly name = 'SocketInUseError'
  readonly code = 'SOCKET_IN_USE'

  constructor(path: string) {
    super(`another process serves ${path}: is it running there already?`)
  }
}

/** What is there is no socket, and perhaps of worth to somebody. */
export class NotASocketError extends Error {
  override readonly name = 'NotASocketError'
  readonly code = 'NOT_A_SOCKET'

  constructor(path: string) {
    super(`${path} is there already and is no socket: remove it, or name another path`)
  }
}

const NOBODY_LISTENS: readonly (string | undefined)[] = ['ECONNREFUSED', 'ENOENT']

/** For whoever would touch what the server of this socket owns. @throws SocketInUseError when there is one, NotASocketError */
export async function requireUnserved(path: string): Promise<void> {
  const there = fs.lstatSync(path, { throwIfNoEntry: false })
  if (there && !there.isSocket()) throw new NotASocketError(path)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const probe = net.connect(path, () => resolve(true))
  probe.on('error', (error: NodeJS.ErrnoException) => resolve(!NOBODY_LISTENS.includes(error.code)))
  const isServed = await promise
  probe.destroy()
  if (isServed) throw new SocketInUseError(path)
}

async function handle(
  routes: readonly Route[],
  request: http.IncomingMessage,
  response: http.ServerResponse,
  countStream: (change: number) => number,
  onFailure: (error: unknown) => void,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    const url = urlOf(request.url ?? '/')
    const { route, parameters } = findRoute(routes, request.method ?? 'GET', url.pathname)
    const body = await readBody(request, route.maxBodyBytes ?? MAX_BODY_BYTES)
    const asked: ApiRequest = { parameters, query: url.searchParams, body, signal: gone.signal }
    if ('answer' in route) {
      send(response, 200, (await route.answer(asked)) ?? {})
      return
    }
    const stream = route.stream(asked)
    if (countStream(1) > MAX_STREAMS) {
      countStream(-1)
      throw new ApiError(503, 'TOO_MANY_STREAMS', `${MAX_STREAMS} streams are open already`)
    }
    try {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.flushHeaders()
      await stream(item => writeLine(response, item, gone.signal))
      response.end()
    } finally {
      countStream(-1)
    }
  } catch (error) {
    if (!(error instanceof ApiError) && !gone.signal.aborted) onFailure(error)
    // A stream that broke must not look like one that was told to the end.
    if (response.headersSent) response.destroy()
    else sendError(response, error)
  }
}

function urlOf(text: string): URL {
  const url = URL.parse(text, 'http://agent')
  if (!url) throw new ApiError(400, 'BAD_URL', `${text} is no path`)
  return url
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch (error) {
    throw new ApiError(400, 'BAD_URL', `${part} is not encoded as a part of a path is`, error)
  }
}

function findRoute(routes: readonly Route[], method: string, path: string): { route: Route; parameters: string[] } {
  let otherMethod = false
  for (const route of routes) {
    const match = route.path.exec(path)
    if (match?.[0] !== path) continue
    if (route.method === method) return { route, parameters: match.slice(1).map(decoded) }
    otherMethod = true
  }
  if (otherMethod) throw new ApiError(405, 'METHOD_NOT_ALLOWED', `${path} does not take ${method}`)
  throw new ApiError(404, 'NOT_FOUND', `there is no ${path}`)
}

async function readBody(request: http.IncomingMessage, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    const bytes = chunk as Buffer
    size += bytes.length
    // Read on, or the sender would be cut off before the answer.
    if (size <= maxBytes) chunks.push(bytes)
  }
  if (size > maxBytes) throw new ApiError(413, 'TOO_LARGE', `a request may have ${maxBytes} bytes`)
  if (size === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (error) {
    throw new ApiError(400, 'BAD_JSON', `the body is not JSON: ${(error as Error).message}`, error)
  }
}

async function writeLine(response: http.ServerResponse, item: unknown, signal: AbortSignal): Promise<void> {
  const bytes = item instanceof Uint8Array ? item : `${JSON.stringify(item)}\n`
  if (signal.aborted || response.write(bytes)) return
  await once(response, 'drain', { signal }).catch(() => undefined) // the client is gone: the stream learns it by the signal
}

function send(response: http.ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

function sendError(response: http.ServerResponse, error: unknown): void {
  const known = error instanceof ApiError
  const body: ApiErrorBody = {
    error: { code: known ? error.code : 'INTERNAL', message: error instanceof Error ? error.message : String(error) },
  }
  send(response, known ? error.status : 500, body)
}
