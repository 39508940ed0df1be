// The entries of a subject against the rule model, for every action, tier and
// priority, audited or not: what the kernel's two look-ups find must be what the model
// says, and no entry may be one too many.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { precedence } from '../model/precedence.ts'
import { DEFAULT_DENY, NOT_ISOLATED } from '../model/rule.ts'
import type { PolicyEntry } from './entries.ts'
import { lookup } from './evaluate.ts'
import { ALL_PORTS, LAST_PORT } from './port-space.ts'
import {
  anyRules,
  anySituation,
  compile,
  type Given,
  given,
  kernelOutcome,
  modelOutcome,
  passes,
  type Question,
  questions,
  type Situation,
  span,
  TCP,
} from './testing/random-rules.ts'

/** `IDENTITY PROTOCOL PORT/LENGTH VERDICT NAME`, as short as a table of cases wants it. */
const brief = (entries: readonly PolicyEntry[]): string[] =>
  entries.map(
    ({ identity, protocol, port, portPrefixLength, verdict, rule, treatment }) =>
      `${identity} ${protocol} ${port}/${portPrefixLength} ${treatment?.audit ? 'audit' : verdict} ${rule.split('/')[0]}`,
  )

test('the entries of small policies', async t => {
  const cases: readonly { name: string; given: readonly Given[]; situation?: Situation; want: readonly string[] }[] = [
    { name: 'isolated, no rule', given: [], want: [] },
    { name: 'not isolated, no rule', given: [], situation: {}, want: [`0 0 0/0 allow ${NOT_ISOLATED}`] },
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
      situation: {},
      want: [`0 0 0/0 allow ${NOT_ISOLATED}`, '7 6 80/16 deny b'],
    },
    {
      name: 'rules for what is said are lifted by an allow of the same priority without any',
      given: [given('any', [ALL_PORTS], { name: 'q' }), given([7], [ALL_PORTS], { l7: 'get' })],
      want: ['0 0 0/0 allow q'],
    },
    {
      name: 'audited deny beside an enforced allow',
      given: [given('any', [ALL_PORTS]), given([7], [span(TCP, 80)], { name: 'd', action: 'deny', audit: true })],
      want: ['0 0 0/0 allow p', '7 6 80/16 audit d'],
    },
    {
      name: 'audited deny where the default denies anyway: nothing to record',
      given: [given('any', [ALL_PORTS], { name: 'd', action: 'deny', audit: true })],
      want: [],
    },
    {
      name: 'audited deny under an enforced one: the enforced one',
      given: [
        given('any', [ALL_PORTS], { name: 'd', action: 'deny', audit: true }),
        given('any', [ALL_PORTS], { name: 'e', action: 'deny' }),
      ],
      want: ['0 0 0/0 deny e'],
    },
    {
      name: 'audited allow opens nothing',
      given: [given('any', [ALL_PORTS], { audit: true })],
      want: [],
    },
    {
      name: 'audited allow over an enforced deny opens nothing either, and lends its rank for one peer',
      given: [
        given('any', [ALL_PORTS], { name: 'q' }),
        given([7], [ALL_PORTS], { name: 'd', action: 'deny' }),
        given([7], [ALL_PORTS], { tier: 'admin', audit: true }),
      ],
      want: ['0 0 0/0 allow q', '7 0 0/0 deny d'],
    },
    {
      name: 'isolated by an audited policy alone: a denial for the record, beside what the policy allows',
      given: [given([7], [span(TCP, 80)], { audit: true })],
      situation: { isolatedForAudit: true },
      want: [`0 0 0/0 audit ${DEFAULT_DENY}`, '7 6 80/16 allow p'],
    },
    {
      name: 'isolated by an audited policy and by another one: denied',
      given: [given([7], [span(TCP, 80)], { audit: true }), given([7], [span(TCP, 81)], { name: 'q' })],
      situation: { isolated: true, isolatedForAudit: true },
      want: ['7 6 81/16 allow q'],
    },
    {
      name: 'isolated by an audited policy: the baseline is still enforced, for only what is enforced ends it',
      given: [given([7], [ALL_PORTS], { name: 'b', action: 'deny', tier: 'baseline' })],
      situation: { isolatedForAudit: true },
      want: [`0 0 0/0 audit ${DEFAULT_DENY}`, '7 0 0/0 deny b'],
    },
    {
      name: 'an audited subject: every denial is for the record',
      given: [given('any', [span(TCP, 80)]), given([7], [ALL_PORTS], { name: 'd', action: 'deny' })],
      situation: { isolated: true, audited: true },
      want: [`0 0 0/0 audit ${DEFAULT_DENY}`, '0 6 80/16 allow p', '7 0 0/0 audit d'],
    },
    { name: 'mode always: no rule', given: [], situation: { always: true }, want: [] },
    {
      name: 'mode always: the baseline is asked before the default',
      given: [given([7], [span(TCP, 53)], { tier: 'baseline' })],
      situation: { always: true },
      want: ['7 6 53/16 allow p'],
    },
    {
      name: 'mode always: the baseline is not asked where a policy isolates',
      given: [given([7], [span(TCP, 53)], { tier: 'baseline' })],
      situation: { always: true, isolated: true },
      want: [],
    },
  ]
  for (const { name, given, situation, want } of cases)
    await t.test(name, () => assert.deepEqual(brief(compile(given, situation)), want))
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

test('the two look-ups of the kernel give what the rule model says: verdict, rule and treatment', () => {
  fc.assert(
    fc.property(anyRules, anySituation, (rules, situation) => {
      const entries = compile(rules, situation)
      for (const question of questions(rules))
        assert.deepEqual(kernelOutcome(entries, question), modelOutcome(rules, situation, question), question.join())
    }),
    { numRuns: 1500 },
  )
})

/** What is read from entries: the kernel's answer, and which rules nobody can judge by, for whoever tells people of them. */
const said = (entries: readonly PolicyEntry[], question: Question): unknown[] => {
  const [identity, protocol, port] = question
  const found = lookup(entries, { direction: 'ingress', identity, protocol, port })
  return [kernelOutcome(entries, question), found?.treatment?.conflict]
}

test('no entry can be left out', () => {
  fc.assert(
    fc.property(anyRules, anySituation, (rules, situation) => {
      const entries = compile(rules, situation)
      const covered = entries.map(({ protocol, port, portPrefixLength }) =>
        span(protocol, port, port + 2 ** (16 - portPrefixLength) - 1),
      )
      for (const entry of entries) {
        const fewer = entries.filter(other => other !== entry)
        const isMissed = [...questions([...rules, given('any', covered)])].some(question => {
          const [with_, without] = [said(entries, question), said(fewer, question)]
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
    fc.property(anyRules, anySituation, (rules, situation) => {
      assert.deepEqual(compile(rules.toReversed(), situation), compile(rules, situation))
    }),
  )
})

test('audit never blocks what the enforced rules allow and never opens what they deny', () => {
  fc.assert(
    fc.property(anyRules, anySituation, (rules, situation) => {
      const entries = compile(rules, situation)
      const enforced = situation.audited ? [] : rules.filter(({ rule }) => !rule.audit)
      const { isolated, always } = situation
      const without = compile(enforced, situation.audited ? {} : { isolated, always })
      for (const question of questions(rules))
        assert.equal(passes(kernelOutcome(entries, question)), passes(kernelOutcome(without, question)))
    }),
    { numRuns: 500 },
  )
})
