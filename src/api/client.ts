// Asks an agent over its unix socket. Errors of the agent come as ApiError with its
// code; an agent that is not there as AgentUnreachableError, which says what to do.

import http from 'node:http'
import type { ServiceExplanation } from '../services/index.ts'
import type { PolicyStatus, ServiceDetail, ServiceStatus } from '../tables/index.ts'
import type {
  AgentStatus,
  ApiErrorBody,
  ClusterAnswer,
  DropCount,
  EndpointAnswer,
  EndpointRequest,
  MapInfo,
  PrintedTable,
  ProgramInfo,
  TableSummary,
} from './schema.ts'
import { ApiError } from './server.ts'

export class AgentUnreachableError extends Error {
  override readonly name = 'AgentUnreachableError'
  readonly code = 'AGENT_UNREACHABLE'

  /** Nobody is there; else what is missing is something else. */
  readonly isAbsent: boolean

  constructor(path: string, cause: NodeJS.ErrnoException) {
    const reason = REASONS[cause.code ?? '']
    super(`no agent answers at ${path}: ${reason ?? cause.message}`, { cause })
    this.isAbsent = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED'
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'only root may use it; run this with sudo',
}

/** A stream broke off; what it would have told further is not known. */
export class StreamCutError extends Error {
  override readonly name = 'StreamCutError'
  readonly code = 'STREAM_CUT'

  constructor(path: string, cause: unknown) {
    super(`the agent at ${path} ended, or gave up, in the middle of its answer`, { cause })
  }
}

export class AgentClient {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  status(): Promise<AgentStatus> {
    return this.#ask('GET', '/v1/status')
  }

  /** Answers when all that the agent wants in the kernel at this moment has been tried there. */
  settled(signal?: AbortSignal): Promise<{ readonly revision: number }> {
    return this.#ask('GET', '/v1/settled', undefined, signal)
  }

  /** All that is declared, to be judged elsewhere. */
  cluster(): Promise<ClusterAnswer> {
    return this.#ask('GET', '/v1/cluster')
  }

  tables(): Promise<TableSummary[]> {
    return this.#ask('GET', '/v1/tables')
  }

  table(name: string): Promise<PrintedTable> {
    return this.#ask('GET', `/v1/tables/${encodeURIComponent(name)}`)
  }

  /** The status of every policy object, sorted by namespace, name and kind. */
  policies(): Promise<PolicyStatus[]> {
    return this.#ask('GET', '/v1/policies')
  }

  /** How every service stands, sorted by namespace and name. */
  services(): Promise<ServiceStatus[]> {
    return this.#ask('GET', '/v1/services')
  }

  service(namespace: string, name: string): Promise<ServiceDetail> {
    return this.#ask('GET', `/v1/services/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`)
  }

  /** Why an address and port leads where it leads. @param query as in `explanationAnswer` of the agent */
  explainService(query: Readonly<Record<string, string>>): Promise<ServiceExplanation> {
    return this.#ask('GET', `/v1/services/why?${new URLSearchParams(query).toString()}`)
  }

  maps(): Promise<MapInfo[]> {
    return this.#ask('GET', '/v1/bpf/maps')
  }

  programs(): Promise<ProgramInfo[]> {
    return this.#ask('GET', '/v1/bpf/programs')
  }

  drops(): Promise<DropCount[]> {
    return this.#ask('GET', '/v1/bpf/counters')
  }

  addEndpoint(request: EndpointRequest, signal?: AbortSignal): Promise<EndpointAnswer> {
    return this.#ask('POST', '/v1/endpoints', request, signal)
  }

  async deleteEndpoint(containerId: string, signal?: AbortSignal): Promise<void> {
    await this.#ask('DELETE', `/v1/endpoints/${encodeURIComponent(containerId)}`, undefined, signal)
  }

  /** Flows as the agent formats them, until it has told all or the signal is aborted. @throws StreamCutError */
  async *flows<Flow>(query: Readonly<Record<string, string>>, signal?: AbortSignal): AsyncGenerator<Flow> {
    const response = await this.#open('GET', `/v1/flows?${new URLSearchParams(query).toString()}`, undefined, signal)
    if (response.statusCode !== 200) await failed(response)
    try {
      for await (const line of linesOf(response)) yield JSON.parse(line) as Flow
    } catch (error) {
      if (!signal?.aborted) throw response.complete ? error : new StreamCutError(this.#socketPath, error)
    } finally {
      response.destroy()
    }
  }

  async #ask<Answer>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer> {
    const response = await this.#open(method, path, body, signal)
    if (response.statusCode !== 200) await failed(response)
    return JSON.parse(await textOf(response)) as Answer
  }

  #open(method: string, path: string, body: unknown, signal: AbortSignal | undefined): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
    const request = http.request({ socketPath: this.#socketPath, method, path, ...(signal && { signal }) }, resolve)
    request.on('error', error => {
      reject(signal?.aborted ? error : new AgentUnreachableError(this.#socketPath, error))
    })
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

async function* linesOf(response: http.IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = `${rest}${chunk as string}`.split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
