// The map in memory keeps the contract of every map. Declarations are written
// out here, so that no compiler is needed.

import assert from 'node:assert/strict'
import { MAP_FLAG } from './constants.ts'
import type { MapSpec } from './map-spec.ts'
import { MemoryMap } from './memory-map.ts'
import { BtfWriter } from './testing/btf-writer.ts'
import { mapContract } from './testing/map-contract.ts'

const writer = new BtfWriter()
const u8 = writer.int('unsigned char', 1)
const u32 = writer.int('unsigned int', 4)
const u64 = writer.int('unsigned long long', 8)
const prefix = writer.struct('prefix', 8, [
  ['prefixlen', u32, 0],
  ['address', writer.array(u8, 4), 4],
])
const nested = writer.struct('nested', 8, [
  ['port', u32, 0],
  ['address', u32, 4],
])
const btf = writer.btf()

const map = (
  name: string,
  type: MapSpec['type'],
  key?: number,
  value?: number,
  more: Partial<MapSpec> = {},
): MapSpec => ({
  name,
  type,
  keySize: key === undefined ? 4 : btf.sizeOf(key),
  valueSize: value === undefined ? 4 : btf.sizeOf(value),
  maxEntries: 8,
  flags: 0,
  pinByName: false,
  btf,
  ...(key === undefined ? {} : { keyType: key }),
  ...(value === undefined ? {} : { valueType: value }),
  ...more,
})
const inner = map('inner', 'hash', u32, u32, { maxEntries: 4 })
const specs = [
  map('a_hash', 'hash', u32, u64),
  map('a_lru_hash', 'lru_hash', u32, u64),
  map('an_lpm_trie', 'lpm_trie', prefix, u32, { flags: MAP_FLAG.NO_PREALLOC }),
  map('an_array', 'array', u32, u64),
  map('a_percpu_hash', 'percpu_hash', u32, u32),
  map('a_percpu_array', 'percpu_array', u32, u32),
  map('a_hash_of_maps', 'hash_of_maps', u32, undefined, { inner }),
  map('an_array_of_maps', 'array_of_maps', undefined, undefined, { inner }),
  map('a_prog_array', 'prog_array'),
  map('a_socket_storage', 'sk_storage', u32, nested, { maxEntries: 0 }),
  map('a_ring', 'ringbuf', undefined, undefined, { keySize: 0, valueSize: 0, maxEntries: 4096 }),
  map('untyped', 'hash', undefined, undefined, { keySize: 3, valueSize: 5 }),
]

const CPUS = 3

mapContract('memory', {
  skip: false,
  cpus: CPUS,
  spec: name => {
    const spec = specs.find(one => one.name === name)
    assert.ok(spec, name)
    return spec
  },
  make: spec => MemoryMap.create(spec, CPUS),
  programs: () => [{ id: 1001 }, { id: 1002 }],
  sockets: () => [11, 12],
})
