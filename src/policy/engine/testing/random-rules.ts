// Random rules of one subject in one direction, of every action, tier, priority and
// treatment, audited or not, and what the rule model says of them, read as it is
// written down: one connection, all rules, no entries.

import * as fc from 'fast-check'
import { precedence } from '../../model/precedence.ts'
import {
  type Action,
  compareRules,
  DEFAULT_DENY,
  L7_CONFLICT,
  NOT_ISOLATED,
  type Rule,
  type Tier,
} from '../../model/rule.ts'
import { ANY_PEER, EntryCompiler, type PolicyEntry } from '../entries.ts'
import { lookup } from '../evaluate.ts'
import { ALL_PORTS, Decider, LAST_PORT, type PortSpan, type RuleSpans, type Verdict } from '../port-space.ts'
import { L7_SAMPLES, type L7Sample, l7Names, TRIED, unitedNames } from './l7-samples.ts'

export const TCP = 6
export const UDP = 17

/** A rule and the identities that it matches. */
export type Given = RuleSpans & { readonly peers: 'any' | readonly number[] }

type RuleOptions = {
  name?: string
  action?: Action
  tier?: Tier
  priority?: number
  place?: number
  index?: number
  l7?: L7Sample | undefined
  audit?: true | undefined
}

export function given(peers: Given['peers'], spans: readonly PortSpan[], options: RuleOptions = {}): Given {
  const { name = 'p', action = 'allow', tier = 'normal', priority = 100, place = 0, index = 0, l7 } = options
  const policy = { kind: 'Test', namespace: 'default', name, origin: { file: '', line: 0 } }
  const rule: Rule = {
    key: `${name}/${tier}/${priority}/${place}/${index}/${action}${options.audit ? '/audit' : ''}`,
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
    l7: l7 && action === 'allow' ? L7_SAMPLES[l7] : undefined,
    audit: options.audit,
  }
  return { rule, spans, peers }
}

export const span = (protocol: number, first: number, last = first): PortSpan => ({ protocol, first, last })

/** Who isolates the subject: policies that are enforced, policies that are not, the mode; and whether it is audited. */
export type Situation = {
  readonly isolated?: boolean | undefined
  readonly isolatedForAudit?: boolean | undefined
  readonly always?: boolean | undefined
  readonly audited?: boolean | undefined
}

export const ISOLATED: Situation = { isolated: true }

/** The entries for every peer that a rule names, and those for any. */
export function compile(rules: readonly Given[], situation: Situation = ISOLATED): PolicyEntry[] {
  const { isolated, isolatedForAudit, always, audited } = situation
  const byDefault = always ? 'mode' : 'none'
  const all = isolated || isolatedForAudit ? 'policy' : byDefault
  const enforced = audited ? 'none' : isolated ? 'policy' : byDefault
  const enforcedRules = audited ? 'none' : rules.some(({ rule }) => rule.audit) ? 'some' : 'all'
  const forAny = rules.filter(({ peers }) => peers === 'any')
  const compiler = new EntryCompiler('ingress', new Decider({ all, enforced }, enforcedRules), forAny)
  const identities = [...new Set(rules.flatMap(({ peers }) => (peers === 'any' ? [] : peers)))].sort((a, b) => a - b)
  return [
    ...compiler.entries(ANY_PEER, compiler.prefixesForAny()),
    ...identities.flatMap(identity =>
      compiler.entries(
        identity,
        compiler.prefixesFor(rules.filter(({ peers }) => peers !== 'any' && peers.includes(identity))),
      ),
    ),
  ]
}

/** What becomes of a connection; undefined: denied by default. */
export type Outcome = {
  readonly verdict: Verdict
  readonly rule: string
  readonly l7: string | undefined
  readonly audit: boolean
}

export const passes = (outcome: Outcome | undefined): boolean =>
  outcome !== undefined && (outcome.verdict === 'allow' || outcome.audit)

export type Question = readonly [identity: number, protocol: number, port: number]

/** One reading of the rules: the first that decides, tier after tier, or the default. */
function read(matching: readonly Rule[], { isolated, always }: Pick<Situation, 'isolated' | 'always'>): Outcome {
  for (const tier of ['admin', 'normal', 'baseline']) {
    if (tier === 'baseline' && isolated) break
    const decisive = matching.find(rule => rule.tier === tier)
    if (decisive && decisive.action !== 'pass') return decided(decisive, matching)
  }
  const isDenied = isolated || always
  return {
    verdict: isDenied ? 'deny' : 'allow',
    rule: isDenied ? DEFAULT_DENY : NOT_ISOLATED,
    l7: undefined,
    audit: false,
  }
}

/** Rules that allow alike are alternatives, and one of them may allow whatever is said. */
function decided(decisive: Rule, matching: readonly Rule[]): Outcome {
  const told = (rule: Rule, l7?: string): Outcome => ({
    verdict: rule.action as Verdict,
    rule: rule.key,
    l7,
    audit: false,
  })
  if (decisive.action === 'deny' || !decisive.l7) return told(decisive)
  const alike = matching.filter(({ precedence }) => precedence === decisive.precedence)
  const plain = alike.find(({ l7 }) => !l7)
  if (plain) return told(plain)
  const names = unitedNames(alike)
  return names === undefined
    ? { verdict: 'deny', rule: L7_CONFLICT, l7: undefined, audit: false }
    : told(decisive, names)
}

export function modelOutcome(
  rules: readonly Given[],
  situation: Situation,
  [identity, protocol, port]: Question,
): Outcome | undefined {
  const matching = rules
    .filter(({ peers }) => peers === 'any' || peers.includes(identity))
    .filter(({ spans }) =>
      spans.some(s => (s.protocol === 0 || s.protocol === protocol) && s.first <= port && port <= s.last),
    )
    .map(({ rule }) => rule)
  return outcomeOf(matching, situation)
}

/** What becomes of a connection that these rules match. */
export function outcomeOf(rules: readonly Rule[], situation: Situation): Outcome | undefined {
  const { isolated = false, isolatedForAudit = false, always = false, audited = false } = situation
  const matching = rules.toSorted(compareRules)
  const all = read(matching, { isolated: isolated || isolatedForAudit, always })
  const enforced = audited
    ? read([], {})
    : read(
        matching.filter(rule => !rule.audit),
        { isolated, always },
      )
  if (enforced.verdict === 'deny') return enforced.rule === DEFAULT_DENY ? undefined : enforced
  // What is tried out never keeps the enforced rules from judging what is said.
  if (all.verdict === 'deny') return enforced.l7 ? enforced : { ...all, l7: undefined, audit: true }
  if (all.l7 && !enforced.l7) return { ...all, l7: all.l7 + TRIED }
  return all.l7 === enforced.l7 ? all : enforced
}

/** The kernel's answer; a denial by default and one after a pass are the same to a user. */
export function kernelOutcome(
  entries: readonly PolicyEntry[],
  [identity, protocol, port]: Question,
): Outcome | undefined {
  return outcomeOfEntry(lookup(entries, { direction: 'ingress', identity, protocol, port }))
}

export function outcomeOfEntry(entry: PolicyEntry | undefined): Outcome | undefined {
  if (!entry) return undefined
  const { verdict, rule, treatment } = entry
  const audit = treatment?.audit ?? false
  return rule === DEFAULT_DENY && !audit ? undefined : { verdict, rule, l7: l7Names(treatment?.l7), audit }
}

/** Every point where an answer could change, and its neighbours. */
export function* questions(rules: readonly Given[]): Generator<Question> {
  const bounds = rules.flatMap(({ spans }) => spans.flatMap(({ first, last }) => [first - 1, first, last, last + 1]))
  const ports = new Set([0, LAST_PORT, ...bounds].filter(port => port >= 0 && port <= LAST_PORT))
  // Identity 4 and protocol 1 are in no rule.
  for (const identity of [1, 2, 3, 4])
    for (const protocol of [TCP, UDP, 1]) for (const port of ports) yield [identity, protocol, port]
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

export const anyGiven: fc.Arbitrary<Given> = fc
  .record({
    peers: fc.oneof(fc.constant('any' as const), fc.subarray([1, 2, 3])),
    spans: fc.array(anySpan, { minLength: 1, maxLength: 3 }),
    name: fc.constantFrom('a', 'b', 'c'),
    action: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const, 'pass' as const),
    tier: fc.constantFrom('admin' as const, 'normal' as const, 'normal' as const, 'baseline' as const),
    priority: fc.constantFrom(1, 2),
    place: fc.constantFrom(0, 1),
    l7: fc.constantFrom(undefined, undefined, undefined, 'get' as const, 'post' as const, 'names' as const),
    audit: fc.constantFrom(undefined, undefined, true as const),
  })
  .map(({ peers, spans, ...options }) => given(peers, spans, options))

export const anyRules: fc.Arbitrary<Given[]> = fc
  .array(anyGiven, { maxLength: 8 })
  .map(rules => rules.map((one, index) => ({ ...one, rule: { ...one.rule, index, key: `${one.rule.key}#${index}` } })))

export const anySituation: fc.Arbitrary<Situation> = fc.record({
  isolated: fc.boolean(),
  isolatedForAudit: fc.boolean(),
  always: fc.constantFrom(false, false, true),
  audited: fc.constantFrom(false, false, false, true),
})
