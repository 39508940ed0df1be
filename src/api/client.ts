// Asks an agent over its unix socket. Errors of the agent come as ApiError with its
// code; an agent that is not there as AgentUnreachableError, which says what to do.

import { type NamesAnswer, namesAnswer, type TaughtNames } from '../dns/index.ts'
import type { ServiceExplanation } from '../services/index.ts'
import type { PolicyStatus, ServiceDetail, ServiceStatus } from '../tables/index.ts'
import type {
  AgentStatus,
  ClusterAnswer,
  DropCount,
  EndpointAnswer,
  EndpointRequest,
  KnownName,
  MapInfo,
  PrintedTable,
  ProgramInfo,
  TableSummary,
} from './schema.ts'
import { absenceText, isAbsence, UnixClient } from './unix-client.ts'

export class AgentUnreachableError extends Error {
  override readonly name = 'AgentUnreachableError'
  readonly code = 'AGENT_UNREACHABLE'

  /** Nobody is there; else what is missing is something else. */
  readonly isAbsent: boolean

  constructor(path: string, cause: NodeJS.ErrnoException) {
    super(`no agent answers at ${path}: ${absenceText(cause)}`, { cause })
    this.isAbsent = isAbsence(cause)
  }
}

export class AgentClient {
  readonly #api: UnixClient

  constructor(socketPath: string) {
    this.#api = new UnixClient(socketPath, 'agent', cause => new AgentUnreachableError(socketPath, cause))
  }

  status(): Promise<AgentStatus> {
    return this.#api.ask('GET', '/v1/status')
  }

  /** Answers when all that the agent wants in the kernel at this moment has been tried there. */
  settled(signal?: AbortSignal): Promise<{ readonly revision: number }> {
    return this.#api.ask('GET', '/v1/settled', undefined, signal)
  }

  /** All that is declared, to be judged elsewhere. */
  cluster(): Promise<ClusterAnswer> {
    return this.#api.ask('GET', '/v1/cluster')
  }

  tables(): Promise<TableSummary[]> {
    return this.#api.ask('GET', '/v1/tables')
  }

  table(name: string): Promise<PrintedTable> {
    return this.#api.ask('GET', `/v1/tables/${encodeURIComponent(name)}`)
  }

  /** The status of every policy object, sorted by namespace, name and kind. */
  policies(): Promise<PolicyStatus[]> {
    return this.#api.ask('GET', '/v1/policies')
  }

  /** How every service stands, sorted by namespace and name. */
  services(): Promise<ServiceStatus[]> {
    return this.#api.ask('GET', '/v1/services')
  }

  service(namespace: string, name: string): Promise<ServiceDetail> {
    return this.#api.ask('GET', `/v1/services/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`)
  }

  /** Why an address and port leads where it leads. @param query as in `explanationAnswer` of the agent */
  explainService(query: Readonly<Record<string, string>>): Promise<ServiceExplanation> {
    return this.#api.ask('GET', `/v1/services/why?${new URLSearchParams(query).toString()}`)
  }

  maps(): Promise<MapInfo[]> {
    return this.#api.ask('GET', '/v1/bpf/maps')
  }

  programs(): Promise<ProgramInfo[]> {
    return this.#api.ask('GET', '/v1/bpf/programs')
  }

  drops(): Promise<DropCount[]> {
    return this.#api.ask('GET', '/v1/bpf/counters')
  }

  addEndpoint(request: EndpointRequest, signal?: AbortSignal): Promise<EndpointAnswer> {
    return this.#api.ask('POST', '/v1/endpoints', request, signal)
  }

  async deleteEndpoint(containerId: string, signal?: AbortSignal): Promise<void> {
    await this.#api.ask('DELETE', `/v1/endpoints/${encodeURIComponent(containerId)}`, undefined, signal)
  }

  /** Names of DNS that were answered, in no particular order. */
  names(): Promise<KnownName[]> {
    return this.#api.ask('GET', '/v1/names')
  }

  /** Answers when what is taught is in force. */
  async teachNames(names: TaughtNames, signal?: AbortSignal): Promise<NamesAnswer> {
    return namesAnswer.parse(await this.#api.ask('POST', '/v1/names', names, signal))
  }

  /** Flows as the agent formats them, until it has told all or the signal is aborted. @throws StreamCutError */
  flows<Flow>(query: Readonly<Record<string, string>>, signal?: AbortSignal): AsyncGenerator<Flow> {
    return this.#api.stream(`/v1/flows?${new URLSearchParams(query).toString()}`, signal)
  }
}
