// The maps of the datapath: their names, and the types of their keys and values. Which
// programs use them, and where they are, is said in datapath.ts and memory-datapath.ts.

import type { BpfMap, KernelMap, MapReference } from '../bpf/index.ts'
import type { Address } from './address.ts'
import type { Flow, FlowKey, Runtime } from './conntrack.ts'
import type { Endpoint } from './endpoint.ts'
import type { EventCount } from './event.ts'
import type { FragmentKey, FragmentPorts } from './fragment.ts'
import type { IpcacheEntry, IpcacheKey } from './ipcache.ts'
import type { PolicyEntry, PolicyKey } from './policy.ts'
import type {
  Affinity,
  AffinityBackend,
  AffinityKey,
  Backend,
  Frontend,
  FrontendKey,
  SourceRangeKey,
} from './service.ts'
import type { PodNamespace } from './socket.ts'
import type { Translation, Tuple } from './translation.ts'
import type { PacketCount } from './verdict.ts'

/** Key and value of every map that is read and written by element, under its name in C. */
export type MapElements = {
  readonly endpoints: readonly [Address, Endpoint]
  readonly ipcache: readonly [IpcacheKey, IpcacheEntry]
  readonly flows: readonly [FlowKey, Flow]
  readonly fragments: readonly [FragmentKey, FragmentPorts]
  readonly runtime: readonly [number, Runtime]
  readonly packet_counts: readonly [number, readonly PacketCount[]]
  readonly event_counts: readonly [number, readonly EventCount[]]
  readonly frontends: readonly [FrontendKey, Frontend]
  readonly backends: readonly [number, Backend]
  readonly affinities: readonly [AffinityKey, Affinity]
  readonly affinity_backends: readonly [AffinityBackend, number]
  readonly source_ranges: readonly [SourceRangeKey, number]
  readonly translations: readonly [Tuple, Translation]
  readonly pod_namespaces: readonly [bigint, PodNamespace]
  readonly tls_contexts: readonly [number, number]
}

/** The same maps, in the kernel or in memory. Maps of maps take a map and give back its id. */
export type DatapathMaps = {
  readonly [Name in keyof MapElements]: BpfMap<MapElements[Name][0], MapElements[Name][1]>
} & { readonly [Name in OuterMapName]: BpfMap<number, number, MapReference> }

/** In the kernel; closed with the datapath. */
export type KernelDatapathMaps = {
  readonly [Name in keyof MapElements]: KernelMap<MapElements[Name][0], MapElements[Name][1]>
} & { readonly [Name in OuterMapName]: KernelMap<number, number, MapReference> } & {
  readonly events: KernelMap
  readonly proxy_sockets: KernelMap<number, bigint>
  readonly socket_services: KernelMap
  readonly rewrites: KernelMap
}

export type PolicyMap = BpfMap<PolicyKey, PolicyEntry>
/** Slot by index: the id of its backend. */
export type SlotPage = BpfMap<number, number>

/** Those that are read and written by element. */
export const ELEMENT_MAPS = [
  'endpoints',
  'ipcache',
  'flows',
  'fragments',
  'runtime',
  'packet_counts',
  'event_counts',
  'frontends',
  'backends',
  'affinities',
  'affinity_backends',
  'source_ranges',
  'translations',
  'pod_namespaces',
  'tls_contexts',
  'policy_maps',
  'slot_pages',
] as const
/** All. */
export const MAPS = [...ELEMENT_MAPS, 'events', 'proxy_sockets', 'socket_services', 'rewrites'] as const
type OuterMapName = 'policy_maps' | 'slot_pages'
export type MapName = (typeof MAPS)[number]
