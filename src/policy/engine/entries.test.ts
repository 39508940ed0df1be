// The entries of a subject against the rule model, for every action, tier and
// priority: what the kernel's two look-ups find must be what the model says, and no
// entry may be one too many.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { precedence } from '../model/precedence.ts'
import {
  type Action,
  compareRules,
  DEFAULT_DENY,
  NOT_ISOLATED,
  type Rule,
  type Tier,
  type Treatment,
} from '../model/rule.ts'
import { EntryCompiler, type PolicyEntry } from './entries.ts'
import { lookup } from './evaluate.ts'
import type { Isolations } from './isolation.ts'
import { ALL_PORTS, Decider, LAST_PORT, type PortSpan, type RuleSpans, type Verdict } from './port-space.ts'

const TCP = 6
const UDP = 17

type Given = RuleSpans & { readonly peers: 'any' | readonly number[] }

type RuleOptions = {
  name?: string
  action?: Action
  tier?: Tier
  priority?: number
  place?: number
  index?: number
  treatment?: Treatment
}

function given(peers: Given['peers'], spans: readonly PortSpan[], options: RuleOptions = {}): Given {
  const { name = 'p', action = 'allow', tier = 'normal', priority = 100, place = 0, index = 0, treatment } = options
  const policy = { kind: 'Test', namespace: 'default', name, origin: { file: '', line: 0 } }
  const rule: Rule = {
    key: `${name}/${tier}/${priority}/${place}/${index}/${action}`,
    policy,
    path: `ingress[${index}]`,
    origin: policy.origin,
    direction: 'ingress',
    index,
    action,
    tier,
    precedence: precedence({ tier, action, priority, place }),
    peers: 'any',
    ports: 'any',
    treatment,
  }
  return { rule, spans, peers }
}

const span = (protocol: number, first: number, last = first): PortSpan => ({ protocol, first, last })

const both = (isIsolated: boolean): Isolations => {
  const isolation = isIsolated ? 'policy' : 'none'
  return { all: isolation, enforced: isolation }
}

function compile(rules: readonly Given[], isIsolated = true): PolicyEntry[] {
  const compiler = new EntryCompiler(
    'ingress',
    new Decider(both(isIsolated), 'all'),
    rules.filter(({ peers }) => peers === 'any'),
  )
  const identities = [...new Set(rules.flatMap(({ peers }) => (peers === 'any' ? [] : peers)))].sort((a, b) => a - b)
  return [
    ...compiler.entriesForAny(),
    ...identities.flatMap(identity =>
      compiler.entries(
        identity,
        compiler.prefixesFor(rules.filter(({ peers }) => peers !== 'any' && peers.includes(identity))),
      ),
    ),
  ]
}

/** `IDENTITY PROTOCOL PORT/LENGTH VERDICT NAME`, as short as a table of cases wants it. */
const brief = (entries: readonly PolicyEntry[]): string[] =>
  entries.map(
    ({ identity, protocol, port, portPrefixLength, verdict, rule }) =>
      `${identity} ${protocol} ${port}/${portPrefixLength} ${verdict} ${rule.split('/')[0]}`,
  )

test('the entries of small policies', async t => {
  const cases: readonly { name: string; given: readonly Given[]; isIsolated?: boolean; want: readonly string[] }[] = [
    { name: 'isolated, no rule', given: [], want: [] },
    { name: 'not isolated, no rule', given: [], isIsolated: false, want: [`0 0 0/0 allow ${NOT_ISOLATED}`] },
    { name: 'any peer, any port', given: [given('any', [ALL_PORTS])], want: ['0 0 0/0 allow p'] },
    { name: 'one port', given: [given([7], [span(TCP, 80)])], want: ['7 6 80/16 allow p'] },
    { name: 'all ports of a protocol', given: [given([7], [span(TCP, 0, LAST_PORT)])], want: ['7 6 0/0 allow p'] },
    {
      name: 'a range is the fewest prefixes',
      given: [given('any', [span(TCP, 53, 84)])],
      want: [
        '0 6 53/16 allow p',
        '0 6 54/15 allow p',
        '0 6 56/13 allow p',
        '0 6 64/12 allow p',
        '0 6 80/14 allow p',
        '0 6 84/16 allow p',
      ],
    },
    {
      name: 'neighbouring ports of one rule join',
      given: [given([7], [span(TCP, 80), span(TCP, 81), span(TCP, 80, 81)])],
      want: ['7 6 80/15 allow p'],
    },
    {
      name: 'a peer whose allowance any peer has by the same rule needs none',
      given: [given('any', [ALL_PORTS]), given([7], [span(TCP, 80)], { name: 'q' })],
      want: ['0 0 0/0 allow p'],
    },
    {
      name: 'the reported rule is the first by name, also where it matches one peer only',
      given: [given('any', [ALL_PORTS], { name: 'q' }), given([7], [span(TCP, 80)])],
      want: ['0 0 0/0 allow q', '7 6 80/16 allow p'],
    },
    {
      name: 'a broad deny cuts a narrow allow',
      given: [given('any', [ALL_PORTS], { name: 'd', action: 'deny' }), given([7], [span(TCP, 80)])],
      want: ['0 0 0/0 deny d'],
    },
    {
      name: 'a narrow deny in a broad allow',
      given: [given('any', [ALL_PORTS]), given([7], [span(TCP, 80)], { name: 'd', action: 'deny' })],
      want: ['0 0 0/0 allow p', '7 6 80/16 deny d'],
    },
    {
      name: "a stronger answer for any peer needs no hole in the peer's own",
      given: [given('any', [span(TCP, 80)], { name: 'd', action: 'deny' }), given([7], [span(TCP, 0, LAST_PORT)])],
      want: ['0 6 80/16 deny d', '7 6 0/0 allow p'],
    },
    {
      name: 'a pass skips its tier, and outranks for one peer what holds for any',
      given: [
        given('any', [ALL_PORTS], { name: 'd', action: 'deny', tier: 'admin', priority: 2 }),
        given([7], [ALL_PORTS], { name: 's', action: 'pass', tier: 'admin', priority: 1 }),
        given([7], [span(TCP, 80)]),
      ],
      want: ['0 0 0/0 deny d', `7 0 0/0 deny ${DEFAULT_DENY}`, '7 6 80/16 allow p'],
    },
    {
      name: 'the baseline is not asked where the normal tier isolates',
      given: [given('any', [ALL_PORTS], { tier: 'baseline' })],
      want: [],
    },
    {
      name: 'the baseline is asked where nothing isolates',
      given: [given([7], [span(TCP, 80)], { name: 'b', action: 'deny', tier: 'baseline' })],
      isIsolated: false,
      want: [`0 0 0/0 allow ${NOT_ISOLATED}`, '7 6 80/16 deny b'],
    },
    {
      name: 'a different treatment is a different decision',
      given: [given('any', [ALL_PORTS], { name: 'q' }), given([7], [ALL_PORTS], { treatment: { l7: 'seen' } })],
      want: ['0 0 0/0 allow q', '7 0 0/0 allow p'],
    },
  ]
  for (const { name, given, isIsolated, want } of cases)
    await t.test(name, () => assert.deepEqual(brief(compile(given, isIsolated)), want))
})

test('precedence: tier, then priority, then place, then deny over allow; one u32', () => {
  const order = [
    precedence({ tier: 'admin', action: 'deny', priority: 0, place: 0 }),
    precedence({ tier: 'admin', action: 'allow', priority: 0, place: 0 }),
    precedence({ tier: 'admin', action: 'pass', priority: 0, place: 0 }),
    precedence({ tier: 'admin', action: 'deny', priority: 0, place: 1 }),
    precedence({ tier: 'admin', action: 'deny', priority: 1, place: 0 }),
    precedence({ tier: 'admin', action: 'allow', priority: 8191, place: 255 }),
    precedence({ tier: 'normal', action: 'deny', priority: 0 }),
    precedence({ tier: 'normal', action: 'deny' }),
    precedence({ tier: 'normal', action: 'allow' }),
    precedence({ tier: 'baseline', action: 'deny', priority: 0 }),
    precedence({ tier: 'baseline', action: 'pass', priority: 8191, place: 255 }),
    1,
  ]
  assert.deepEqual(
    order,
    order.toSorted((a, b) => b - a),
  )
  assert.equal(new Set(order).size, order.length)
  assert.ok(order.every(value => value === value >>> 0))
  for (const wrong of [-1, 8192, 1.5, Number.NaN])
    assert.throws(() => precedence({ tier: 'admin', action: 'deny', priority: wrong }), RangeError)
  assert.throws(() => precedence({ tier: 'admin', action: 'deny', place: 256 }), RangeError)
})

// From here on: the entries against the rule model, read as it is written down.

type Outcome = { readonly verdict: Verdict; readonly rule: string; readonly l7: string | undefined }

function modelOutcome(
  rules: readonly Given[],
  isIsolated: boolean,
  identity: number,
  protocol: number,
  port: number,
): Outcome | undefined {
  const matching = rules
    .filter(({ peers }) => peers === 'any' || peers.includes(identity))
    .filter(({ spans }) =>
      spans.some(s => (s.protocol === 0 || s.protocol === protocol) && s.first <= port && port <= s.last),
    )
    .map(({ rule }) => rule)
    .sort(compareRules)
  for (const tier of ['admin', 'normal', 'baseline']) {
    const decisive = matching.find(rule => rule.tier === tier)
    if (decisive && decisive.action !== 'pass')
      return { verdict: decisive.action, rule: decisive.key, l7: decisive.treatment?.l7 }
    if (tier === 'normal' && isIsolated) return undefined
  }
  return { verdict: 'allow', rule: NOT_ISOLATED, l7: undefined }
}

/** The kernel's answer; a denial by default and one after a pass are the same to a user. */
function kernelOutcome(
  entries: readonly PolicyEntry[],
  identity: number,
  protocol: number,
  port: number,
): Outcome | undefined {
  const entry = lookup(entries, { direction: 'ingress', identity, protocol, port })
  if (!entry || entry.rule === DEFAULT_DENY) return undefined
  return { verdict: entry.verdict, rule: entry.rule, l7: entry.treatment?.l7 }
}

const anyPort = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 79, 80, 81, 443, 0x7fff, 0x8000, 0xfffe, 0xffff),
  fc.nat({ max: 0xffff }),
)
const anySpan: fc.Arbitrary<PortSpan> = fc.oneof(
  fc.constant(ALL_PORTS),
  fc.constantFrom(TCP, UDP).map(protocol => span(protocol, 0, LAST_PORT)),
  fc.tuple(fc.constantFrom(TCP, UDP), anyPort).map(([protocol, port]) => span(protocol, port)),
  fc
    .tuple(fc.constantFrom(TCP, UDP), anyPort, anyPort)
    .map(([protocol, a, b]) => span(protocol, Math.min(a, b), Math.max(a, b))),
)
const anyGiven: fc.Arbitrary<Given> = fc
  .record({
    peers: fc.oneof(fc.constant('any' as const), fc.subarray([1, 2, 3])),
    spans: fc.array(anySpan, { minLength: 1, maxLength: 3 }),
    name: fc.constantFrom('a', 'b', 'c'),
    action: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const, 'pass' as const),
    tier: fc.constantFrom('admin' as const, 'normal' as const, 'normal' as const, 'baseline' as const),
    priority: fc.constantFrom(1, 2),
    place: fc.constantFrom(0, 1),
    l7: fc.constantFrom('', '', 'seen'),
  })
  .map(({ peers, spans, l7, ...options }) => given(peers, spans, l7 ? { ...options, treatment: { l7 } } : options))
const anyRules = fc
  .array(anyGiven, { maxLength: 8 })
  .map(rules => rules.map((one, index) => ({ ...one, rule: { ...one.rule, index, key: `${one.rule.key}#${index}` } })))

/** Every point where an answer could change, and its neighbours. */
function* questions(rules: readonly Given[]): Generator<readonly [identity: number, protocol: number, port: number]> {
  const bounds = rules.flatMap(({ spans }) => spans.flatMap(({ first, last }) => [first - 1, first, last, last + 1]))
  const ports = new Set([0, LAST_PORT, ...bounds].filter(port => port >= 0 && port <= LAST_PORT))
  // Identity 4 and protocol 1 are in no rule.
  for (const identity of [1, 2, 3, 4])
    for (const protocol of [TCP, UDP, 1]) for (const port of ports) yield [identity, protocol, port]
}

test('the two look-ups of the kernel give what the rule model says: verdict, rule and treatment', () => {
  fc.assert(
    fc.property(anyRules, fc.boolean(), (rules, isIsolated) => {
      const entries = compile(rules, isIsolated)
      for (const question of questions(rules))
        assert.deepEqual(
          kernelOutcome(entries, ...question),
          modelOutcome(rules, isIsolated, ...question),
          question.join(),
        )
    }),
    { numRuns: 1500 },
  )
})

test('no entry can be left out', () => {
  fc.assert(
    fc.property(anyRules, fc.boolean(), (rules, isIsolated) => {
      const entries = compile(rules, isIsolated)
      const covered = entries.map(({ protocol, port, portPrefixLength }) =>
        span(protocol, port, port + 2 ** (16 - portPrefixLength) - 1),
      )
      for (const entry of entries) {
        const fewer = entries.filter(other => other !== entry)
        const isMissed = [...questions([...rules, given('any', covered)])].some(question => {
          const [with_, without] = [kernelOutcome(entries, ...question), kernelOutcome(fewer, ...question)]
          return JSON.stringify(with_) !== JSON.stringify(without)
        })
        assert.ok(isMissed, `${JSON.stringify(entry)} changes nothing`)
      }
    }),
    { numRuns: 500 },
  )
})

test('the order of rules makes no difference', () => {
  fc.assert(
    fc.property(anyRules, fc.boolean(), (rules, isIsolated) => {
      assert.deepEqual(compile(rules.toReversed(), isIsolated), compile(rules, isIsolated))
    }),
  )
})

test('adding an allow never denies, and adding a deny never allows, below the admin tier', () => {
  fc.assert(
    fc.property(anyRules, anyGiven, fc.boolean(), (rules, more, isIsolated) => {
      fc.pre(more.rule.action !== 'pass')
      const normal = (one: Given): boolean => one.rule.tier === 'normal' && one.rule.action !== 'pass'
      // At one priority: across priorities an allow may of course outrank a deny, and the reverse.
      const level = (one: Given): Given =>
        given(one.peers, one.spans, { action: one.rule.action, index: one.rule.index })
      const before = compile(rules.filter(normal).map(level), isIsolated)
      const all = [...rules.filter(normal).map(level), level(more)]
      const after = compile(all, isIsolated)
      for (const question of questions(all)) {
        const [was, is] = [before, after].map(entries => kernelOutcome(entries, ...question)?.verdict === 'allow')
        if (more.rule.action === 'allow') assert.ok(!was || is, question.join())
        else assert.ok(was || !is, question.join())
      }
    }),
    { numRuns: 300 },
  )
})
