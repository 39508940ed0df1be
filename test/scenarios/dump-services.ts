// The maps of services as text that people can read and compare: which backends the
// clients of a frontend may get, and what stands in the slots that frontends name.

import { formatIp } from '../../src/ip/index.ts'
import { protocolName } from '../../src/labels/index.ts'
import type { BackendRange, Frontend, MemoryDatapath } from '../../src/maps/index.ts'

export const SERVICE_MAP_NAMES = ['frontends', 'backends', 'slots', 'affinity_backends', 'source_ranges'] as const
export type DumpedServiceMap = (typeof SERVICE_MAP_NAMES)[number]

export function dumpServiceMap(datapath: MemoryDatapath, name: DumpedServiceMap): string[] {
  return SERVICE_DUMPS[name](datapath).sort(new Intl.Collator('en', { numeric: true }).compare)
}

const SERVICE_DUMPS: Readonly<Record<DumpedServiceMap, (datapath: MemoryDatapath) => string[]>> = {
  frontends: datapath =>
    datapath.maps.frontends
      .lookupBatch()
      .map(([key, frontend]) => `${endText(key)} ${frontendText(datapath, frontend)}`),
  backends: ({ maps }) => maps.backends.lookupBatch().map(([id, backend]) => `${id} ${endText(backend)}`),
  slots: datapath => {
    const ranges = datapath.maps.frontends.lookupBatch().flatMap(([, { backends }]) => backends)
    const lines = ranges.filter(({ count }) => count > 0).map(range => rangeText(datapath, range))
    return [...new Set(lines)]
  },
  affinity_backends: ({ maps, schema }) =>
    maps.affinity_backends.lookupBatch().map(([{ service, backend }, bits]) => {
      const kinds = Object.entries(schema.clientKind.number).filter(([, kind]) => bits & (1 << kind))
      return `service ${service} backend ${backend} ${kinds.map(([kind]) => kind.toLowerCase()).join(' ')}`
    }),
  source_ranges: ({ maps }) =>
    maps.source_ranges.lookupBatch().map(([{ service, address, prefix_length }]) => {
      const text = formatIp(address)
      return `service ${service} ${text}/${prefix_length - (text.includes(':') ? 32 : 128)}`
    }),
}

type End = { readonly address: { readonly bytes: Uint8Array }; readonly port: number; readonly protocol: number }

function endText({ address, port, protocol }: End): string {
  const text = formatIp(address.bytes)
  return `${text.includes(':') ? `[${text}]` : text}:${port}/${protocolName(protocol)}`
}

function frontendText(datapath: MemoryDatapath, frontend: Frontend): string {
  const { frontendFlags, withoutBackend } = datapath.schema
  const { service, affinity_seconds: seconds, flags } = frontend
  const set = Object.entries(frontendFlags.number).filter(([, bit]) => flags & bit)
  const words = set.map(([flag]) => flag.toLowerCase().replaceAll('_', ' '))
  if (words.includes('reservation')) return 'reservation'
  const [cluster, outside] = frontend.backends.map((range, kind) =>
    range.count === 0
      ? withoutBackend.text(frontend.without[kind] ?? 0).toLowerCase()
      : `backends ${[...new Set(slotsIn(datapath, range))].sort((a, b) => a - b).join(' ')}`,
  )
  return [
    `service ${service}`,
    ...(words.length > 0 ? [words.join(', ')] : []),
    ...(seconds > 0 ? [`affinity ${seconds} s`] : []),
    `${cluster}`,
    ...(outside === cluster ? [] : [`outside: ${outside}`]),
  ].join('; ')
}

/** Slots one by one or, of a Maglev table, the backends in it. */
function rangeText(datapath: MemoryDatapath, range: BackendRange): string {
  const { first, count } = range
  const slots = slotsIn(datapath, range)
  const where = `${first}-${first + count - 1}`
  if (count <= 32) return `${where}: ${slots.join(' ')}`
  return `${where}: ${[...new Set(slots)].sort((a, b) => a - b).join(' ')} in turns`
}

/** Ids of the backends in a range. */
export function slotsIn(datapath: MemoryDatapath, { first, count }: BackendRange): number[] {
  const { PAGE_LENGTH: length } = datapath.schema.slotPages.number
  const page = datapath.openSlotPage(Math.floor(first / length))
  return Array.from({ length: count }, (_, i) => page?.get((first % length) + i) ?? 0)
}
