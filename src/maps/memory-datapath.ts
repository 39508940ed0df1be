// The datapath's maps in memory, of the same layouts as the kernel's. Programs do not run
// on them: who predicts what they would do reads these maps.

import { MemoryMap, type ObjectSpec } from '../bpf/index.ts'
import { readDatapathObject } from './datapath.ts'
import { type DatapathMaps, ELEMENT_MAPS, type MapName, type PolicyMap, type SlotPage } from './datapath-maps.ts'
import { LayoutError } from './layout.ts'
import type { PolicyEntry, PolicyKey } from './policy.ts'
import type { Schema } from './schema.ts'

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
