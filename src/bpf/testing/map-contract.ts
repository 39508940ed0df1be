// What every `BpfMap` promises, as one suite: run against the map in memory
// (memory-map.test.ts, no root) and the map in the kernel
// (test/bpf/kernel-map.test.ts). `make` gives an empty map of a declaration.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BpfError, type BpfMap, CodecError, MapFullError, type MapReference, type MapSpec } from '../index.ts'

export type Suite = {
  readonly spec: (name: string) => MapSpec
  readonly make: <Key, Value, Input = Value>(spec: MapSpec) => BpfMap<Key, Value, Input>
  readonly cpus: number
  /** Things a program array may hold. */
  readonly programs: () => readonly MapReference[]
  /** Descriptors of two sockets. */
  readonly sockets: () => readonly [number, number]
  readonly skip: string | false
}

const failsWith = (code: string) => (error: unknown) => error instanceof BpfError && error.code === code
const sorted = <Item>(items: Iterable<Item>): Item[] =>
  [...items].sort((a, b) => JSON.stringify(a, plain).localeCompare(JSON.stringify(b, plain)))
const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value)

export function mapContract(title: string, suite: Suite): void {
  describe(`${title}: contract of a map`, { skip: suite.skip }, () => {
    const make = <Key, Value, Input = Value>(name: string) => suite.make<Key, Value, Input>(suite.spec(name))

    for (const name of ['a_hash', 'a_lru_hash']) {
      test(`${name}: set, get, delete`, () => {
        const map = make<number, bigint>(name)
        assert.equal(map.get(1), undefined)
        map.set(1, 10n)
        map.set(1, 11n)
        assert.equal(map.get(1), 11n)
        assert.equal(map.delete(1), true)
        assert.equal(map.delete(1), false)
        assert.equal(map.get(1), undefined)
        assert.equal(map.count(), 0)
      })

      test(`${name}: update modes`, () => {
        const map = make<number, bigint>(name)
        assert.throws(() => map.set(1, 1n, 'exist'), failsWith('ENOENT'))
        map.set(1, 1n, 'noexist')
        assert.throws(() => map.set(1, 2n, 'noexist'), failsWith('EEXIST'))
        map.set(1, 3n, 'exist')
        assert.equal(map.get(1), 3n)
        assert.throws(
          () =>
            map.updateBatch(
              [
                [2, 1n],
                [1, 4n],
              ],
              'noexist',
            ),
          failsWith('EEXIST'),
        )
        assert.equal(map.get(2), 1n)
        assert.equal(
          map.updateBatch(
            [
              [1, 5n],
              [2, 5n],
            ],
            'exist',
          ),
          2,
        )
      })

      test(`${name}: batches`, async () => {
        const map = make<number, bigint>(name)
        const entries = [1, 2, 3, 4].map(n => [n, BigInt(n) * 10n] as const)
        assert.equal(map.updateBatch(entries), 4)
        assert.deepEqual(
          sorted(map.lookupBatch()),
          entries.map(entry => [...entry]),
        )
        assert.deepEqual(
          sorted(map.entries()),
          entries.map(entry => [...entry]),
        )
        assert.deepEqual(sorted(map.keys()), [1, 2, 3, 4])
        assert.equal(map.count(), 4)
        assert.equal(map.fill(), 0.5)
        assert.equal(map.deleteBatch([9, 1, 8, 2, 7]), 2, 'missing keys are passed over')
        assert.deepEqual(sorted(map.keys()), [3, 4])
        assert.equal(
          await map.updateBatchAsync([
            [5, 50n],
            [3, 33n],
          ]),
          2,
        )
        assert.equal(map.get(3), 33n)
        assert.equal(await map.deleteBatchAsync([6, 5, 3]), 2)
        assert.equal(map.updateBatch([]), 0)
        assert.equal(map.deleteBatch([]), 0)
        map.clear()
        assert.deepEqual([...map.entries()], [])
      })
    }

    test('hash: a full map says so and keeps what it has', async () => {
      const map = make<number, bigint>('a_hash')
      const ten = Array.from({ length: 10 }, (_, n) => [n, 0n] as const)
      assert.throws(
        () => map.updateBatch(ten),
        (error: unknown) => {
          assert.ok(error instanceof MapFullError)
          assert.deepEqual([error.map, error.maxEntries, error.done, error.code], ['a_hash', 8, 8, 'E2BIG'])
          return true
        },
      )
      assert.equal(map.count(), 8)
      assert.equal(map.fill(), 1)
      assert.throws(() => map.set(100, 1n), MapFullError)
      map.set(1, 7n)
      assert.equal(map.get(1), 7n, 'what is there can still be changed')
      map.delete(2)
      await assert.rejects(
        map.updateBatchAsync([
          [50, 1n],
          [51, 1n],
        ]),
        (error: unknown) => error instanceof MapFullError && error.done === 1,
      )
      assert.equal(map.get(50), 1n)
    })

    test('LRU hash: never full, forgets instead', () => {
      const map = make<number, bigint>('a_lru_hash')
      for (let n = 0; n < 1000; n++) map.set(n, BigInt(n))
      assert.ok(map.count() <= 8)
      assert.equal(map.get(999), 999n)
    })

    test('longest-prefix trie: get answers with the longest covering prefix, delete wants the exact one', () => {
      const map = make<{ prefixlen: number; address: Uint8Array }, number>('an_lpm_trie')
      const prefix = (prefixlen: number, ...address: number[]) => ({ prefixlen, address: Uint8Array.from(address) })
      map.set(prefix(8, 10, 0, 0, 0), 8)
      map.set(prefix(24, 10, 1, 2, 0), 24)
      map.set(prefix(32, 10, 1, 2, 3), 32)
      assert.equal(map.get(prefix(32, 10, 1, 2, 3)), 32)
      assert.equal(map.get(prefix(32, 10, 1, 2, 4)), 24)
      assert.equal(map.get(prefix(32, 10, 9, 9, 9)), 8)
      assert.equal(map.get(prefix(24, 10, 1, 2, 0)), 24, 'no longer than the key itself')
      assert.equal(map.get(prefix(32, 11, 0, 0, 0)), undefined)
      assert.equal(map.delete(prefix(16, 10, 1, 0, 0)), false)
      assert.equal(map.delete(prefix(24, 10, 1, 2, 0)), true)
      assert.equal(map.get(prefix(32, 10, 1, 2, 4)), 8)
      map.set(prefix(0, 0, 0, 0, 0), 0)
      assert.equal(map.get(prefix(32, 200, 0, 0, 1)), 0)
      map.set(prefix(8, 10, 7, 7, 7), 88)
      assert.equal(map.get(prefix(32, 10, 9, 9, 9)), 88, 'bits behind the prefix do not count')
      assert.equal(map.count(), 3)
      assert.throws(() => map.set(prefix(33, 1, 1, 1, 1), 1), failsWith('EINVAL'))
      assert.equal(map.get(prefix(33, 10, 1, 2, 3)), undefined)
    })

    test('longest-prefix trie: batches, fullness', async () => {
      const map = make<{ prefixlen: number; address: Uint8Array }, number>('an_lpm_trie')
      const entry = (n: number) => [{ prefixlen: 32, address: Uint8Array.of(10, 0, 0, n) }, n] as const
      assert.equal(map.updateBatch([1, 2, 3, 4].map(entry)), 4)
      assert.equal(await map.updateBatchAsync([5, 6].map(entry)), 2)
      assert.deepEqual(sorted(map.lookupBatch().map(([, value]) => value)), [1, 2, 3, 4, 5, 6])
      assert.throws(
        () => map.updateBatch([7, 8, 9].map(entry)),
        (error: unknown) => error instanceof MapFullError && error.code === 'ENOSPC' && error.done === 2,
      )
      assert.equal(map.deleteBatch([1, 11, 2].map(n => entry(n)[0])), 2)
      assert.equal(map.count(), 6)
      map.clear()
      assert.equal(map.count(), 0)
    })

    test('array: all elements exist, none can be deleted', () => {
      const map = make<number, bigint>('an_array')
      assert.equal(map.get(3), 0n)
      assert.equal(map.get(8), undefined)
      map.set(3, 33n)
      assert.equal(map.get(3), 33n)
      assert.equal(map.count(), 8)
      assert.equal(map.fill(), 1)
      assert.deepEqual([...map.entries()][3], [3, 33n])
      assert.throws(() => map.set(8, 1n), failsWith('E2BIG'))
      assert.throws(() => map.set(1, 1n, 'noexist'), failsWith('EEXIST'))
      assert.throws(() => map.delete(3), failsWith('EINVAL'))
      assert.equal(
        map.updateBatch([
          [0, 1n],
          [7, 8n],
        ]),
        2,
      )
      assert.equal(map.get(7), 8n)
      map.clear()
      assert.equal(map.get(3), 0n)
    })

    for (const name of ['a_percpu_hash', 'a_percpu_array'])
      test(`${name}: a value for every possible CPU`, async () => {
        const map = make<number, number[]>(name)
        const values = Array.from({ length: suite.cpus }, (_, cpu) => 100 + cpu)
        map.set(2, values)
        assert.deepEqual(map.get(2), values)
        assert.deepEqual(new Map(map.entries()).get(2), values)
        assert.throws(() => map.set(2, [...values, 1]), CodecError)
        assert.equal(map.updateBatch([[3, values.map(value => value + 1)]]), 1)
        assert.equal(await map.updateBatchAsync([[4, values]]), 1)
        assert.equal(map.get(3)?.[0], 101)
        assert.equal(map.valueBytes, 8 * suite.cpus)
      })

    test('hash of maps: takes maps, gives back their ids', async () => {
      const outerSpec = suite.spec('a_hash_of_maps')
      const { inner: innerSpec } = outerSpec
      assert.ok(innerSpec)
      const outer = suite.make<number, number, MapReference>(outerSpec)
      const first = suite.make<number, number>(innerSpec)
      const second = suite.make<number, number>(innerSpec)
      outer.set(1, first)
      assert.equal(outer.get(1), first.id)
      assert.equal(
        await outer.updateBatchAsync([
          [1, second],
          [2, first],
          [3, second],
        ]),
        3,
      )
      assert.deepEqual(sorted(outer.entries()), [
        [1, second.id],
        [2, first.id],
        [3, second.id],
      ])
      assert.throws(() => outer.set(4, 17 as never), CodecError)
      assert.throws(() => outer.set(1, first, 'noexist'), failsWith('EEXIST'))
      assert.equal(await outer.deleteBatchAsync([1, 9, 3]), 2)
      assert.deepEqual([...outer.keys()], [2])
      assert.equal(outer.count(), 1)
    })

    test('array of maps: slots start empty', () => {
      const outerSpec = suite.spec('an_array_of_maps')
      const { inner: innerSpec } = outerSpec
      assert.ok(innerSpec)
      const outer = suite.make<number, number, MapReference>(outerSpec)
      const first = suite.make<number, number>(innerSpec)
      assert.equal(outer.get(0), undefined)
      assert.equal(outer.updateBatch([[5, first]]), 1)
      assert.deepEqual([...outer.entries()], [[5, first.id]])
      assert.equal(outer.count(), 1)
      assert.throws(() => outer.set(8, first), failsWith('E2BIG'))
      assert.throws(() => outer.set(5, first, 'noexist'), failsWith('EINVAL'))
      assert.equal(outer.deleteBatch([4, 5]), 1)
      assert.equal(outer.delete(5), false)
      outer.set(1, first)
      outer.clear()
      assert.equal(outer.count(), 0)
    })

    test('program array: takes programs, gives back their ids', async () => {
      const map = make<number, number, MapReference>('a_prog_array')
      const [first, second] = suite.programs()
      assert.ok(first && second)
      map.set(0, first)
      assert.equal(map.get(0), first.id)
      assert.equal(
        await map.updateBatchAsync([
          [0, second],
          [7, first],
        ]),
        2,
      )
      assert.deepEqual(
        [...map.entries()],
        [
          [0, second.id],
          [7, first.id],
        ],
      )
      assert.throws(() => map.set(8, first), failsWith('E2BIG'))
      assert.equal(map.delete(0), true)
      assert.equal(map.delete(0), false)
      assert.deepEqual([...map.keys()], [7])
    })

    test('socket storage: keyed by the descriptor of a socket, cannot be listed', () => {
      const map = make<number, { port: number; address: number }>('a_socket_storage')
      const [first, second] = suite.sockets()
      assert.equal(map.get(first), undefined)
      map.set(first, { port: 80, address: 0x7f000001 })
      assert.deepEqual(map.get(first), { port: 80, address: 0x7f000001 })
      assert.equal(map.get(second), undefined)
      assert.equal(map.updateBatch([[second, { port: 443, address: 1 }]]), 1)
      assert.equal(map.get(second)?.port, 443)
      assert.throws(() => map.set(first, { port: 1, address: 1 }, 'noexist'), failsWith('EEXIST'))
      assert.throws(() => [...map.entries()], failsWith('ENOTSUPP'))
      assert.throws(() => map.count(), failsWith('ENOTSUPP'))
      assert.equal(map.delete(first), true)
      assert.equal(map.delete(first), false)
    })

    test('ring buffer: has no elements', () => {
      const map = make<Uint8Array, Uint8Array>('a_ring')
      const nothing = new Uint8Array(0)
      assert.throws(() => map.get(nothing), failsWith('ENOTSUPP'))
      assert.throws(() => map.set(nothing, nothing), failsWith('ENOTSUPP'))
      assert.throws(() => map.delete(nothing), failsWith('ENOTSUPP'))
      assert.throws(() => [...map.keys()], failsWith('ENOTSUPP'))
      assert.throws(() => map.updateBatch([[nothing, nothing]]), failsWith('ENOTSUPP'))
      assert.throws(() => map.deleteBatch([nothing]), failsWith('ENOTSUPP'))
    })

    test('raw access: the same elements as bytes, without an object for each', () => {
      const map = make<number, bigint>('a_hash')
      const key = Uint8Array.of(1, 0, 0, 0)
      const into = new Uint8Array(8)
      assert.equal(map.getRaw(key, into), false)
      map.setRaw(key, Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0))
      assert.equal(map.get(1), 258n)
      assert.equal(map.getRaw(key, into), true)
      assert.deepEqual([...into], [2, 1, 0, 0, 0, 0, 0, 0])
      map.set(2, 7n)
      const seen = new Map<number, bigint>()
      map.forEachRaw((keys, keyOffset, values, valueOffset) => {
        seen.set(keys.getUint32(keyOffset, true), values.getBigUint64(valueOffset, true))
      })
      assert.deepEqual(sorted(seen), [
        [1, 258n],
        [2, 7n],
      ])
      assert.throws(() => map.setRaw(key, into, 'noexist'), failsWith('EEXIST'))
      assert.throws(() => map.setRaw(Uint8Array.of(1), into), RangeError)
      assert.throws(() => map.getRaw(key, new Uint8Array(4)), RangeError)
      assert.equal(map.deleteRaw(key), true)
      assert.equal(map.deleteRaw(key), false)
    })

    test('untyped keys and values are raw bytes', () => {
      const map = make<Uint8Array, Uint8Array>('untyped')
      map.set(Uint8Array.of(1, 2, 3), Uint8Array.of(5, 4, 3, 2, 1))
      assert.deepEqual([...map.entries()], [[Uint8Array.of(1, 2, 3), Uint8Array.of(5, 4, 3, 2, 1)]])
      assert.throws(() => map.get(Uint8Array.of(1)), CodecError)
    })

    test('a value that does not fit changes nothing', () => {
      const map = make<number, bigint>('a_hash')
      map.set(1, 1n)
      assert.throws(() => map.set(1, -1n), CodecError)
      assert.throws(() => map.set(-1, 1n), CodecError)
      assert.throws(
        () =>
          map.updateBatch([
            [2, 2n],
            [3, -1n],
          ]),
        CodecError,
      )
      assert.deepEqual([...map.entries()], [[1, 1n]])
    })
  })
}
