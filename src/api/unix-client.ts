// HTTP over a unix socket, from the asking side: JSON answers, streams of JSON lines,
// errors of the other side as ApiError. Who is asked, and what it means that nobody
// answers, is up to the client that is made of this.

import http from 'node:http'
import type { ApiErrorBody } from './schema.ts'
import { ApiError } from './server.ts'

/** A stream broke off; what it would have told further is not known. */
export class StreamCutError extends Error {
  override readonly name = 'StreamCutError'
  readonly code = 'STREAM_CUT'

  constructor(whom: string, cause: unknown) {
    super(`the ${whom} ended, or gave up, in the middle of its answer`, { cause })
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'only root may use it; run this with sudo',
}

/** Why nobody answers on a unix socket, in words. */
export const absenceText = (cause: NodeJS.ErrnoException): string => REASONS[cause.code ?? ''] ?? cause.message

/** Nobody is there; else what is missing is something else. */
export const isAbsence = ({ code }: NodeJS.ErrnoException): boolean => code === 'ENOENT' || code === 'ECONNREFUSED'

const NEWLINE = 0x0a

export class UnixClient {
  readonly #socketPath: string
  readonly #who: string
  readonly #unreachable: (cause: NodeJS.ErrnoException) => Error

  /** @param who such as `agent`, for errors */
  constructor(socketPath: string, who: string, unreachable: (cause: NodeJS.ErrnoException) => Error) {
    this.#socketPath = socketPath
    this.#who = who
    this.#unreachable = unreachable
  }

  async ask<Answer>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer> {
    const response = await this.#open(method, path, body, signal)
    if (response.statusCode !== 200) await failed(response)
    return JSON.parse(await textOf(response)) as Answer
  }

  /** Objects of a stream, until it was told to its end or the signal is aborted. @throws StreamCutError */
  async *stream<Item>(path: string, signal?: AbortSignal): AsyncGenerator<Item> {
    for await (const lines of this.lines(path, signal))
      for (const line of lines.toString('utf8').split('\n')) if (line !== '') yield JSON.parse(line) as Item
  }

  /** The same as bytes, whole lines at a time. */
  async *lines(path: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const response = await this.#open('GET', path, undefined, signal)
    if (response.statusCode !== 200) await failed(response)
    try {
      yield* wholeLines(response)
    } catch (error) {
      if (!signal?.aborted)
        throw response.complete ? error : new StreamCutError(`${this.#who} at ${this.#socketPath}`, error)
    } finally {
      response.destroy()
    }
  }

  #open(method: string, path: string, body: unknown, signal: AbortSignal | undefined): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
    const request = http.request({ socketPath: this.#socketPath, method, path, ...(signal && { signal }) }, resolve)
    request.on('error', error => reject(signal?.aborted ? error : this.#unreachable(error)))
    request.end(body === undefined ? undefined : JSON.stringify(body))
    return promise
  }
}

async function failed(response: http.IncomingMessage): Promise<never> {
  const text = await textOf(response)
  let error = { code: 'UNKNOWN', message: text }
  try {
    error = (JSON.parse(text) as ApiErrorBody).error
  } catch {
    // Not JSON: the text itself is all there is to say.
  }
  throw new ApiError(response.statusCode ?? 500, error.code, error.message)
}

async function* wholeLines(response: http.IncomingMessage): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  for await (const chunk of response) {
    const bytes = chunk as Buffer
    const end = bytes.lastIndexOf(NEWLINE) + 1
    if (end > 0) {
      yield rest.length > 0 ? Buffer.concat([...rest, bytes.subarray(0, end)]) : bytes.subarray(0, end)
      rest = []
    }
    if (end < bytes.length) rest.push(bytes.subarray(end))
  }
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
