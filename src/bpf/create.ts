// Creates maps in the kernel from their declaration: those of an object while it
// is loaded, and inner maps for a map of maps at any later time.

import { isMapOfMaps, MAP_TYPE, type MapType } from './constants.ts'
import { KernelBtf } from './kernel-btf.ts'
import { KernelMap } from './kernel-map.ts'
import type { MapSpec } from './map-spec.ts'
import { mapCreate, succeed } from './syscalls.ts'

export type CreateOptions = {
  /** Instead of the declared number of entries. */
  readonly maxEntries?: number
  /** Name the kernel shows: its first 15 bytes. Default: the declared name. */
  readonly name?: string
  /** Type information for `bpftool map dump`; without it the map is created untyped (socket storage loads its own). */
  readonly btf?: KernelBtf
}

/** Map types whose elements are descriptors or have no layout: the kernel takes no BTF for them. */
const UNTYPED: ReadonlySet<MapType> = new Set([
  'prog_array',
  'perf_event_array',
  'cgroup_array',
  'stack_trace',
  'array_of_maps',
  'hash_of_maps',
  'devmap',
  'devmap_hash',
  'cpumap',
  'xskmap',
  'sockmap',
  'sockhash',
  'queue',
  'stack',
  'ringbuf',
])

/** @throws BpfError (EINVAL where the kernel refuses the declaration), PermissionError */
export function createMap<Key = unknown, Value = unknown, Input = Value>(
  spec: MapSpec,
  options: CreateOptions = {},
): KernelMap<Key, Value, Input> {
  const ownBtf = spec.type === 'sk_storage' && !options.btf && spec.btf ? KernelBtf.load(spec.btf) : undefined
  try {
    const inner = isMapOfMaps(spec.type) && spec.inner ? createMap(spec.inner) : undefined
    try {
      return KernelMap.adopt(createFd(spec, options, options.btf ?? ownBtf, inner?.fd), spec)
    } finally {
      inner?.close()
    }
  } finally {
    ownBtf?.close()
  }
}

function createFd(spec: MapSpec, options: CreateOptions, btf: KernelBtf | undefined, innerMapFd?: number): number {
  const typed = btf && !UNTYPED.has(spec.type) && (spec.keyType !== undefined || spec.valueType !== undefined)
  const maxEntries = options.maxEntries ?? spec.maxEntries
  const fd = mapCreate({
    type: MAP_TYPE[spec.type],
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries,
    flags: spec.flags,
    name: options.name ?? spec.name,
    ...(innerMapFd === undefined ? {} : { innerMapFd }),
    ...(typed ? { btf: { fd: btf.fd, keyType: spec.keyType ?? 0, valueType: spec.valueType ?? 0 } } : {}),
  })
  const shape = `${spec.type}, key ${spec.keySize}, value ${spec.valueSize}, max_entries ${maxEntries}, flags ${spec.flags}`
  return succeed(`create map ${spec.name}`, fd, shape)
}
