// A map's declaration: what `struct { __uint(type, …); … } name SEC(".maps")`
// says, read from BTF. In that notation a number is the length of an array behind
// a pointer and a type is the target of a pointer (bpf_helpers.h of libbpf).

import type { Btf } from './btf.ts'
import { isMapOfMaps, type MapType, mapTypeName } from './constants.ts'
import { FormatError } from './errors.ts'

export type MapSpec = {
  readonly name: string
  readonly type: MapType
  /** Bytes. */
  readonly keySize: number
  /** Bytes; of one CPU's value in a per-CPU map. */
  readonly valueSize: number
  readonly maxEntries: number
  /** `MAP_FLAG` bits. */
  readonly flags: number
  /** BTF type ids of key and value, where declared by type and not by size. */
  readonly keyType?: number
  readonly valueType?: number
  /** What every map inside a map of maps looks like. */
  readonly inner?: MapSpec
  /** Declared `__uint(pinning, LIBBPF_PIN_BY_NAME)`. */
  readonly pinByName: boolean
  readonly btf?: Btf
}

/** @throws FormatError for a declaration of unknown form */
export function readMapSpec(btf: Btf, name: string, typeId: number, nested = false): MapSpec {
  const declaration = btf.resolve(typeId)
  if (declaration.kind !== 'struct')
    throw new FormatError(`map ${name}: declared as a ${declaration.kind}, not a struct`)
  const numbers = new Map<string, number>()
  const types = new Map<string, number>()
  let inner: MapSpec | undefined
  for (const member of declaration.members) {
    if (member.name === 'key' || member.name === 'value') types.set(member.name, pointerTarget(btf, name, member.type))
    else if (member.name === 'values') inner = readInner(btf, name, member.type, nested)
    else numbers.set(member.name, declaredNumber(btf, name, member.type))
  }

  const number = numbers.get('type') ?? 0
  const type = mapTypeName(number)
  if (!type) throw new FormatError(`map ${name}: unknown map type ${number}`)
  if (isMapOfMaps(type) && !inner)
    throw new FormatError(`map ${name}: declares no inner map (__array(values, struct …))`)
  const sizeOf = (part: string): number => {
    const declared = types.get(part)
    return declared === undefined ? (numbers.get(`${part}_size`) ?? defaultSize(type)) : btf.sizeOf(declared)
  }
  const keyType = types.get('key')
  const valueType = types.get('value')
  return {
    name,
    type,
    keySize: sizeOf('key'),
    valueSize: inner ? 4 : sizeOf('value'),
    maxEntries: numbers.get('max_entries') ?? 0,
    flags: numbers.get('map_flags') ?? 0,
    pinByName: numbers.get('pinning') === 1,
    btf,
    ...(keyType === undefined ? {} : { keyType }),
    ...(valueType === undefined ? {} : { valueType }),
    ...(inner ? { inner } : {}),
  }
}

/** Maps of descriptors have keys and values of four bytes whether or not they say so; a ring buffer has neither. */
const defaultSize = (type: MapType): number =>
  type === 'prog_array' || type === 'array_of_maps' || type === 'perf_event_array' ? 4 : 0

function pointerTarget(btf: Btf, map: string, typeId: number): number {
  const pointer = btf.resolve(typeId)
  if (pointer.kind !== 'pointer') throw new FormatError(`map ${map}: a ${pointer.kind} where a pointer is expected`)
  return pointer.target
}

function declaredNumber(btf: Btf, map: string, typeId: number): number {
  const array = btf.resolve(pointerTarget(btf, map, typeId))
  if (array.kind !== 'array') throw new FormatError(`map ${map}: a ${array.kind} where a number is expected`)
  return array.length
}

function readInner(btf: Btf, map: string, typeId: number, nested: boolean): MapSpec | undefined {
  const array = btf.resolve(typeId)
  if (array.kind !== 'array') throw new FormatError(`map ${map}: its values are not an array`)
  const target = btf.resolve(pointerTarget(btf, map, array.element))
  if (target.kind !== 'struct') return undefined // a program array declares functions here
  if (nested) throw new FormatError(`map ${map}: maps nest only one level deep`)
  return readMapSpec(btf, `${map}.inner`, target.id, true)
}
