// The map in the kernel: the contract every map keeps, and what only the kernel has.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import {
  BpfError,
  createMap,
  KernelMap,
  loadObject,
  MapMismatchError,
  type MapReference,
  type MapSpec,
  possibleCpus,
} from '../../src/bpf/index.ts'
import { mapContract } from '../../src/bpf/testing/map-contract.ts'
import { check } from '../../src/sys/errors.ts'
import { close, SYSCALL, syscall } from '../../src/sys/native.ts'
import { loadSpec, needsRoot } from './support.ts'

const opened: Disposable[] = []
after(() => {
  for (const resource of opened) resource[Symbol.dispose]()
})
const keep = <Resource extends Disposable>(resource: Resource): Resource => {
  opened.push(resource)
  return resource
}

const object = needsRoot ? undefined : loadSpec('maps')

mapContract('kernel', {
  skip: needsRoot,
  cpus: possibleCpus(),
  spec: name => {
    const spec = object?.maps.get(name)
    assert.ok(spec, name)
    return spec
  },
  make: <Key, Value, Input>(spec: MapSpec) => keep(createMap<Key, Value, Input>(spec)),
  programs: () => {
    const programs = keep(loadObject(loadSpec('programs'), { programs: ['constant', 'range'] }))
    return [programs.program('constant'), programs.program('range')] satisfies MapReference[]
  },
  sockets: () => [keep(udpSocket()).fd, keep(udpSocket()).fd],
})

/** A UDP socket by the number of its descriptor, bound to nothing. */
function udpSocket(): Disposable & { readonly fd: number } {
  const fd = check('make a socket', syscall(SYSCALL.socket, 2, 2, 0))
  return { fd, [Symbol.dispose]: () => void close(fd) }
}

describe('kernel map', { skip: needsRoot }, () => {
  const spec = (name: string) => {
    const found = object?.maps.get(name)
    assert.ok(found)
    return found
  }

  test('after close every operation fails with EBADF', async () => {
    const map = createMap<number, bigint>(spec('a_hash'))
    map.close()
    map.close()
    const badDescriptor = (error: unknown) => error instanceof BpfError && error.code === 'EBADF'
    assert.throws(() => map.get(1), badDescriptor)
    assert.throws(() => map.set(1, 1n), badDescriptor)
    assert.throws(() => map.delete(1), badDescriptor)
    assert.throws(() => [...map.keys()], badDescriptor)
    assert.throws(() => map.updateBatch([[1, 1n]]), badDescriptor)
    await assert.rejects(map.updateBatchAsync([[1, 1n]]), badDescriptor)
  })

  test('closing during an asynchronous batch lets the batch end', async () => {
    const map = createMap<number, bigint>(spec('a_hash'), { maxEntries: 50_000 })
    using other = KernelMap.byId<number, bigint>(map.id, spec('a_hash'))
    const working = map.updateBatchAsync(Array.from({ length: 10_000 }, (_, n) => [n, 1n] as const))
    map.close()
    assert.equal(await working, 10_000)
    assert.equal(other.count(), 10_000)
  })

  test('a large map is read whole, in batches and one by one', () => {
    using map = createMap<number, bigint>(spec('a_hash'), { maxEntries: 50_000 })
    const entries = Array.from({ length: 40_000 }, (_, n) => [n, BigInt(n)] as const)
    assert.equal(map.updateBatch(entries), 40_000)
    assert.equal(map.count(), 40_000)
    let sum = 0n
    map.forEachRaw((_keys, _keyOffset, values, valueOffset) => {
      sum += values.getBigUint64(valueOffset, true)
    })
    assert.equal(sum, (40_000n * 39_999n) / 2n)
    assert.equal(map.deleteBatch(map.keys()), 40_000)
    assert.equal(map.count(), 0)
  })

  test('an inner map is found again by its id', () => {
    const outerSpec = spec('a_hash_of_maps')
    assert.ok(outerSpec.inner)
    using outer = createMap<number, number, KernelMap<number, number>>(outerSpec)
    {
      using inner = createMap<number, number>(outerSpec.inner, { name: 'found_again' })
      inner.set(1, 11)
      outer.set(7, inner)
    }
    const id = outer.get(7)
    assert.ok(id)
    using again = KernelMap.byId<number, number>(id, outerSpec.inner)
    assert.equal(again.get(1), 11)
  })

  test('an asynchronous swap of inner maps leaves the event loop turning', async () => {
    const outerSpec = spec('a_hash_of_maps')
    assert.ok(outerSpec.inner)
    using outer = createMap<number, number, KernelMap>(outerSpec)
    using inner = createMap(outerSpec.inner)
    let turns = 0
    let turning = true
    const turn = (): void => {
      turns++
      if (turning) setImmediate(turn)
    }
    setImmediate(turn)
    // Each swap waits for a grace period of the kernel.
    for (let swap = 0; swap < 5; swap++) await outer.updateBatchAsync([[1, inner]])
    turning = false
    assert.equal(outer.get(1), inner.id)
    assert.ok(turns > 0)
  })

  test('a map without types is raw bytes, whatever its declaration says', () => {
    using map = createMap<number, bigint>(spec('a_hash'))
    map.set(1, 2n)
    using raw = KernelMap.byId<Uint8Array, Uint8Array>(map.id)
    assert.deepEqual(raw.get(Uint8Array.of(1, 0, 0, 0)), Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0))
    assert.equal(raw.name, 'a_hash')
    const mismatch = (field: string) => (error: unknown) => error instanceof MapMismatchError && error.field === field
    assert.throws(() => KernelMap.byId(map.id, spec('an_lpm_trie')), mismatch('type'))
    assert.throws(() => KernelMap.byId(map.id, spec('untyped')), mismatch('keySize'))
    assert.throws(() => KernelMap.byId(map.id, spec('everything')), mismatch('valueSize'))
  })
})
