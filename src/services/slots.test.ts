// Slots: the chosen backends by their weights, or a Maglev table of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_MAGLEV_TABLE_SIZE, MAGLEV_TABLE_SIZES, type NotChosen, type ServiceBackend, slotsOf } from './index.ts'

const backend = (number: number, weight = 1, notForOutside?: NotChosen): ServiceBackend => ({
  address: `10.0.${number >> 8}.${number & 255}`,
  port: 80,
  ready: true,
  serving: true,
  terminating: false,
  weight,
  ...(notForOutside && { notForOutside }),
})

type Case = {
  readonly name: string
  readonly given: readonly ServiceBackend[]
  readonly cluster: readonly number[]
  readonly outside: readonly number[]
}
const cases: readonly Case[] = [
  { name: 'nobody', given: [], cluster: [], outside: [] },
  { name: 'each once', given: [backend(1), backend(2), backend(3)], cluster: [0, 1, 2], outside: [0, 1, 2] },
  {
    name: 'only those for this kind of client',
    given: [backend(1, 1, 'not on this node'), backend(2), backend(3, 1, 'not ready')],
    cluster: [0, 1, 2],
    outside: [1],
  },
  {
    name: 'by weight, in lowest terms',
    given: [backend(1, 20), backend(2, 10), backend(3, 30)],
    cluster: [0, 0, 1, 2, 2, 2],
    outside: [0, 0, 1, 2, 2, 2],
  },
  { name: 'one of any weight', given: [backend(1, 50)], cluster: [0], outside: [0] },
  { name: 'weight 0 is nobody', given: [backend(1, 0), backend(2, 5)], cluster: [1], outside: [1] },
]

for (const { name, given, cluster, outside } of cases) {
  test(`random: ${name}`, () => {
    const port = { algorithm: 'random' as const, protocol: 6, backends: given }
    assert.deepEqual([...slotsOf(port, 'cluster', 251)], cluster)
    assert.deepEqual([...slotsOf(port, 'outside', 251)], outside)
  })
}

test('random: very many slots are rounded, and nobody is left out', () => {
  const backends = Array.from({ length: 3000 }, (_, i) => backend(i, i === 0 ? 1 : 99 + (i & 1)))
  const slots = slotsOf({ algorithm: 'random', protocol: 6, backends }, 'cluster', 251)
  assert.ok(slots.length <= 70_000)
  assert.equal(new Set(slots).size, 3000)
})

test('Maglev: a table of the size asked for, of the chosen backends, by their index', () => {
  const backends = [backend(1, 1, 'not ready'), backend(2), backend(3), backend(4)]
  const port = { algorithm: 'maglev' as const, protocol: 6, backends }
  for (const size of MAGLEV_TABLE_SIZES) {
    assert.equal(slotsOf(port, 'cluster', size).length, size)
    assert.deepEqual(new Set(slotsOf(port, 'outside', size)), new Set([1, 2, 3]))
  }
})

test('Maglev: one backend needs no table, and more than the table has slots get a larger one', () => {
  const one = { algorithm: 'maglev' as const, protocol: 6, backends: [backend(1, 1, 'terminating'), backend(2)] }
  assert.deepEqual([...slotsOf(one, 'outside', DEFAULT_MAGLEV_TABLE_SIZE)], [1])
  const many = {
    algorithm: 'maglev' as const,
    protocol: 6,
    backends: Array.from({ length: 300 }, (_, i) => backend(i)),
  }
  assert.equal(slotsOf(many, 'cluster', 251).length, 509)
})
