// Reserved identities, names for people, and the allocator: one number for equal labels,
// and no number given away while something may still carry it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { identityName, identityScope, reservedLabels, reservedNumber } from './identity.ts'
import { IdentityRangeExhaustedError, LocalIdentityAllocator } from './identity-allocator.ts'
import { EMPTY_LABELS, type LabelSet, labelSet, parseLabelSet, withLabels } from './label-set.ts'
import { nameLabel, podLabels } from './pod-labels.ts'

const app = (name: string): LabelSet => labelSet([{ source: 'k8s', key: 'app', value: name }])
const inBlock = (set: LabelSet, cidr = '10.0.0.0/8'): LabelSet =>
  withLabels(set, [{ source: 'cidr', key: cidr, value: '' }])

test('reserved identities', () => {
  assert.equal(reservedNumber(reservedLabels('host')), 1)
  assert.equal(reservedNumber(reservedLabels('world-ipv6')), 10)
  assert.equal(reservedLabels('world-ipv4').key, 'reserved:world;reserved:world-ipv4')
  // What looks like a reserved identity is one only by source.
  assert.equal(reservedNumber(labelSet([{ source: 'k8s', key: 'host', value: '' }])), undefined)
  assert.equal(reservedNumber(inBlock(reservedLabels('host'))), undefined)
  assert.equal(reservedNumber(EMPTY_LABELS), undefined)
})

test('scope: only what means the same on every node has a cluster number', () => {
  const http = withLabels(app('a'), [{ source: 'port', key: 'http/TCP', value: '80' }])
  assert.deepEqual([app('a'), inBlock(app('a')), http, inBlock(reservedLabels('world-ipv4'))].map(identityScope), [
    'cluster',
    'local',
    'local',
    'local',
  ])
})

test('names for people', async t => {
  const pod = (labels: Record<string, string>): LabelSet =>
    podLabels({ namespace: 'shop', namespaceLabels: {}, labels })
  const cases: readonly { given: LabelSet; want: string }[] = [
    { given: pod({ app: 'web', tier: 'front' }), want: 'shop/web' },
    { given: pod({ 'app.kubernetes.io/name': 'web', app: 'x' }), want: 'shop/web' },
    { given: pod({ tier: 'front' }), want: 'shop/tier=front' },
    { given: pod({}), want: 'shop/*' },
    { given: inBlock(pod({ app: 'web' })), want: 'shop/web' },
    { given: reservedLabels('host'), want: 'host' },
    { given: inBlock(reservedLabels('host')), want: 'host' },
    { given: reservedLabels('world-ipv4'), want: 'world-ipv4' },
    { given: inBlock(inBlock(reservedLabels('world-ipv4')), '10.1.0.0/16'), want: 'world 10.1.0.0/16' },
    {
      given: withLabels(inBlock(reservedLabels('world-ipv6'), '::/0'), [nameLabel('*.example.com')]),
      want: 'world *.example.com',
    },
    { given: reservedLabels('kube-apiserver'), want: 'kube-apiserver' },
    { given: app('web'), want: 'k8s:app=web' },
    { given: EMPTY_LABELS, want: 'unknown' },
  ]
  for (const { given, want } of cases) await t.test(want, () => assert.equal(identityName(given), want))
})

const ranges = { cluster: { first: 256, last: 259 }, local: { first: 1 << 24, last: (1 << 24) + 1 } }

function allocator(restored?: { number: number; labels: LabelSet }[]) {
  const clock = { nowMs: 0 }
  const options = { now: () => clock.nowMs, restMs: 1000, ranges }
  return { clock, identities: new LocalIdentityAllocator(restored ? { ...options, restored } : options) }
}

test('equal labels have one number, and each scope its range', () => {
  const { identities } = allocator()
  assert.equal(identities.allocate(app('a')), 256)
  assert.equal(identities.allocate(app('b')), 257)
  assert.equal(identities.allocate(app('a')), 256)
  assert.equal(identities.allocate(inBlock(app('a'))), 1 << 24)
  assert.equal(identities.allocate(reservedLabels('host')), 1)
  assert.equal(identities.lookup(257)?.key, 'k8s:app=b')
  assert.equal(identities.lookup(1)?.key, 'reserved:host')
  assert.equal(identities.lookup(258), undefined)
  assert.deepEqual(
    identities
      .entries()
      .map(entry => entry.number)
      .slice(-4),
    [10, 256, 257, 1 << 24],
  )
})

test('a released number is not reused while it may still be in use', () => {
  const { identities, clock } = allocator()
  for (const name of ['a', 'b', 'c', 'd']) identities.allocate(app(name))
  identities.release(257)
  assert.equal(identities.lookup(257)?.key, 'k8s:app=b', 'what still carries the number can be named')
  assert.throws(() => identities.allocate(app('e')), IdentityRangeExhaustedError)
  clock.nowMs = 999
  assert.throws(() => identities.allocate(app('e')), /3 in use, 1 released too recently/)
  clock.nowMs = 1000
  assert.equal(identities.allocate(app('e')), 257)
  assert.equal(identities.lookup(257)?.key, 'k8s:app=e')
})

test('numbers go round before one is reused', () => {
  const { identities, clock } = allocator()
  identities.allocate(app('a'))
  identities.release(256)
  clock.nowMs = 5000
  assert.deepEqual(
    ['b', 'c', 'd', 'e'].map(name => identities.allocate(app(name))),
    [257, 258, 259, 256],
  )
})

test('labels that come back get their number back', () => {
  const { identities, clock } = allocator()
  identities.allocate(app('a'))
  identities.release(256)
  assert.equal(identities.allocate(app('a')), 256)
  clock.nowMs = 5000
  assert.equal(identities.allocate(app('b')), 257)
  assert.equal(identities.lookup(256)?.key, 'k8s:app=a', 'its rest ended when it was allocated again')
})

test('every use must be released', () => {
  const { identities, clock } = allocator()
  identities.allocate(app('a'))
  identities.allocate(app('a'))
  identities.release(256)
  clock.nowMs = 5000
  for (const name of ['b', 'c', 'd']) identities.allocate(app(name))
  assert.throws(() => identities.allocate(app('e')), /4 in use, 0 released/)
  identities.release(999)
  identities.release(1)
})

test('restored numbers are kept until it is known that nobody claims them', () => {
  const { identities, clock } = allocator([
    { number: 258, labels: app('old') },
    { number: 256, labels: app('a') },
    { number: 1, labels: reservedLabels('host') },
  ])
  assert.equal(identities.allocate(app('a')), 256)
  assert.equal(identities.allocate(app('new')), 259, 'continues behind the highest restored number')
  identities.release(256)
  clock.nowMs = 5000
  assert.equal(identities.allocate(app('x')), 257)
  assert.throws(() => identities.allocate(app('y')), IdentityRangeExhaustedError)
  identities.releaseUnclaimed()
  assert.throws(() => identities.allocate(app('y')), IdentityRangeExhaustedError)
  clock.nowMs = 6000
  assert.deepEqual(
    ['y', 'z'].map(name => identities.allocate(app(name))),
    [258, 256],
  )
})

test('contradictory restored identities are refused', () => {
  for (const restored of [
    [{ number: 300, labels: app('a') }],
    [{ number: 256, labels: inBlock(app('a')) }],
    [{ number: 256, labels: reservedLabels('host') }],
    [{ number: 256.5, labels: app('a') }],
    [
      { number: 256, labels: app('a') },
      { number: 256, labels: app('b') },
    ],
    [
      { number: 256, labels: app('a') },
      { number: 257, labels: app('a') },
    ],
  ])
    assert.throws(() => allocator(restored), /cannot be restored/)
})

test('any run of allocations and releases: one number a set, never given away within its rest, restorable', () => {
  const step = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    isRelease: fc.boolean(),
    waitMs: fc.nat({ max: 600 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const { identities, clock } = allocator()
      const uses = new Map<string, number[]>()
      const lastUse = new Map<number, { name: string; atMs: number }>()
      for (const { name, isRelease, waitMs } of steps) {
        clock.nowMs += waitMs
        const numbers = uses.get(name) ?? []
        uses.set(name, numbers)
        if (isRelease) {
          const number = numbers.pop()
          if (number === undefined) continue
          identities.release(number)
          lastUse.set(number, { name, atMs: clock.nowMs })
          continue
        }
        let number: number
        try {
          number = identities.allocate(app(name))
        } catch (error) {
          assert.ok(error instanceof IdentityRangeExhaustedError)
          continue
        }
        assert.ok(numbers.every(used => used === number))
        for (const [other, used] of uses) assert.ok(other === name || !used.includes(number))
        const last = lastUse.get(number)
        assert.ok(!last || last.name === name || clock.nowMs - last.atMs >= 1000)
        numbers.push(number)
      }
      const kept = identities.entries()
      assert.deepEqual(allocator(kept).identities.entries(), kept)
      for (const { labels } of kept) assert.deepEqual(parseLabelSet(labels.key), labels)
    }),
  )
})
