// What two policies both allow, held against asking both of them: on written cases, and on random policies of every
// action that the rule model knows, with rules for what is said in two languages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type KeyedL7Rules, lookup, type PolicyEntry } from '../policy/index.ts'
import { overlap } from './overlap.ts'

type Short = readonly [
  identity: number,
  protocol: number,
  port: number,
  length: number,
  outcome: 'allow' | 'audit' | 'deny' | L7Name,
  precedence: number,
]

type L7Name = 'get' | 'post' | 'names'
const L7: Readonly<Record<L7Name, KeyedL7Rules>> = {
  get: { key: 'get', rules: { parser: 'http', rules: [], serverNames: [] } },
  post: { key: 'post', rules: { parser: 'http', rules: [], serverNames: [] } },
  names: { key: 'names', rules: { parser: 'dns', rules: [] } },
}
const l7Of = (outcome: Short[4]): KeyedL7Rules | undefined => (outcome in L7 ? L7[outcome as L7Name] : undefined)

const entriesOf = (shorts: readonly Short[]): PolicyEntry[] =>
  shorts.map(([identity, protocol, port, portPrefixLength, outcome, precedence]) => ({
    direction: 'ingress',
    identity,
    protocol,
    port,
    portPrefixLength,
    verdict: outcome === 'audit' || outcome === 'deny' ? 'deny' : 'allow',
    precedence,
    rule: `${outcome} ${precedence}`,
    ...(outcome === 'audit' && { treatment: { audit: true } }),
    ...(outcome in L7 && { treatment: { l7: l7Of(outcome) as KeyedL7Rules } }),
  }))

const outcomeOf = (entry: PolicyEntry | undefined): Short[4] =>
  entry?.treatment?.audit ? 'audit' : ((entry?.treatment?.l7?.key as L7Name | undefined) ?? entry?.verdict ?? 'deny')

const OPEN: Short = [0, 0, 0, 0, 'allow', 1]

const brief = (entries: readonly PolicyEntry[]): string[] =>
  entries.map(
    entry => `${entry.identity} ${entry.protocol} ${entry.port}/${entry.portPrefixLength} ${outcomeOf(entry)}`,
  )

test('what both allow', async t => {
  const cases: readonly {
    readonly name: string
    readonly before: readonly Short[]
    readonly after: readonly Short[]
    readonly want: readonly string[]
    readonly closes: boolean
    readonly opens: boolean
  }[] = [
    { name: 'nothing on either side', before: [], after: [], want: [], closes: false, opens: false },
    {
      name: 'the same policy stays as it is',
      before: [[7, 6, 80, 16, 'allow', 5]],
      after: [[7, 6, 80, 16, 'allow', 5]],
      want: ['7 6 80/16 allow'],
      closes: false,
      opens: false,
    },
    {
      name: 'isolation of a subject that was open',
      before: [OPEN],
      after: [[7, 6, 80, 16, 'allow', 5]],
      want: ['7 6 80/16 allow'],
      closes: true,
      opens: false,
    },
    {
      name: 'the end of isolation',
      before: [[7, 6, 80, 16, 'allow', 5]],
      after: [OPEN],
      want: ['7 6 80/16 allow'],
      closes: false,
      opens: true,
    },
    {
      name: 'another peer',
      before: [[7, 6, 80, 16, 'allow', 5]],
      after: [[8, 6, 80, 16, 'allow', 5]],
      want: [],
      closes: true,
      opens: true,
    },
    {
      name: 'ports that overlap in part',
      before: [[7, 6, 80, 14, 'allow', 5]],
      after: [
        [7, 6, 82, 15, 'allow', 5],
        [7, 6, 84, 15, 'allow', 5],
      ],
      want: ['7 6 82/15 allow'],
      closes: true,
      opens: true,
    },
    {
      name: 'a peer that keeps what others lose',
      before: [OPEN],
      after: [
        [0, 6, 80, 16, 'allow', 5],
        [7, 0, 0, 0, 'allow', 5],
        [7, 6, 80, 16, 'deny', 9],
      ],
      want: ['0 6 80/16 allow', '7 0 0/0 allow', '7 6 80/16 deny'],
      closes: true,
      opens: false,
    },
    {
      name: 'a denial that is only recorded comes: nothing closes',
      before: [OPEN],
      after: [[0, 0, 0, 0, 'audit', 1]],
      want: ['0 0 0/0 audit'],
      closes: false,
      opens: false,
    },
    {
      name: 'one that was only recorded is enforced from now on, except for a peer',
      before: [[0, 0, 0, 0, 'audit', 1]],
      after: [[7, 6, 80, 16, 'allow', 5]],
      want: ['7 6 80/16 allow'],
      closes: true,
      opens: false,
    },
    {
      name: 'one that was enforced is only recorded from now on',
      before: [[7, 6, 80, 16, 'allow', 5]],
      after: [
        [0, 0, 0, 0, 'audit', 1],
        [7, 6, 80, 16, 'allow', 5],
      ],
      want: ['7 6 80/16 allow'],
      closes: false,
      opens: true,
    },
    {
      name: 'what passed is judged from now on: it is at once',
      before: [OPEN],
      after: [
        [0, 0, 0, 0, 'allow', 1],
        [0, 6, 80, 16, 'get', 5],
      ],
      want: ['0 0 0/0 allow', '0 6 80/16 get'],
      closes: true,
      opens: false,
    },
    {
      name: 'what was judged is not any more: until the end it is',
      before: [[7, 6, 80, 16, 'get', 5]],
      after: [[7, 6, 80, 16, 'allow', 5]],
      want: ['7 6 80/16 get'],
      closes: false,
      opens: true,
    },
    {
      name: 'other rules of the same language: nothing is cut',
      before: [[7, 6, 80, 16, 'get', 5]],
      after: [[7, 6, 80, 16, 'post', 5]],
      want: ['7 6 80/16 post'],
      closes: false,
      opens: false,
    },
    {
      name: 'rules of another language',
      before: [[7, 6, 80, 16, 'get', 5]],
      after: [[7, 6, 80, 16, 'names', 5]],
      want: [],
      closes: true,
      opens: true,
    },
    {
      name: 'a denial that was only recorded, and is judged from now on',
      before: [[0, 6, 80, 16, 'audit', 1]],
      after: [[0, 6, 80, 16, 'get', 5]],
      want: ['0 6 80/16 get'],
      closes: true,
      opens: false,
    },
  ]
  for (const { name, before, after, want, closes, opens } of cases)
    await t.test(name, () => {
      const result = overlap(entriesOf(before), entriesOf(after))
      assert.deepEqual(brief(result.entries), want)
      assert.deepEqual({ closes: result.closes.has('ingress'), opens: result.opens.has('ingress') }, { closes, opens })
      assert.deepEqual([result.closes.has('egress'), result.opens.has('egress')], [false, false])
    })
})

/** Few values, so that prefixes nest, precedences tie and peers meet the entries for any peer. */
const short: fc.Arbitrary<Short> = fc
  .tuple(
    fc.constantFrom(0, 0, 7, 8),
    fc.constantFrom(0, 6, 17),
    fc.nat(15),
    fc.constantFrom(0, 12, 13, 14, 15, 16),
    fc.constantFrom<Short[4][]>('allow', 'allow', 'audit', 'deny', 'get', 'post', 'names'),
    fc.integer({ min: 1, max: 4 }),
  )
  .map(([identity, protocol, port, bits, outcome, precedence]) => {
    const length = protocol === 0 ? 0 : bits
    return [identity, protocol, protocol === 0 ? 0 : port & (0xffff << (16 - length)), length, outcome, precedence]
  })

const policy = fc
  .uniqueArray(short, { maxLength: 10, selector: ([a, b, c, d]) => `${a} ${b} ${c} ${d}` })
  .map(entriesOf)

/** Rules of one language may follow others at once; between languages nothing passes. */
function both(old: Short[4], next: Short[4]): Short[4] {
  if (old === 'deny' || next === 'deny') return 'deny'
  const [before, after] = [l7Of(old), l7Of(next)]
  if (before && after) return before.rules.parser === after.rules.parser ? next : 'deny'
  return before ? old : next
}

/** Whether something that was allowed is not, or is judged from now on. */
function narrows(old: Short[4], next: Short[4]): boolean {
  if (old === 'deny') return false
  return (
    next === 'deny' ||
    (both(old, next) !== next && l7Of(next) !== undefined) ||
    (!l7Of(old) && l7Of(next) !== undefined)
  )
}

test('for every peer and port the overlap allows exactly what both allow, and records what the new one does', () => {
  const answer = (entries: readonly PolicyEntry[], identity: number, protocol: number, port: number): Short[4] =>
    outcomeOf(lookup(entries, { direction: 'ingress', identity, protocol, port }))
  fc.assert(
    fc.property(policy, policy, (before, after) => {
      const result = overlap(before, after)
      const keys = brief(result.entries).map(text => text.replace(/ \w+$/, ''))
      assert.equal(new Set(keys).size, keys.length, 'one entry for a key')
      for (const identity of [7, 8, 9])
        for (const protocol of [6, 17, 132])
          for (let port = 0; port < 18; port++) {
            const [old, next] = [answer(before, identity, protocol, port), answer(after, identity, protocol, port)]
            const want = both(old, next)
            assert.equal(answer(result.entries, identity, protocol, port), want, `${identity} ${protocol} ${port}`)
            if (narrows(old, next)) assert.ok(result.closes.has('ingress'))
            if (narrows(next, old)) assert.ok(result.opens.has('ingress'))
          }
    }),
    { numRuns: 500 },
  )
})
