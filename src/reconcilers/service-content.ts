// What the kernel's maps hold of services, read whole: at the start of an agent and at
// each full compare. Nothing here writes.

import type { BpfMap, MapReference } from '../bpf/index.ts'
import { formatIp } from '../ip/index.ts'
import type {
  AffinityBackend,
  Backend,
  BackendRange,
  DatapathMaps,
  Frontend,
  FrontendKey,
  SourceRangeKey,
} from '../maps/index.ts'
import { affinityText, frontendText, type ServiceElements, sourceRangeText } from './service-elements.ts'

/** A page of slots that may have to be closed. */
export type OpenSlotPage = Pick<BpfMap<number, number>, 'updateBatchAsync' | 'forEachRaw'> & { close?(): void }
/** One that is not in the kernel's map of pages yet. */
export type NewSlotPage = MapReference & { close?(): void }

export type ServiceMaps = Pick<
  DatapathMaps,
  'frontends' | 'backends' | 'affinity_backends' | 'source_ranges' | 'slot_pages'
>

export type ServiceContent = {
  readonly frontends: ReadonlyMap<string, readonly [FrontendKey, Frontend]>
  readonly backends: ReadonlyMap<number, Backend>
  readonly affinity: ReadonlyMap<string, readonly [AffinityBackend, number]>
  readonly sourceRanges: ReadonlyMap<string, readonly [SourceRangeKey, number]>
  /** Numbers of the pages that there are. */
  readonly pages: ReadonlySet<number>
  /** Every range that a frontend names, once, by the service that it names it for. */
  readonly rangesByService: ReadonlyMap<number, readonly BackendRange[]>
  /** Services that an address stands for. */
  readonly numbersByAddress: ReadonlyMap<string, ReadonlySet<number>>
  /** All that stands there for services of these numbers, except backends. */
  elementsOf(services: readonly number[]): ServiceElements
  /** What stands in a range; undefined where there is no such page. */
  slots(range: BackendRange): Uint32Array | undefined
}

export type ContentSource = {
  readonly maps: ServiceMaps
  readonly pageLength: number
  readonly openPage: (page: number) => OpenSlotPage | undefined
}

export function readServiceContent({ maps, pageLength, openPage }: ContentSource): ServiceContent {
  const frontends = new Map<string, readonly [FrontendKey, Frontend]>()
  for (const element of maps.frontends.entries()) frontends.set(frontendText(element[0]), element)
  const rangesByService = new Map<number, BackendRange[]>()
  const numbersByAddress = new Map<string, Set<number>>()
  for (const [key, { service, backends }] of frontends.values()) {
    for (const range of backends) addRange(rangesByService, service, range)
    const address = formatIp(key.address.bytes)
    const numbers = numbersByAddress.get(address)
    if (numbers) numbers.add(service)
    else numbersByAddress.set(address, new Set([service]))
  }
  const affinity = new Map(Array.from(maps.affinity_backends.entries(), one => [affinityText(one[0]), one] as const))
  const sourceRanges = new Map(Array.from(maps.source_ranges.entries(), one => [sourceRangeText(one[0]), one] as const))
  const byService = {
    frontends: textsByService(frontends, ([, { service }]) => service),
    affinity: textsByService(affinity, ([{ service }]) => service),
    sourceRanges: textsByService(sourceRanges, ([{ service }]) => service),
  }
  const pages = new Map<number, Uint32Array | undefined>()
  const pageOf = (page: number): Uint32Array | undefined => {
    if (!pages.has(page)) pages.set(page, readPage(pageLength, openPage(page)))
    return pages.get(page)
  }
  return {
    frontends,
    backends: new Map(maps.backends.entries()),
    affinity,
    sourceRanges,
    pages: new Set(maps.slot_pages.keys()),
    rangesByService,
    numbersByAddress,
    elementsOf: services => ({
      frontends: select(frontends, byService.frontends, services),
      backends: new Map(),
      affinity: select(affinity, byService.affinity, services),
      sourceRanges: select(sourceRanges, byService.sourceRanges, services),
    }),
    slots({ first, count }) {
      const start = first % pageLength
      return pageOf(Math.floor(first / pageLength))?.subarray(start, start + count)
    },
  }
}

function textsByService<Element>(
  elements: ReadonlyMap<string, Element>,
  serviceOf: (element: Element) => number,
): ReadonlyMap<number, readonly string[]> {
  const texts = new Map<number, string[]>()
  for (const [text, element] of elements) {
    const service = serviceOf(element)
    const known = texts.get(service)
    if (known) known.push(text)
    else texts.set(service, [text])
  }
  return texts
}

function select<Element>(
  elements: ReadonlyMap<string, Element>,
  texts: ReadonlyMap<number, readonly string[]>,
  services: readonly number[],
): Map<string, Element> {
  const selected = new Map<string, Element>()
  for (const text of services.flatMap(service => texts.get(service) ?? [])) {
    const element = elements.get(text)
    if (element !== undefined) selected.set(text, element)
  }
  return selected
}

function addRange(byService: Map<number, BackendRange[]>, service: number, range: BackendRange): void {
  if (range.count === 0) return
  const known = byService.get(service)
  if (!known) byService.set(service, [range])
  else if (!known.some(({ first, count }) => first === range.first && count === range.count)) known.push(range)
}

function readPage(length: number, page: OpenSlotPage | undefined): Uint32Array | undefined {
  if (!page) return undefined
  try {
    const slots = new Uint32Array(length)
    page.forEachRaw((key, keyOffset, value, valueOffset) => {
      slots[key.getUint32(keyOffset, true)] = value.getUint32(valueOffset, true)
    })
    return slots
  } finally {
    page.close?.()
  }
}
