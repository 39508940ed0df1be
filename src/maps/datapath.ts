// The datapath as one object: its programs and its maps with their types. Loading
// checks first that C and TypeScript know the same layouts. Who attaches programs
// and what stands in the maps is the business of others.

import {
  BpfError,
  type BpfMap,
  compileCodec,
  KernelMap,
  type LoadedObject,
  loadObject,
  MapFullError,
  type MapReference,
  MemoryMap,
  type ObjectSpec,
  PinDirectory,
  type PinDirectoryOptions,
  type Program,
  parseObject,
} from '../bpf/index.ts'
import type { Address } from './address.ts'
import type { Flow, FlowKey, Runtime } from './conntrack.ts'
import type { Endpoint } from './endpoint.ts'
import type { EventCount } from './event.ts'
import type { FragmentKey, FragmentPorts } from './fragment.ts'
import type { IpcacheEntry, IpcacheKey } from './ipcache.ts'
import { LayoutError } from './layout.ts'
import type { PolicyEntry, PolicyKey } from './policy.ts'
import { readSchema, type Schema } from './schema.ts'
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

/** What the kernel says of a full LPM trie. */
const ENOSPC = 28

const ELEMENT_MAPS = [
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
const MAPS = [...ELEMENT_MAPS, 'events', 'proxy_sockets', 'socket_services', 'rewrites'] as const
type OuterMapName = 'policy_maps' | 'slot_pages'
export type MapName = (typeof MAPS)[number]
const PROGRAMS = ['from_pod', 'to_pod'] as const
export type ProgramName = (typeof PROGRAMS)[number]

/** `const volatile` globals of the datapath that may differ from what C says. */
export type DatapathConstants = {
  readonly flow_events?: boolean
  readonly report_interval_seconds?: number
  readonly tcp_open_seconds?: number
  readonly tcp_established_seconds?: number
  readonly tcp_closing_seconds?: number
  readonly other_seconds?: number
}

/** Ports that translated connections come from. */
export type SourcePorts = { readonly port_first: number; readonly port_count: number }

export type DatapathOptions = {
  /** The compiled object: its bytes, or its parsed form. */
  readonly object: Uint8Array | ObjectSpec
  /** 6 bytes: of the host side of every pod's veth pair. */
  readonly hostMac: Uint8Array
  /** max_entries of maps (bytes, of `events`) instead of what C says. */
  readonly sizes?: Partial<Readonly<Record<MapName, number>>>
  readonly constants?: DatapathConstants
  readonly sourcePorts?: SourcePorts
  /** A folder in a bpffs: all maps are kept there, by schema version, and taken up again from there. */
  readonly pins?: string
  readonly pinOptions?: PinDirectoryOptions
}

export type DatapathObject = { readonly spec: ObjectSpec; readonly schema: Schema }

/**
 * A compiled datapath, checked against what this program knows.
 * @throws LayoutError, FormatError
 */
export function readDatapathObject(object: Uint8Array | ObjectSpec): DatapathObject {
  const spec = object instanceof Uint8Array ? parseObject(object) : object
  const missing = [
    ...MAPS.filter(name => !spec.maps.has(name)).map(name => `there is no map ${name}`),
    ...[...spec.maps.keys()]
      .filter(name => !(MAPS as readonly string[]).includes(name))
      .map(name => `there is a map ${name} that this program does not know`),
    ...PROGRAMS.filter(name => !spec.programs.has(name)).map(name => `there is no program ${name}`),
  ]
  if (missing.length > 0) throw new LayoutError(missing)
  return { spec, schema: readSchema(spec.btf) }
}

export class Datapath {
  readonly schema: Schema
  readonly spec: ObjectSpec
  readonly maps: KernelDatapathMaps
  readonly programs: Readonly<Record<ProgramName, Program>>
  /** Where the maps are pinned; links may be pinned in a folder beside them. */
  readonly pins: PinDirectory | undefined
  readonly #object: LoadedObject
  readonly #rodata: Readonly<Record<string, unknown>>

  /** @param rodata what the `const volatile` globals were set to, for further objects to have the same */
  constructor(
    object: LoadedObject,
    schema: Schema,
    pins: PinDirectory | undefined,
    rodata: Readonly<Record<string, unknown>>,
  ) {
    this.#object = object
    this.#rodata = rodata
    this.schema = schema
    this.spec = object.spec
    this.pins = pins
    this.maps = Object.fromEntries(MAPS.map(name => [name, object.map(name)])) as unknown as KernelDatapathMaps
    this.programs = { from_pod: object.program('from_pod'), to_pod: object.program('to_pod') }
  }

  /**
   * A policy map with its entries, not yet in force: put it into `maps.policy_maps`, then close it.
   * @param elements with keys of their own each
   * @throws MapFullError when they are more than `maxEntries`, at once: filling a map to its brim takes a while
   */
  createPolicyMap(
    elements: readonly (readonly [PolicyKey, PolicyEntry])[],
    options: { readonly maxEntries?: number; readonly name?: string } = {},
  ): KernelMap<PolicyKey, PolicyEntry> {
    const map = this.#object.createInnerMap<PolicyKey, PolicyEntry>('policy_maps', options)
    try {
      if (elements.length > map.maxEntries) throw new MapFullError(map.name, map.maxEntries, ENOSPC)
      map.updateBatch(elements)
      return map
    } catch (error) {
      map.close()
      throw error
    }
  }

  /** Elements of the policy map under a key of `maps.policy_maps`; undefined when there is none. */
  readPolicyMap(key: number): [PolicyKey, PolicyEntry][] | undefined {
    const id = this.maps.policy_maps.get(key)
    const inner = this.spec.maps.get('policy_maps')?.inner
    if (id === undefined || !inner) return undefined
    try {
      using map = KernelMap.byId<PolicyKey, PolicyEntry>(id, inner)
      return map.lookupBatch()
    } catch (error) {
      if (error instanceof BpfError && error.code === 'ENOENT') return undefined // exchanged in between
      throw error
    }
  }

  /** A page of slots, all free, not yet in force: put it into `maps.slot_pages`, then close it. */
  createSlotPage(): KernelMap<number, number> {
    return this.#object.createInnerMap<number, number>('slot_pages')
  }

  /** The page under a key of `maps.slot_pages`, which the caller closes; undefined when there is none. */
  openSlotPage(key: number): KernelMap<number, number> | undefined {
    const id = this.maps.slot_pages.get(key)
    const inner = this.spec.maps.get('slot_pages')?.inner
    return id === undefined || !inner ? undefined : KernelMap.byId<number, number>(id, inner)
  }

  /**
   * Loads a further object of the datapath: maps that it has in common with this one are these, others are kept beside them.
   * The caller closes it, before the datapath.
   * @throws what `loadObject` throws
   */
  load(
    object: Uint8Array | ObjectSpec,
    options: { readonly rodata?: Readonly<Record<string, unknown>>; readonly programs?: readonly string[] } = {},
  ): LoadedObject {
    const spec = object instanceof Uint8Array ? parseObject(object) : object
    const names = [...spec.maps.keys()]
    const shared = names.filter(name => this.#object.maps.has(name))
    const own = names.filter(name => !this.#object.maps.has(name))
    const rodata = { ...this.#rodata, ...options.rodata }
    return loadObject(spec, {
      rodata: Object.fromEntries(Object.entries(rodata).filter(([name]) => spec.variables.has(name))),
      maps: Object.fromEntries(shared.map(name => [name, this.#object.map(name)])),
      maxEntries: Object.fromEntries(shared.map(name => [name, this.#object.map(name).maxEntries])),
      ...(options.programs ? { programs: options.programs } : {}),
      ...(this.pins ? { pins: this.pins, pinned: own } : {}),
    })
  }

  /** Gives back all descriptors. What is pinned or attached lives on. */
  close(): void {
    this.#object.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Loads the datapath into this kernel. Nothing is attached.
 * @throws LayoutError, and what `loadObject` and `PinDirectory.open` throw
 */
export function loadDatapath(options: DatapathOptions): Datapath {
  const { spec, schema } = readDatapathObject(options.object)
  const pins =
    options.pins === undefined ? undefined : PinDirectory.open(options.pins, schema.version, options.pinOptions)
  const rodata = { ...options.constants, ...options.sourcePorts, host_mac: options.hostMac }
  const object = loadObject(spec, {
    rodata,
    ...(options.sizes ? { maxEntries: options.sizes } : {}),
    ...(pins ? { pins, pinned: MAPS } : {}),
  })
  return new Datapath(object, schema, pins, rodata)
}

/** Maps of the same layouts in memory: for tests, and for predicting what the datapath would do. */
export class MemoryDatapath {
  readonly schema: Schema
  readonly maps: DatapathMaps
  readonly spec: ObjectSpec
  readonly #policyMaps = new Map<number, PolicyMap>()
  readonly #slotPages = new Map<number, SlotPage>()

  constructor(object: Uint8Array | ObjectSpec, sizes: Partial<Readonly<Record<MapName, number>>> = {}) {
    const { spec, schema } = readDatapathObject(object)
    this.schema = schema
    this.spec = spec
    const maps = ELEMENT_MAPS.map(name => {
      const declared = spec.maps.get(name)
      if (!declared) throw new LayoutError([`there is no map ${name}`])
      return [name, MemoryMap.create({ ...declared, maxEntries: sizes[name] ?? declared.maxEntries })]
    })
    this.maps = Object.fromEntries(maps) as DatapathMaps
  }

  createPolicyMap(
    elements: Iterable<readonly [PolicyKey, PolicyEntry]>,
    options: { readonly maxEntries?: number } = {},
  ): PolicyMap {
    const declared = this.spec.maps.get('policy_maps')?.inner
    if (!declared) throw new LayoutError(['policy_maps is not a map of maps'])
    const map = MemoryMap.create<PolicyKey, PolicyEntry>({
      ...declared,
      maxEntries: options.maxEntries ?? declared.maxEntries,
    })
    map.updateBatch(elements)
    this.#policyMaps.set(map.id, map)
    return map
  }

  createSlotPage(): SlotPage {
    const declared = this.spec.maps.get('slot_pages')?.inner
    if (!declared) throw new LayoutError(['slot_pages is not a map of maps'])
    const page = MemoryMap.create<number, number>(declared)
    this.#slotPages.set(page.id, page)
    return page
  }

  openSlotPage(key: number): SlotPage | undefined {
    const id = this.maps.slot_pages.get(key)
    return id === undefined ? undefined : this.#slotPages.get(id)
  }

  /** The policy map behind a key of `policy_maps`. */
  policyMap(key: number): PolicyMap | undefined {
    const id = this.maps.policy_maps.get(key)
    return id === undefined ? undefined : this.#policyMaps.get(id)
  }
}

/** The value that C gives a `const volatile` global. @throws LayoutError for one it does not have */
export function constantOf(spec: ObjectSpec, name: keyof DatapathConstants): unknown {
  const variable = spec.variables.get(name)
  const content = variable && spec.dataSections.get(variable.section)?.content
  if (!variable || !content) throw new LayoutError([`there is no constant ${name}`])
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  return compileCodec(spec.btf, variable.typeId, name).decode(view, variable.offset)
}
