// What the agent's API answers: reads tables, maps and counters; the endpoint requests
// go to endpoints.ts. Nothing here changes state by itself.

import os from 'node:os'
import {
  type AgentStatus,
  ApiError,
  type DropCount,
  endpointRequest,
  type MapInfo,
  type ProgramInfo,
  type ReconcilerState,
  type Route,
} from '../api/index.ts'
import type { KernelMap, Program } from '../bpf/index.ts'
import type { Datapath } from '../maps/index.ts'
import { readPacketCounters } from '../maps/index.ts'
import type { EnforcementMode } from '../policy/index.ts'
import type { Reconciler, View } from '../state/index.ts'
import type { PolicyStatus, ServiceStatus, Tables } from '../tables/index.ts'
import { clusterAnswer } from './cluster-answer.ts'
import { ElementCounts } from './element-counts.ts'
import type { Endpoints } from './endpoints.ts'
import { flowStream, requestStatus } from './flow-stream.ts'
import type { Names } from './names.ts'
import type { ProxyLink } from './proxy-link.ts'
import { explanationAnswer, type ServiceAnswersOptions, serviceAnswer, serviceCounts } from './service-answers.ts'
import type { Sight } from './sight.ts'

/** Any reconciler, whatever its rows are. */
type AnyReconciler = Pick<Reconciler<object>, 'status'>

/** Programs that share the datapath's maps, with maps of their own. */
export type LoadedBeside = {
  readonly programs: readonly Program[]
  readonly maps: readonly KernelMap[]
  /** How many places they are attached to. */
  readonly attached: () => number
}

export type RoutesOptions = {
  readonly node: string
  /** Of that node, canonical. */
  readonly nodeAddresses: readonly string[]
  readonly version: string
  readonly startedAtMs: number
  readonly tables: Tables
  readonly datapath: Pick<Datapath, 'schema' | 'maps' | 'programs'>
  /** What is loaded beside it. */
  readonly further: readonly LoadedBeside[]
  readonly endpoints: Endpoints
  readonly names: Names
  readonly policyStatus: View<PolicyStatus>
  readonly serviceStatus: View<ServiceStatus>
  /** What is asked about services. */
  readonly services: ServiceAnswersOptions
  /** Absent where no proxy was named. */
  readonly proxy?: ProxyLink | undefined
  /** Flows of packets and of requests. */
  readonly sight: Sight
  readonly reconcilers: Readonly<Record<string, AnyReconciler>>
  /** Resolves when everything that is declared at the call has been tried in the kernel. */
  readonly attempted: (signal: AbortSignal) => Promise<void>
  /** Milliseconds from start to ready; undefined until then. */
  readonly readyAfterMs: () => number | undefined
  readonly policyEnforcement: EnforcementMode
}

export function agentRoutes(options: RoutesOptions): Route[] {
  const { tables, endpoints } = options
  const elementCounts = new ElementCounts()
  return [
    { method: 'GET', path: /\/v1\/status/, answer: () => agentStatus(options, elementCounts) },
    {
      method: 'GET',
      path: /\/v1\/settled/,
      answer: async ({ signal }) => {
        await options.attempted(signal)
        return { revision: options.datapath.maps.runtime.get(0)?.revision ?? 0 }
      },
    },
    {
      method: 'GET',
      path: /\/v1\/cluster/,
      answer: () =>
        clusterAnswer(tables, { name: options.node, addresses: options.nodeAddresses }, options.policyEnforcement),
    },
    {
      method: 'GET',
      path: /\/v1\/tables/,
      answer: () => tables.database.tables().map(({ name, size, initialized }) => ({ name, rows: size, initialized })),
    },
    {
      method: 'GET',
      path: /\/v1\/tables\/([^/]+)/,
      answer: ({ parameters: [name = ''] }) => {
        const table = tables.database.table(name)
        if (table) return { name, ...table.print() }
        const known = tables.database.tables().map(other => other.name)
        throw new ApiError(404, 'NO_TABLE', `there is no table ${name}; there are ${known.join(', ')}`)
      },
    },
    { method: 'GET', path: /\/v1\/policies/, answer: () => options.policyStatus.rows() },
    { method: 'GET', path: /\/v1\/services/, answer: () => options.serviceStatus.rows() },
    {
      method: 'GET',
      path: /\/v1\/services\/why/,
      answer: ({ query }) => explanationAnswer(options.services, query),
    },
    {
      method: 'GET',
      path: /\/v1\/services\/([^/]+)\/([^/]+)/,
      answer: ({ parameters: [namespace, name] }) => serviceAnswer(options.services, `${namespace}/${name}`),
    },
    { method: 'GET', path: /\/v1\/bpf\/maps/, answer: () => mapInfos(options) },
    { method: 'GET', path: /\/v1\/bpf\/programs/, answer: () => programInfos(options) },
    { method: 'GET', path: /\/v1\/bpf\/counters/, answer: () => dropCounts(options.datapath) },
    {
      method: 'POST',
      path: /\/v1\/endpoints/,
      answer: ({ body, signal }) => {
        const parsed = endpointRequest.safeParse(body)
        if (parsed.success) return endpoints.add(parsed.data, signal)
        const [issue] = parsed.error.issues
        throw new ApiError(400, 'BAD_REQUEST', `${issue?.path.join('.') || 'body'}: ${issue?.message}`)
      },
    },
    {
      method: 'DELETE',
      path: /\/v1\/endpoints\/([^/]+)/,
      answer: ({ parameters: [containerId = ''], signal }) => endpoints.delete(containerId, signal),
    },
    { method: 'GET', path: /\/v1\/names/, answer: () => options.names.list() },
    { method: 'POST', path: /\/v1\/names/, answer: ({ body, signal }) => options.names.teach(body, signal) },
    {
      method: 'GET',
      path: /\/v1\/flows/,
      stream: ({ query, signal }) => flowStream(options.sight, query, signal),
    },
  ]
}

async function agentStatus(options: RoutesOptions, elementCounts: ElementCounts): Promise<AgentStatus> {
  const { tables, datapath } = options
  const readyAfterMs = options.readyAfterMs()
  const counts = datapath.maps.event_counts.get(0) ?? []
  const proxy = await options.proxy?.view()
  return {
    node: options.node,
    version: options.version,
    pid: process.pid,
    startedAt: new Date(options.startedAtMs).toISOString(),
    ready: readyAfterMs !== undefined,
    ...(readyAfterMs !== undefined && { readyAfterMs }),
    kernel: os.release(),
    policyEnforcement: options.policyEnforcement,
    revision: datapath.maps.runtime.get(0)?.revision ?? 0,
    counts: Object.fromEntries(
      [
        tables.pods,
        tables.endpoints,
        tables.policies,
        tables.identities,
        tables.addresses,
        tables.names,
        tables.policyMaps,
      ].map(table => [table.name, table.size]),
    ),
    services: serviceCounts(options.services, elementCounts),
    ...(proxy && { proxy }),
    reconcilers: Object.entries(options.reconcilers).map(([name, reconciler]) => reconcilerState(name, reconciler)),
    problems: tables.problems.all().map(({ severity, object, message, file, line, column }) => ({
      severity,
      text: `${file}${line ? `:${line}:${column}` : ''}: ${object ? `${object}: ` : ''}${message}`,
    })),
    events: {
      received: String(options.sight.packets.received),
      lost: String(counts.reduce((total, count) => total + count.lost, 0n)),
    },
    requests: requestStatus(options.sight.requests),
    memoryBytes: process.memoryUsage.rss(),
  }
}

function reconcilerState(name: string, { status }: AnyReconciler): ReconcilerState {
  const failed = status
    .by('kind', 'failed')
    .flatMap(row => (row.kind === 'failed' ? [{ key: row.key, error: row.error.message, attempts: row.attempts }] : []))
  return { name, done: status.by('kind', 'done').length, pending: status.by('kind', 'pending').length, failed }
}

/** Elements of arrays are always all there; those that belong to sockets cannot be listed. */
const UNCOUNTED = /array|storage/

function mapInfos({ datapath, further }: RoutesOptions): MapInfo[] {
  return [...Object.values(datapath.maps), ...further.flatMap(({ maps }) => maps)].map(map => ({
    name: map.name,
    type: map.type,
    keyBytes: map.keySize,
    valueBytes: map.valueSize,
    entries: map.keySize === 0 || UNCOUNTED.test(map.type) ? null : map.count(),
    maxEntries: map.maxEntries,
  }))
}

function programInfos({ datapath, further, tables }: RoutesOptions): ProgramInfo[] {
  const ofPods: LoadedBeside = {
    programs: Object.values(datapath.programs),
    maps: [],
    attached: () => tables.endpoints.size,
  }
  return [ofPods, ...further].flatMap(({ programs, attached }) =>
    programs.map(program => {
      const info = program.info()
      return {
        name: program.name,
        id: info.id,
        tag: info.tag,
        translatedBytes: info.translatedSize,
        jitedBytes: info.jitedSize,
        attached: attached(),
      }
    }),
  )
}

function dropCounts({ schema, maps }: RoutesOptions['datapath']): DropCount[] {
  return readPacketCounters(schema, maps.packet_counts).map(({ verdict, reason, direction, packets, bytes }) => ({
    verdict,
    reason,
    direction,
    packets: String(packets),
    bytes: String(bytes),
  }))
}
