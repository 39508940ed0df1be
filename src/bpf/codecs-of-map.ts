// Which codecs a map's elements need, from its declaration: by BTF type where it
// has one, raw bytes where it does not, arrays for per-CPU values, references for
// maps and programs held in a map.

import { readFileSync } from 'node:fs'
import { bytesCodec, compileCodec } from './codec.ts'
import { isIndexed, isMapOfMaps, isPerCpu, type MapType } from './constants.ts'
import { CodecError } from './errors.ts'
import { integerCodec } from './integers.ts'
import type { MapReference } from './map.ts'
import type { MapSpec } from './map-spec.ts'
import { type Codec, describe } from './value.ts'

export type ElementCodecs = { readonly key: Codec<unknown>; readonly value: Codec<unknown> }
type Layout = Pick<MapSpec, 'name' | 'type' | 'keySize' | 'valueSize' | 'keyType' | 'valueType' | 'btf'>

/** @param referenceOf what a map or program is called where the elements live: its descriptor, or its id */
export function elementCodecs(
  map: Layout,
  cpus: number,
  referenceOf: (reference: MapReference) => number | undefined,
): ElementCodecs {
  const key = isIndexed(map.type)
    ? integerCodec(4, false, false, `key of map ${map.name}`)
    : typedCodec(map, map.keyType, map.keySize, 'key')
  if (holdsReferences(map.type)) return { key, value: referenceCodec(map.name, referenceOf) }
  const value = typedCodec(map, map.valueType, map.valueSize, 'value')
  return { key, value: isPerCpu(map.type) ? perCpuCodec(value, cpus, map.name) : value }
}

export const holdsReferences = (type: MapType): boolean => isMapOfMaps(type) || type === 'prog_array'

function typedCodec(map: Layout, typeId: number | undefined, size: number, part: string): Codec<unknown> {
  const label = `${part} of map ${map.name}`
  if (map.btf && typeId !== undefined && map.btf.resolve(typeId).kind !== 'section')
    return compileCodec(map.btf, typeId, label)
  return bytesCodec(size, label)
}

/** The kernel exchanges one value for every possible CPU, each rounded up to eight bytes. */
export function perCpuCodec(value: Codec<unknown>, cpus: number, map: string): Codec<unknown> {
  const stride = (value.size + 7) & ~7
  return {
    size: stride * cpus,
    encode(values, view, offset) {
      if (!Array.isArray(values) || values.length !== cpus)
        throw new CodecError(`value of map ${map}`, `wants an array of ${cpus} (one a CPU), got ${describe(values)}`)
      values.forEach((one, cpu) => value.encode(one, view, offset + cpu * stride))
    },
    decode: (view, offset) => Array.from({ length: cpus }, (_, cpu) => value.decode(view, offset + cpu * stride)),
  }
}

function referenceCodec(map: string, referenceOf: (reference: MapReference) => number | undefined): Codec<unknown> {
  return {
    size: 4,
    encode(value, view, offset) {
      const reference = typeof value === 'object' && value !== null ? referenceOf(value as MapReference) : undefined
      if (reference === undefined)
        throw new CodecError(`value of map ${map}`, `wants a map or program, got ${describe(value)}`)
      view.setUint32(offset, reference, true)
    },
    decode: (view, offset) => view.getUint32(offset, true),
  }
}

let cpuCount: number | undefined

/** Number of CPUs this machine could ever have: what per-CPU values are counted by. */
export function possibleCpus(): number {
  cpuCount ??= readFileSync('/sys/devices/system/cpu/possible', 'utf8')
    .trim()
    .split(',')
    .reduce((total, range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return total + last - first + 1
    }, 0)
  return cpuCount
}
