// Pods that get other identities at one moment: when that needs policies on the way, and
// what these allow, held against asking the old and the new policy.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { lookup, type PolicyEntry, type ResolvedPolicy } from '../policy/index.ts'
import type { Address, EndpointEntry } from '../tables/index.ts'
import { type Meaning, transitOf, transitPolicy } from './transit.ts'

/** Addresses with their identities; those of lower case are endpoints of this node with policy map 1 or, in capitals, none. */
type State = Readonly<Record<string, number>>

const prefixOf = (name: string): string => `10.0.0.${name.charCodeAt(0)}`

function stateOf(state: State, policies: State = {}) {
  const addresses = Object.entries(state).map(
    ([name, identity]): Address => ({ prefix: `${prefixOf(name)}/32`, identity, isHost: false, owner: `pod ${name}` }),
  )
  const entries = Object.entries(state)
    .filter(([name]) => name === name.toLowerCase())
    .map(
      ([name, identity]): EndpointEntry => ({
        address: prefixOf(name),
        endpoint: 1,
        ifindex: 1,
        mac: '',
        identity,
        policy: policies[name] ?? 1,
        containerId: name,
      }),
    )
  return { addresses, entries }
}

const cases: readonly {
  readonly name: string
  readonly before: State
  readonly after: State
  readonly policies?: State
  /** What each number may stand for; undefined: nobody is on the way. */
  readonly want: Readonly<Record<number, string>> | undefined
}[] = [
  { name: 'nobody moves', before: { a: 256, b: 257 }, after: { a: 256, b: 257 }, want: undefined },
  { name: 'one moves alone', before: { a: 256, b: 257 }, after: { a: 258, b: 257 }, want: undefined },
  { name: 'one comes, one goes', before: { a: 256, b: 257 }, after: { b: 257, c: 258 }, want: undefined },
  { name: 'two of another node move', before: { a: 256, B: 7, C: 8 }, after: { a: 256, B: 9, C: 10 }, want: undefined },
  {
    name: 'two move',
    before: { a: 256, b: 257 },
    after: { a: 258, b: 259 },
    want: { 256: '256>258', 258: '256>258', 257: '257>259', 259: '257>259' },
  },
  {
    name: 'one of this node and one of another',
    before: { a: 256, B: 257 },
    after: { a: 258, B: 259 },
    want: { 256: '256>258', 258: '256>258', 257: '257>259', 259: '257>259' },
  },
  {
    name: 'a third one stays what the others were, a fourth was already what they become',
    before: { a: 256, b: 256, c: 256, d: 258 },
    after: { a: 258, b: 258, c: 256, d: 258 },
    want: { 256: '256>256 256>258', 258: '256>258 258>258' },
  },
  {
    name: 'two get other policies and keep their identities',
    before: { a: 256, b: 257 },
    after: { a: 256, b: 257 },
    policies: { a: 2, b: 3 },
    want: undefined,
  },
]

for (const { name, before, after, policies, want } of cases)
  test(`who is on the way: ${name}`, () => {
    const transit = transitOf(stateOf(before), stateOf(after, policies))
    const found =
      transit &&
      Object.fromEntries(
        [...transit.meanings].map(([number, all]) => [
          number,
          all
            .map(({ pre, post }) => `${pre}>${post}`)
            .sort()
            .join(' '),
        ]),
      )
    assert.deepEqual(found, want)
  })

const entry = fc
  .record({
    identity: fc.constantFrom(0, 256, 257, 258, 259),
    protocol: fc.constantFrom(0, 6),
    verdict: fc.constantFrom('allow' as const, 'deny' as const),
    precedence: fc.integer({ min: 1, max: 3 }),
  })
  .map(
    ({ protocol, ...rest }): PolicyEntry => ({
      direction: 'ingress',
      protocol,
      port: protocol === 0 ? 0 : 80,
      portPrefixLength: protocol === 0 ? 0 : 16,
      rule: 'r',
      ...rest,
    }),
  )

const policy = fc
  .uniqueArray(entry, { maxLength: 8, selector: ({ identity, protocol }) => `${identity} ${protocol}` })
  .map(
    (entries): ResolvedPolicy => ({ key: JSON.stringify(entries), entries, isolatedBy: { ingress: [], egress: [] } }),
  )

const identity = fc.constantFrom(256, 257, 258, 259)
const everybody = fc.record({ a: identity, b: identity, c: identity, D: identity })

test('on the way a peer is allowed what its old identity was allowed and its new one will be', () => {
  const allows = ({ entries }: ResolvedPolicy, peer: number, port: number): boolean =>
    lookup(entries, { direction: 'ingress', identity: peer, protocol: 6, port })?.verdict === 'allow'
  fc.assert(
    fc.property(everybody, everybody, policy, policy, (before, after, old, next) => {
      const transit = transitOf(stateOf(before), stateOf(after))
      if (!transit) return
      const onTheWay = transitPolicy(old, next, transit.meanings)
      for (const number of [256, 257, 258, 259, 300])
        for (const port of [80, 81]) {
          const all: readonly Meaning[] = transit.meanings.get(number) ?? [{ pre: number, post: number }]
          const want: boolean = all.every(({ pre, post }) => allows(old, pre, port) && allows(next, post, port))
          assert.equal(allows(onTheWay, number, port), want, `${number} port ${port}`)
        }
    }),
    { numRuns: 1000 },
  )
})
