// Writing services into the maps, many at once: what a frontend needs stands there before
// the frontend does, and every frontend is exchanged whole. What was written can be taken
// back. Which services, and what becomes of a failure, is for service-maps.ts to say.

import { MapFullError } from '../bpf/index.ts'
import type { BackendRange, Frontend, FrontendKey } from '../maps/index.ts'
import { rowsEqual } from '../state/index.ts'
import type { FreshSlots } from './service-choices.ts'
import type { NewSlotPage, OpenSlotPage, ServiceMaps } from './service-content.ts'
import type { ServiceElements } from './service-elements.ts'

export type WritesTarget = {
  readonly maps: ServiceMaps
  readonly pageLength: number
  readonly createPage: () => NewSlotPage
  readonly openPage: (page: number) => OpenSlotPage | undefined
  /** Called when backends are gone from the map. */
  readonly onBackendsGone?: (() => void) | undefined
}

/** Elements to write, and what undoes that: what they were before, and those that were not there. */
export type Difference<Key, Value> = {
  readonly put: readonly (readonly [Key, Value])[]
  readonly restore: readonly (readonly [Key, Value])[]
  readonly remove: readonly Key[]
}

export type ServiceWrite = {
  readonly wanted: ServiceElements
  readonly fresh: readonly FreshSlots[]
  readonly frontends: Difference<FrontendKey, Frontend>
  readonly affinity: Difference<Parameters<ServiceMaps['affinity_backends']['get']>[0], number>
  readonly sourceRanges: Difference<Parameters<ServiceMaps['source_ranges']['get']>[0], number>
}

export function difference<Key, Value>(
  wanted: ReadonlyMap<string, readonly [Key, Value]>,
  before: (text: string) => readonly [Key, Value] | undefined,
): Difference<Key, Value> {
  const put: (readonly [Key, Value])[] = []
  const restore: (readonly [Key, Value])[] = []
  const remove: Key[] = []
  for (const [text, element] of wanted) {
    const old = before(text)
    if (old && rowsEqual(old[1], element[1])) continue
    put.push(element)
    if (old) restore.push(old)
    else remove.push(element[0])
  }
  return { put, restore, remove }
}

const E2BIG = 7

export class ServiceWriter {
  readonly #target: WritesTarget
  readonly #pages = new Set<number>()
  /** Ids of backends that stand in the map. */
  readonly #backends = new Set<number>()
  /** Those of them that no service in force has yet. */
  readonly #ahead = new Set<number>()
  /** How many changes are on their way that lead to a backend. */
  readonly #expected = new Map<number, number>()

  constructor(target: WritesTarget) {
    this.#target = target
  }

  /** Learns what there is. */
  sync(pages: ReadonlySet<number>, backends: Iterable<number>): void {
    this.#pages.clear()
    for (const page of pages) this.#pages.add(page)
    this.#backends.clear()
    for (const id of backends) this.#backends.add(id)
  }

  /** The backend of this id is not what it should be: it is written again. */
  forget(backend: number): void {
    this.#backends.delete(backend)
  }

  /** Announces a change: its backends stay until it is settled or taken back. */
  expect({ wanted }: ServiceWrite): void {
    for (const id of wanted.backends.keys()) this.#expected.set(id, (this.#expected.get(id) ?? 0) + 1)
  }

  /** @throws whatever a map throws; then some of it may be written */
  async write(writes: readonly ServiceWrite[]): Promise<void> {
    const { backends, affinity_backends, source_ranges, frontends } = this.#target.maps
    const missing = new Map(writes.flatMap(({ wanted }) => [...wanted.backends]))
    for (const id of missing.keys()) if (this.#backends.has(id)) missing.delete(id)
    // Hundreds of thousands would be written and taken back, at each try, while all others wait.
    if (this.#backends.size + missing.size > backends.maxEntries)
      throw new MapFullError('backends', backends.maxEntries, E2BIG)
    for (const id of missing.keys()) this.#ahead.add(id)
    await putAll(backends, [...missing])
    for (const id of missing.keys()) this.#backends.add(id)
    await putAll(
      affinity_backends,
      writes.flatMap(({ affinity }) => affinity.put),
    )
    await putAll(
      source_ranges,
      writes.flatMap(({ sourceRanges }) => sourceRanges.put),
    )
    await this.#writeSlots(writes.flatMap(({ fresh }) => fresh))
    await putAll(
      frontends,
      writes.flatMap(write => write.frontends.put),
    )
  }

  /** A change is in force: its backends are there for good. */
  settle(write: ServiceWrite): void {
    for (const id of write.wanted.backends.keys()) this.#ahead.delete(id)
    this.#release(write)
  }

  /** Undoes what may have been written of a service. @throws whatever a map throws; may be called again */
  async takeBack(write: ServiceWrite): Promise<void> {
    const { maps } = this.#target
    const { wanted, frontends, sourceRanges, affinity } = write
    await putAll(maps.frontends, frontends.restore)
    await removeAll(maps.frontends, frontends.remove)
    await putAll(maps.source_ranges, sourceRanges.restore)
    await removeAll(maps.source_ranges, sourceRanges.remove)
    await putAll(maps.affinity_backends, affinity.restore)
    await removeAll(maps.affinity_backends, affinity.remove)
    const isNobodys = (id: number): boolean => this.#ahead.has(id) && this.#expected.get(id) === 1
    await this.removeBackends([...wanted.backends.keys()].filter(isNobodys))
    this.#release(write)
  }

  /** Whether a change is on its way that leads to the backend. */
  isExpected(id: number): boolean {
    return this.#expected.has(id)
  }

  async removeBackends(ids: readonly number[]): Promise<void> {
    // Where it fails, some may be gone.
    for (const id of ids) this.#backends.delete(id)
    await removeAll(this.#target.maps.backends, ids)
    for (const id of ids) this.#ahead.delete(id)
    if (ids.length > 0) this.#target.onBackendsGone?.()
  }

  #release({ wanted }: ServiceWrite): void {
    for (const id of wanted.backends.keys()) {
      const left = (this.#expected.get(id) ?? 0) - 1
      if (left > 0) this.#expected.set(id, left)
      else this.#expected.delete(id)
    }
  }

  async #writeSlots(fresh: readonly FreshSlots[]): Promise<void> {
    const { pageLength, openPage } = this.#target
    const pageOf = ({ first }: BackendRange): number => Math.floor(first / pageLength)
    for (const [page, parts] of Map.groupBy(fresh, ({ range }) => pageOf(range))) {
      if (!this.#pages.has(page)) await this.#addPage(page)
      const open = openPage(page)
      if (!open) {
        this.#pages.delete(page)
        throw new Error(`page ${page} of slots has gone; the next try makes it again`)
      }
      try {
        await open.updateBatchAsync(slotElements(parts, pageLength))
      } finally {
        open.close?.()
      }
    }
  }

  async #addPage(page: number): Promise<void> {
    const created = this.#target.createPage()
    try {
      await this.#target.maps.slot_pages.updateBatchAsync([[page, created]])
      this.#pages.add(page)
    } finally {
      created.close?.()
    }
  }
}

function* slotElements(parts: readonly FreshSlots[], pageLength: number): Generator<readonly [number, number]> {
  for (const { range, slots } of parts)
    for (let i = 0; i < range.count; i++) yield [(range.first % pageLength) + i, slots[i] ?? 0]
}

type Puts<Key, Value> = { updateBatchAsync(entries: Iterable<readonly [Key, Value]>): Promise<number> }
type Removes<Key> = { deleteBatchAsync(keys: Iterable<Key>): Promise<number> }

async function putAll<Key, Value>(map: Puts<Key, Value>, elements: readonly (readonly [Key, Value])[]): Promise<void> {
  if (elements.length > 0) await map.updateBatchAsync(elements)
}

export async function removeAll<Key>(map: Removes<Key>, keys: readonly Key[]): Promise<void> {
  if (keys.length > 0) await map.deleteBatchAsync(keys)
}
