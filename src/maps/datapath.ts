// The datapath as one object: its programs and its maps with their types. Loading
// checks first that C and TypeScript know the same layouts. Who attaches programs
// and what stands in the maps is the business of others.

import {
  BpfError,
  compileCodec,
  KernelMap,
  type LoadedObject,
  loadObject,
  MapFullError,
  type ObjectSpec,
  PinDirectory,
  type PinDirectoryOptions,
  type Program,
  parseObject,
} from '../bpf/index.ts'
import { type KernelDatapathMaps, MAPS, type MapName } from './datapath-maps.ts'
import { LayoutError } from './layout.ts'
import type { PolicyEntry, PolicyKey } from './policy.ts'
import { readSchema, type Schema } from './schema.ts'

/** What the kernel says of a full LPM trie. */
const ENOSPC = 28

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

/** The value that C gives a `const volatile` global. @throws LayoutError for one it does not have */
export function constantOf(spec: ObjectSpec, name: keyof DatapathConstants): unknown {
  const variable = spec.variables.get(name)
  const content = variable && spec.dataSections.get(variable.section)?.content
  if (!variable || !content) throw new LayoutError([`there is no constant ${name}`])
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  return compileCodec(spec.btf, variable.typeId, name).decode(view, variable.offset)
}
