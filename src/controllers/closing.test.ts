// Which policies are in force while a change spreads: those that allow nothing new yet,
// or the new ones at once where that can do no harm.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMPTY_LABELS } from '../labels/index.ts'
import type { PolicyEntry, ResolvedPolicy } from '../policy/index.ts'
import { closingPolicies } from './closing.ts'
import type { Subject } from './pod-labels.ts'

const subject = (key: string): Subject => ({ key, labels: EMPTY_LABELS, namedPorts: [] })
const [A, B] = [subject('a'), subject('b')] as const

const allow = (...ports: readonly number[]): ResolvedPolicy => ({
  key: `ports ${ports.join()}`,
  isolatedBy: { ingress: [], egress: [] },
  entries: ports.map(
    (port): PolicyEntry => ({
      direction: 'ingress',
      identity: 0,
      protocol: 6,
      port,
      portPrefixLength: 16,
      verdict: 'allow',
      precedence: 5,
      rule: 'r',
    }),
  ),
})

const portsOf = (policy: ResolvedPolicy | undefined): number[] =>
  (policy?.entries ?? []).filter(({ verdict }) => verdict === 'allow').map(({ port }) => port)

const cases: readonly {
  readonly name: string
  /** Of subjects a and b: [before, after]. */
  readonly given: readonly [readonly [number[], number[]], readonly [number[], number[]]]
  readonly moves: boolean
  readonly want: readonly [number[], number[]]
}[] = [
  {
    name: 'nothing changes',
    given: [
      [[1], [1]],
      [[2], [2]],
    ],
    moves: true,
    want: [[1], [2]],
  },
  {
    name: 'one map changes: it is exchanged whole',
    given: [
      [[1], [2]],
      [[3], [3]],
    ],
    moves: false,
    want: [[2], [3]],
  },
  {
    name: 'one map changes, and addresses move',
    given: [
      [
        [1, 2],
        [2, 3],
      ],
      [[3], [3]],
    ],
    moves: true,
    want: [[2], [3]],
  },
  {
    name: 'several maps only open',
    given: [
      [[1], [1, 2]],
      [[3], [3, 4]],
    ],
    moves: false,
    want: [
      [1, 2],
      [3, 4],
    ],
  },
  {
    name: 'several maps only close',
    given: [
      [[1, 2], [1]],
      [[3, 4], [3]],
    ],
    moves: false,
    want: [[1], [3]],
  },
  {
    name: 'one opens and another closes',
    given: [
      [[1], [1, 2]],
      [[3, 4], [3]],
    ],
    moves: false,
    want: [[1], [3]],
  },
  {
    name: 'maps open while addresses move',
    given: [
      [[1], [1, 2]],
      [[3], [3, 4]],
    ],
    moves: true,
    want: [[1], [3]],
  },
  {
    name: 'both of both',
    given: [
      [
        [1, 2],
        [2, 3],
      ],
      [
        [3, 4],
        [4, 5],
      ],
    ],
    moves: false,
    want: [[2], [4]],
  },
]

for (const { name, given, moves, want } of cases)
  test(name, () => {
    const [[a, nextA], [b, nextB]] = given
    const before = new Map([
      [A, allow(...a)],
      [B, allow(...b)],
    ])
    const after = new Map([
      [A, allow(...nextA)],
      [B, allow(...nextB)],
    ])
    const closing = closingPolicies(before, after, moves)
    assert.deepEqual([portsOf(closing.get(A)), portsOf(closing.get(B))], want)
    // A policy that is the new one, or the old one, is named so: then no map is written twice.
    for (const one of [A, B])
      if (portsOf(closing.get(one)).join() === portsOf(after.get(one)).join())
        assert.equal(closing.get(one)?.key, after.get(one)?.key)
  })

test('equal changes share what is in force meanwhile', () => {
  const before = new Map([
    [A, allow(1, 2)],
    [B, allow(1, 2)],
  ])
  const after = new Map([
    [A, allow(2, 3)],
    [B, allow(2, 3)],
  ])
  const closing = closingPolicies(before, after, false)
  assert.equal(closing.get(A)?.key, closing.get(B)?.key)
  assert.equal(closing.get(A)?.entries, closing.get(B)?.entries)
})
