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

/** Ports that the policy allows: of ingress, and below zero of egress. */
const allow = (...ports: readonly number[]): ResolvedPolicy => ({
  key: `ports ${ports.join()}`,
  isolatedBy: { ingress: [], egress: [] },
  entries: ports.map(
    (port): PolicyEntry => ({
      direction: port < 0 ? 'egress' : 'ingress',
      identity: 0,
      protocol: 6,
      port: Math.abs(port),
      portPrefixLength: 16,
      verdict: 'allow',
      precedence: 5,
      rule: 'r',
    }),
  ),
})

const portsOf = (policy: ResolvedPolicy | undefined): number[] =>
  (policy?.entries ?? [])
    .filter(({ verdict }) => verdict === 'allow')
    .map(({ port, direction }) => (direction === 'egress' ? -port : port))

type Ports = readonly number[]

const cases: readonly {
  readonly name: string
  /** Of each subject: before, after, and what is in force on the way. */
  readonly a: readonly [before: Ports, after: Ports, want: Ports]
  readonly b: readonly [before: Ports, after: Ports, want: Ports]
  readonly moves?: true
}[] = [
  { name: 'nothing changes', a: [[1], [1], [1]], b: [[2], [2], [2]], moves: true },
  {
    name: 'one map: it is exchanged whole',
    a: [
      [1, -1],
      [2, -2],
      [2, -2],
    ],
    b: [[3], [3], [3]],
  },
  { name: 'one map, and addresses move', a: [[1, 2], [2, 3], [2]], b: [[3], [3], [3]], moves: true },
  { name: 'several maps open', a: [[1], [1, 2], [1, 2]], b: [[-3], [-3, -4], [-3, -4]] },
  { name: 'several maps close', a: [[1, 2], [1], [1]], b: [[-3, -4], [-3], [-3]] },
  { name: 'one direction opens and closes', a: [[1], [2], [2]], b: [[3], [4], [4]] },
  { name: 'the other direction opens and closes', a: [[-1], [-2], [-2]], b: [[-3], [-4], [-4]] },
  { name: 'ingress opens here while egress closes there', a: [[1], [1, 2], [1]], b: [[-3, -4], [-3], [-3]] },
  { name: 'egress opens here while ingress closes there', a: [[-1], [-1, -2], [-1]], b: [[3, 4], [3], [3]] },
  { name: 'each map turns from one direction to the other', a: [[1], [-1], []], b: [[1], [-1], []] },
  { name: 'maps open while addresses move', a: [[1], [1, 2], [1]], b: [[3], [3, 4], [3]], moves: true },
  { name: 'maps close while addresses move', a: [[1, 2], [1], [1]], b: [[3, 4], [3], [3]], moves: true },
]

for (const { name, a, b, moves = false } of cases)
  test(name, () => {
    const before = new Map([
      [A, allow(...a[0])],
      [B, allow(...b[0])],
    ])
    const after = new Map([
      [A, allow(...a[1])],
      [B, allow(...b[1])],
    ])
    const closing = closingPolicies(before, after, moves)
    assert.deepEqual([portsOf(closing.get(A)), portsOf(closing.get(B))], [a[2], b[2]])
    // A policy that is the new one is named so: then its map is not written twice.
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
  const closing = closingPolicies(before, after, true)
  assert.equal(closing.get(A)?.key, closing.get(B)?.key)
  assert.equal(closing.get(A)?.entries, closing.get(B)?.entries)
})
