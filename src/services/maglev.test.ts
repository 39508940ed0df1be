// Maglev tables: how even they are, how little of them changes, and that every node has
// the same ones.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ip } from '../ip/index.ts'
import { flowHash, slotOfHash } from './index.ts'
import { MAGLEV_TABLE_SIZES, type MaglevBackend, maglevLeeway, maglevTable } from './maglev.ts'

const TCP = 6

const backendsFrom = (first: number, count: number, weightOf: (i: number) => number = () => 1): MaglevBackend[] =>
  Array.from({ length: count }, (_, i) => {
    const number = first + i
    return {
      address: `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`,
      port: 8080,
      weight: weightOf(i),
    }
  })

const without = (backends: readonly MaglevBackend[], gone: number): MaglevBackend[] => backends.toSpliced(gone, 1)

function countSlots(table: Uint32Array, backends: readonly MaglevBackend[]): number[] {
  const counts = backends.map(() => 0)
  for (const index of table) counts[index] = (counts[index] ?? 0) + 1
  return counts
}

/** A table of 100 slots a backend at least, at any size, and any first address. */
const setting = fc.record({
  size: fc.constantFrom(...MAGLEV_TABLE_SIZES.slice(0, 8)),
  fill: fc.double({ min: 0, max: 1, noNaN: true }),
  first: fc.integer({ min: 1, max: 0xff_ffff }),
  weights: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 }),
})
const countIn = ({ size, fill }: { size: number; fill: number }): number =>
  2 + Math.floor(fill * (Math.floor(size / 100) - 2))

test('each backend has its share of the slots, up to the leeway', () => {
  fc.assert(
    fc.property(setting, fc.boolean(), (given, isWeighted) => {
      const { size, first, weights } = given
      const weightOf = (i: number): number => (isWeighted ? (weights[i % weights.length] ?? 1) : 1)
      const backends = backendsFrom(first, countIn(given), weightOf)
      const total = backends.reduce((sum, { weight }) => sum + weight, 0)
      const counts = countSlots(maglevTable(backends, TCP, size), backends)
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        size,
      )
      for (const [i, count] of counts.entries()) {
        const share = (size * weightOf(i)) / total
        assert.ok(Math.abs(count - share) <= maglevLeeway(share) + 2, `backend ${i}: ${count} slots for ${share}`)
      }
    }),
    { numRuns: 60 },
  )
})

test('when a backend goes, at most 1% of the flows of the others move: all sizes, 1,000,000 random flows', () => {
  const hashes = randomFlowHashes(1_000_000)
  for (const size of MAGLEV_TABLE_SIZES) {
    for (const count of new Set([2, 3, Math.ceil(size / 1000), Math.ceil(size / 300), Math.floor(size / 100)])) {
      if (count < 2) continue
      const backends = backendsFrom(size * 7, count)
      const moved = movedFlows(backends, count >> 1, size, hashes)
      assert.ok(moved <= 0.01, `${size} slots, ${count} backends: ${(moved * 100).toFixed(2)}% moved`)
    }
  }
})

test('when any backend of any weight goes, at most 1% of the slots of the others change', () => {
  fc.assert(
    fc.property(setting, fc.nat(), fc.boolean(), (given, gone, isWeighted) => {
      const weightOf = (i: number): number => (isWeighted ? (given.weights[i % given.weights.length] ?? 1) : 1)
      const backends = backendsFrom(given.first, countIn(given), weightOf)
      const { kept, changed } = changedSlots(backends, gone % backends.length, given.size)
      assert.ok(changed <= 0.01 * kept + 1, `${given.size} slots, ${backends.length} backends: ${changed} of ${kept}`)
    }),
    { numRuns: 150 },
  )
})

test('every node has the same table, whatever order it was told the backends in', () => {
  const backends = backendsFrom(1, 40, i => 1 + (i % 3))
  const names = (given: readonly MaglevBackend[]): (string | undefined)[] =>
    Array.from(maglevTable(given, TCP, 4093), index => given[index]?.address)
  fc.assert(
    fc.property(fc.shuffledSubarray(backends, { minLength: 40 }), shuffled => {
      assert.deepEqual(names(shuffled), names(backends))
    }),
    { numRuns: 20 },
  )
})

test('address, port and protocol all matter, and a table is what it always was', () => {
  const at = (address: string, port: number): MaglevBackend => ({ address, port, weight: 1 })
  const four = [at('10.0.0.1', 80), at('10.0.0.1', 81), at('fd00::1', 80), at('fd00::2', 80)]
  assert.deepEqual(countSlots(maglevTable(four, TCP, 251), four), FOUR_COUNTS)
  assert.equal(Array.from(maglevTable(four, TCP, 251).subarray(0, 24)).join(' '), FIRST_SLOTS)
  assert.notDeepEqual(maglevTable(four, TCP, 251), maglevTable(four, 17, 251))
})

/** Written down once: a node of another version must come to the same. */
const FOUR_COUNTS: readonly number[] = [64, 64, 67, 56]
const FIRST_SLOTS = '0 2 2 1 2 0 0 1 2 3 1 0 0 1 3 3 0 3 2 3 3 2 0 3'

function changedSlots(
  backends: readonly MaglevBackend[],
  gone: number,
  size: number,
): { kept: number; changed: number } {
  const before = maglevTable(backends, TCP, size)
  const after = maglevTable(without(backends, gone), TCP, size)
  let [kept, changed] = [0, 0]
  for (let slot = 0; slot < size; slot++) {
    if (before[slot] === gone) continue
    kept++
    if (after[slot] !== indexAfter(before[slot] ?? 0, gone)) changed++
  }
  return { kept, changed }
}

/** Share of the other backends' flows that get another backend. */
function movedFlows(backends: readonly MaglevBackend[], gone: number, size: number, hashes: Uint32Array): number {
  const before = maglevTable(backends, TCP, size)
  const after = maglevTable(without(backends, gone), TCP, size)
  let [kept, moved] = [0, 0]
  for (const hash of hashes) {
    const slot = slotOfHash(hash, size)
    if (before[slot] === gone) continue
    kept++
    if (after[slot] !== indexAfter(before[slot] ?? 0, gone)) moved++
  }
  return moved / kept
}

const indexAfter = (index: number, gone: number): number => (index > gone ? index - 1 : index)

/** Of flows from random addresses and ports to one frontend; the same in every run. */
function randomFlowHashes(count: number): Uint32Array {
  const destination = ip('192.0.2.1').bytes
  const source = Uint8Array.from(ip('10.0.0.0').bytes)
  let state = 42
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
  return Uint32Array.from({ length: count }, () => {
    new DataView(source.buffer).setUint32(12, random())
    return flowHash({ source, destination, sourcePort: random() >>> 16, destinationPort: 80, protocol: TCP })
  })
}
