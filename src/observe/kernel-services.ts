// What the kernel's maps hold of one frontend: its backends by the slots that choose
// them, the backend that a client is kept with, the translation of an open connection.
// Reads, and decides nothing.

import { cidr, formatIp, ip, mappedLength } from '../ip/index.ts'
import {
  type DatapathMaps,
  type Frontend,
  orderedFlowKey,
  type Schema,
  type SlotPage,
  type Tuple,
  toAddress,
} from '../maps/index.ts'
import {
  type AskedAddress,
  endpointText,
  type FoundFrontend,
  type FrontendDifference,
  frontendDifferences,
  type KernelView,
  type LiveAffinity,
  type LiveBackend,
  type LiveConnection,
  type LiveFrontend,
  type ServiceClient,
} from '../services/index.ts'

export type ServiceMaps = {
  readonly schema: Schema
  readonly maps: Pick<
    DatapathMaps,
    | 'frontends'
    | 'backends'
    | 'slot_pages'
    | 'affinities'
    | 'affinity_backends'
    | 'source_ranges'
    | 'translations'
    | 'flows'
  >
  /** The page of slots under a number, which the caller closes where it can be. */
  openSlotPage(key: number): (SlotPage & { close?(): void }) | undefined
}

export type AskedFrontend = {
  readonly asked: AskedAddress
  /** What is wanted there, with the number of its port; absent: nothing is. */
  readonly found?: FoundFrontend
  readonly number?: number
  readonly client?: ServiceClient
  /** Of a connection. */
  readonly source?: { readonly address: string; readonly port: number }
  /** CLOCK_MONOTONIC. */
  readonly nowNs: bigint
  /** Of the node's network namespace: as whom its processes are remembered. */
  readonly nodeCookie?: bigint
}

const SECOND_NS = 1_000_000_000n

/** Undefined where nothing is wanted and nothing is there. */
export function kernelView(target: ServiceMaps, question: AskedFrontend): KernelView | undefined {
  const { asked, found, number, source } = question
  const held = target.maps.frontends.get({
    address: toAddress(ip(asked.address)),
    port: asked.port,
    protocol: asked.protocol,
  })
  const connection = source && connectionOf(target, question, source)
  if (!held) return found && { state: 'absent', differences: [], ...(connection && { connection }) }
  const content = contentOf(target, held)
  const differences = found
    ? [
        ...frontendDifferences(found.port, found.frontend, content, number),
        ...besideDifferences(target, found, content),
      ]
    : [{ what: 'frontend', wanted: 'none', held: `one of service port number ${held.service}` }]
  const affinity = held.affinity_seconds > 0 ? affinityOf(target, question, held) : undefined
  return {
    state: differences.length === 0 ? 'same' : 'different',
    differences,
    content,
    ...(affinity && { affinity }),
    ...(connection && { connection }),
  }
}

/** What stands in maps of its own: source ranges, and the backends that clients may be kept with. */
function besideDifferences(
  { maps, schema }: ServiceMaps,
  { port: { sourceRanges, family } }: FoundFrontend,
  { service, hasSourceRanges, affinitySeconds, backends }: LiveFrontend,
): FrontendDifference[] {
  const ranges = hasSourceRanges ? sourceRanges.map(cidr).filter(range => range.family === family) : []
  const missing = ranges.filter(
    range => !maps.source_ranges.get({ prefix_length: 32 + mappedLength(range), service, address: range.bytes }),
  )
  const kinds = schema.clientKind.number
  const unkept = ([kind, clients]: readonly ['cluster' | 'outside', number]) =>
    backends[kind]
      .filter(({ id }) => ((maps.affinity_backends.get({ service, backend: id }) ?? 0) & (1 << clients)) === 0)
      .map(({ address, id }) => ({
        what: `affinity of clients ${kind === 'cluster' ? 'of the cluster' : 'outside'}`,
        wanted: address || `id ${id}`,
        held: 'not there',
      }))
  return [
    ...missing.map(({ text }) => ({ what: 'source ranges', wanted: text, held: 'not there' })),
    ...(affinitySeconds > 0
      ? (
          [
            ['cluster', kinds.CLUSTER],
            ['outside', kinds.OUTSIDE],
          ] as const
        ).flatMap(unkept)
      : []),
  ]
}

function contentOf(target: ServiceMaps, held: Frontend): LiveFrontend {
  const flag = target.schema.frontendFlags.number
  const has = (bit: number): boolean => (held.flags & bit) !== 0
  const without = (kind: 0 | 1) =>
    held.without[kind] === target.schema.withoutBackend.number.DROP ? ('drop' as const) : ('reject' as const)
  return {
    service: held.service,
    algorithm: has(flag.HASHED) ? 'maglev' : 'random',
    affinitySeconds: held.affinity_seconds,
    isForOutside: has(flag.OUTSIDE),
    isForNodeOnly: has(flag.NODE_ONLY),
    hasSourceRanges: has(flag.SOURCE_RANGES),
    isDirectReturn: has(flag.DIRECT_RETURN),
    without: { cluster: without(0), outside: without(1) },
    backends: { cluster: backendsIn(target, held.backends[0]), outside: backendsIn(target, held.backends[1]) },
  }
}

function backendsIn(target: ServiceMaps, { first, count }: Frontend['backends'][number]): LiveBackend[] {
  const { PAGE_LENGTH } = target.schema.slotPages.number
  const page = count === 0 ? undefined : target.openSlotPage(Math.floor(first / PAGE_LENGTH))
  try {
    const slots = new Map<number, number>()
    for (let index = first % PAGE_LENGTH, end = index + count; index < end; index++) {
      const id = page?.get(index) ?? 0
      slots.set(id, (slots.get(id) ?? 0) + 1)
    }
    return [...slots].map(([id, number]) => ({ id, address: backendText(target, id) ?? '', slots: number }))
  } finally {
    page?.close?.()
  }
}

function backendText({ maps }: ServiceMaps, id: number): string | undefined {
  const backend = maps.backends.get(id)
  return backend && endpointText(formatIp(backend.address.bytes), backend.port)
}

/** The first address of the client's that the map remembers a backend for. */
function affinityOf(target: ServiceMaps, question: AskedFrontend, held: Frontend): LiveAffinity | undefined {
  const { maps } = target
  for (const client of addressesOf(question)) {
    const known = maps.affinities.get({ client: toAddress(ip(client)), service: held.service })
    if (!known) continue
    const usedNs = question.nowNs - known.used_ns
    const kinds = maps.affinity_backends.get({ service: held.service, backend: known.backend }) ?? 0
    const bit = question.client?.kind === 'outside' ? 2 : 1
    return {
      client,
      backend: backendText(target, known.backend) ?? `id ${known.backend}, of no backend`,
      usedSecondsAgo: Number(usedNs / SECOND_NS),
      isInForce: usedNs <= BigInt(held.affinity_seconds) * SECOND_NS && (kinds & bit) !== 0,
    }
  }
  return undefined
}

/** As what a client is remembered. */
function addressesOf({ client, nodeCookie }: AskedFrontend): readonly string[] {
  if (!client) return []
  if (client.kind === 'outside') return [client.address]
  if (client.kind === 'pod' && !client.pod.hostNetwork) return client.pod.addresses
  return nodeCookie === undefined ? [] : [cookieAddress(nodeCookie)]
}

/** Processes of a namespace that is no pod's have no one address: their namespace's cookie is in its place (naming.h). */
function cookieAddress(cookie: bigint): string {
  const bytes = new Uint8Array(16)
  bytes[0] = 1
  new DataView(bytes.buffer).setBigUint64(8, cookie, true)
  return formatIp(bytes)
}

/** By the packet, or in a socket: then its flow goes to a backend, and says for which service. */
function connectionOf(
  target: ServiceMaps,
  { asked, found, nowNs }: AskedFrontend,
  source: NonNullable<AskedFrontend['source']>,
): LiveConnection {
  const { maps } = target
  const sourceText = endpointText(source.address, source.port)
  const tuple = tupleOf(source, asked, asked.protocol)
  const translation = maps.translations.get(tuple)
  if (translation)
    return {
      kind: 'packet',
      source: sourceText,
      backend: endpointText(formatIp(translation.target.destination.bytes), translation.target.destination_port),
      sourceAfter: endpointText(formatIp(translation.target.source.bytes), translation.target.source_port),
      isKnown: maps.backends.get(translation.backend) !== undefined,
      secondsLeft: secondsUntil(translation.expires_ns, nowNs),
    }
  for (const backend of found?.port.backends ?? []) {
    const flow = maps.flows.get(orderedFlowKey(tupleOf(source, backend, asked.protocol)).key)
    if (flow && flow.service !== 0)
      return {
        kind: 'socket',
        source: sourceText,
        backend: endpointText(backend.address, backend.port),
        sourceAfter: sourceText,
        isKnown: true,
        secondsLeft: secondsUntil(flow.expires_ns, nowNs),
      }
  }
  return { kind: 'none', source: sourceText }
}

type End = { readonly address: string; readonly port: number }

const tupleOf = (source: End, destination: End, protocol: number): Tuple => ({
  source: toAddress(ip(source.address)),
  destination: toAddress(ip(destination.address)),
  source_port: source.port,
  destination_port: destination.port,
  protocol,
})

const secondsUntil = (ns: bigint, nowNs: bigint): number => (ns <= nowNs ? 0 : Number((ns - nowNs) / SECOND_NS))
