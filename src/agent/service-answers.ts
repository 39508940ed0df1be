// What the agent's API answers about services: how they stand, and why an address leads
// where it leads, by what is declared, what is wanted and what the kernel has.

import { ApiError, type ServiceCounts } from '../api/index.ts'
import { type ServicesInKernel, serviceDetail } from '../controllers/index.ts'
import { type AskedFrontend, kernelView, type ServiceMaps } from '../observe/index.ts'
import {
  explainService,
  findFrontend,
  type KnownPod,
  readEndpoint,
  readServiceQuestion,
  type ServiceExplanation,
  ServiceQuestionError,
  type ServiceWorld,
} from '../services/index.ts'
import { type NumberedPort, objectKey, type ServiceDetail, type Tables } from '../tables/index.ts'
import type { ElementCounts } from './element-counts.ts'

export type ServiceAnswersOptions = {
  readonly node: ServiceWorld['node']
  readonly tables: Tables
  readonly kernel: ServicesInKernel
  readonly datapath: ServiceMaps
  /** Whether sockets are translated on this node. */
  readonly sockets: boolean
  /** Of the node's network namespace. */
  readonly nodeCookie?: bigint
}

/** @throws ApiError when there is none */
export function serviceAnswer({ tables, kernel }: ServiceAnswersOptions, key: string): ServiceDetail {
  const detail = serviceDetail(tables, kernel, key)
  if (!detail) throw new ApiError(404, 'NO_SERVICE', `there is no service ${key}`)
  return detail
}

/** The maps that services fill; affinity, source ranges and translations follow from clients. */
const FILLED = ['frontends', 'backends', 'slot_pages'] as const

export function serviceCounts(
  { tables, kernel, datapath }: ServiceAnswersOptions,
  elementCounts: ElementCounts,
): ServiceCounts {
  const entries = tables.serviceEntries.all()
  const ports = entries.flatMap(entry => entry.ports)
  return {
    services: tables.services.size,
    frontends: ports.reduce((total, { frontends }) => total + frontends.length, 0),
    backends: new Set(ports.flatMap(({ backends }) => backends.map(({ id }) => id))).size,
    failed: entries.filter(entry => kernel.status.get(objectKey(entry))?.kind === 'failed').length,
    maps: FILLED.map(name => {
      const map = datapath.maps[name]
      return { name, ...elementCounts.of(map), maxEntries: map.maxEntries }
    }),
  }
}

/** @param query `target`, and at most one of `from`, `host`, `outside`; `source`. @throws ApiError */
export function explanationAnswer(options: ServiceAnswersOptions, query: URLSearchParams): ServiceExplanation {
  try {
    return explained(options, query)
  } catch (error) {
    if (error instanceof ServiceQuestionError) throw new ApiError(400, error.code, error.message, error)
    throw error
  }
}

function explained(options: ServiceAnswersOptions, query: URLSearchParams): ServiceExplanation {
  const world = worldOf(options)
  const [from, outside, source] = [query.get('from'), query.get('outside'), query.get('source')]
  const question = readServiceQuestion(world, {
    target: query.get('target') ?? '',
    ...(from !== null && { from }),
    ...(query.has('host') && { fromHost: true }),
    ...(outside !== null && { fromOutside: outside }),
  })
  const explanation = explainService(world, question)
  if ('service' in question.target) return explanation
  const found = findFrontend(world, question.target)
  const number = found && (found.port as NumberedPort).number
  const asked: AskedFrontend = {
    asked: question.target,
    nowNs: process.hrtime.bigint(),
    ...(options.nodeCookie !== undefined && { nodeCookie: options.nodeCookie }),
    ...(found && { found }),
    ...(number !== undefined && { number }),
    ...(question.client && { client: question.client }),
    ...(source !== null && { source: readEndpoint(source) }),
  }
  const kernel = kernelView(options.datapath, asked)
  if (!kernel) return explanation
  const standing = found && standingOf(options, objectKey(found.service))
  return { ...explanation, kernel: standing === undefined ? kernel : { ...kernel, standing } }
}

/** Undefined where the kernel is said to have what is wanted. */
function standingOf({ tables, kernel }: ServiceAnswersOptions, key: string): string | undefined {
  const detail = serviceDetail(tables, kernel, key)
  return detail && (detail.state === 'waiting' || detail.state === 'failed')
    ? `${detail.state}: ${detail.message}`
    : undefined
}

function worldOf({ node, tables, sockets }: ServiceAnswersOptions): ServiceWorld {
  const { services, serviceEntries, endpointSlices } = tables
  return {
    node,
    services: [
      ...services.all().map(manifest => {
        const { namespace, name } = manifest
        return { namespace, name, manifest, ports: serviceEntries.get(objectKey(manifest))?.ports ?? [] }
      }),
      // Host ports of pods have entries and no Service.
      ...serviceEntries.all().filter(entry => !services.get(objectKey(entry))),
    ],
    slices: endpointSlices.all(),
    pods: knownPods(tables),
    sockets,
  }
}

/** An endpoint's addresses are those that it really uses. */
function knownPods({ pods, endpoints, podNamespaces }: Tables): KnownPod[] {
  return pods.all().map(pod => {
    const key = objectKey(pod)
    const [endpoint] = endpoints.by('pod', key)
    return {
      namespace: pod.namespace,
      name: pod.name,
      addresses: endpoint?.addresses ?? pod.addresses,
      hostNetwork: pod.hostNetwork,
      byPacket: podNamespaces.by('pod', key)[0]?.translation === 'packet',
    }
  })
}
