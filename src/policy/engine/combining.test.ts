// How policies combine: the engine against a reading of the model as it is written
// down, and what users count on whatever the policies are.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { L7_CONFLICT, type Policy, type Rule, type Tier } from '../model/rule.ts'
import type { PolicyEntry } from './entries.ts'
import { lookup, type PolicyQuestion } from './evaluate.ts'
import { TRIED } from './testing/l7-samples.ts'
import {
  anyGroups,
  anySketch,
  anyWorld,
  EMPTY_WORLD,
  engineOutcomes,
  matchingRules,
  modelOutcome,
  policyOf,
  QUESTIONS,
  type Question,
  type RuleSketch,
  repositoryOf,
  type World,
} from './testing/random-policies.ts'
import { type Outcome, outcomeOfEntry, passes } from './testing/random-rules.ts'

const NOT_ISOLATING = { ingress: false, egress: false }

const describe = ({ direction, party, protocol, port }: Question): string =>
  `${direction} ${party.address} ${protocol} ${port}`

/** The world with one more rule, in a policy of its own that isolates nobody. */
function withRule(world: World, sketch: RuleSketch, audit = false): World {
  const more = policyOf('more', audit, [{ app: undefined, isolates: NOT_ISOLATING, rules: [sketch] }])
  return { ...world, policies: [...world.policies, more] }
}

function withRules(world: World, change: (rules: readonly Rule[]) => Rule[]): World {
  const policies = world.policies.map((policy): Policy => {
    return { ...policy, specs: policy.specs.map(spec => ({ ...spec, rules: change(spec.rules) })) }
  })
  return { ...world, policies }
}

/** What is enforced, and nothing else. */
function withoutAudited(world: World): World {
  return { ...world, policies: world.policies.filter(({ specs }) => specs.every(({ audit }) => !audit)) }
}

/** All of it enforced. */
function withoutAudit(world: World): World {
  const policies = world.policies.map((policy): Policy => {
    const specs = policy.specs.map(spec => {
      return { ...spec, audit: undefined, rules: spec.rules.map(rule => ({ ...rule, audit: undefined })) }
    })
    return { ...policy, specs }
  })
  return { ...world, policies, subject: { ...world.subject, audit: undefined } }
}

const sketchOf = (sketch: Partial<RuleSketch>): RuleSketch => ({
  direction: 'ingress',
  action: 'allow',
  tier: 'normal',
  peers: 'any',
  ports: 'any',
  priority: 1,
  place: 0,
  l7: undefined,
  ...sketch,
})

test('the engine says what the model says: every action, tier, priority, audit, named port, block, group and mode', () => {
  fc.assert(
    fc.property(anyWorld, world => {
      const outcome = engineOutcomes(world)
      for (const question of QUESTIONS)
        assert.deepEqual(outcome(question), modelOutcome(world, question), describe(question))
    }),
    { numRuns: 400 },
  )
})

test('the order of objects makes no difference, nor do groups that were others before', () => {
  fc.assert(
    fc.property(anyWorld, anyGroups, (world, before) => {
      const straight = repositoryOf(world)
      const winding = repositoryOf({ ...world, policies: world.policies.toReversed(), groups: before })
      winding.resolve(world.subject)
      for (const { name } of before) if (!world.groups.some(group => group.name === name)) winding.deleteCidrGroup(name)
      for (const group of world.groups.toReversed()) winding.setCidrGroup(group)
      assert.deepEqual(winding.resolve(world.subject), straight.resolve(world.subject))
      assert.deepEqual(winding.unknownReferences(), straight.unknownReferences())
      const prefixes = [winding, straight].map(repository =>
        [...repository.references().prefixes].map(({ prefix, value }) => [prefix.text, value]),
      )
      assert.deepEqual(prefixes[0], prefixes[1])
    }),
    { numRuns: 300 },
  )
})

test('adding an allow never denies what passed, adding a deny never lets pass what was denied', () => {
  fc.assert(
    fc.property(anyWorld, anySketch, fc.boolean(), (world, more, audit) => {
      fc.pre(more.action !== 'pass')
      // With rules for what is said it may speak another language than one that is there.
      const sketch = { ...more, l7: undefined }
      const [before, after] = [engineOutcomes(world), engineOutcomes(withRule(world, sketch, audit))]
      for (const question of QUESTIONS) {
        const [was, is] = [passes(before(question)), passes(after(question))]
        if (sketch.action === 'allow') assert.ok(!was || is, describe(question))
        else assert.ok(was || !is, describe(question))
        if (audit) assert.equal(is, was, describe(question))
      }
    }),
    { numRuns: 400 },
  )
})

test('a deny wins in its tier at equal priority, whatever its breadth', () => {
  fc.assert(
    fc.property(anyWorld, anySketch, (world, sketch) => {
      const deny = sketchOf({ ...sketch, action: 'deny', priority: 1, place: 0 })
      fc.pre(!world.subject.audit)
      // Nothing above it, and beside it everything at its priority.
      const tiers: readonly Tier[] = ['admin', 'normal', 'baseline']
      const isBelow = ({ tier }: Rule): boolean => tiers.indexOf(tier) >= tiers.indexOf(deny.tier)
      const all = withRule(
        withRules(world, rules => rules.filter(isBelow)),
        deny,
      )
      const outcome = engineOutcomes(all)
      for (const question of QUESTIONS) {
        const isMatched = matchingRules(all, question).some(({ policy }) => policy.name === 'more')
        if (isMatched) assert.equal(passes(outcome(question)), false, describe(question))
      }
    }),
    { numRuns: 400 },
  )
})

test('a pass at the head of a tier makes the tier as if it had no rules, and changes nothing below or elsewhere', () => {
  fc.assert(
    fc.property(anyWorld, anySketch, (world, sketch) => {
      const pass = sketchOf({ ...sketch, action: 'pass', priority: 0 })
      const all = withRule(world, pass)
      const [before, after] = [engineOutcomes(world), engineOutcomes(all)]
      const skipped = engineOutcomes(withRules(world, rules => rules.filter(({ tier }) => tier !== pass.tier)))
      for (const question of QUESTIONS) {
        const isMatched = matchingRules(all, question).some(({ policy }) => policy.name === 'more')
        assert.deepEqual(after(question), (isMatched ? skipped : before)(question), describe(question))
      }
    }),
    { numRuns: 400 },
  )
})

/** Rules that allow everything, for it to be seen, judge nothing, nor do those that are only tried out. */
const judgedBy = (outcome: Outcome | undefined): string | undefined =>
  outcome?.l7?.endsWith(TRIED) ? undefined : outcome?.l7 || undefined

test('to audit policies enforces what to remove them does', () => {
  fc.assert(
    fc.property(anyWorld, world => {
      const [audited, removed] = [engineOutcomes(world), engineOutcomes(withoutAudited(world))]
      for (const question of QUESTIONS) {
        assert.equal(passes(audited(question)), passes(removed(question)), describe(question))
        if (passes(removed(question)))
          assert.equal(judgedBy(audited(question)), judgedBy(removed(question)), `what is said: ${describe(question)}`)
      }
    }),
    { numRuns: 400 },
  )
})

test('what passes for the record is what enforcing the audited policies would deny', () => {
  fc.assert(
    fc.property(anyWorld, world => {
      const now = engineOutcomes(world)
      const then = engineOutcomes(withoutAudit(world))
      // Where rules for what is said are enforced, they go on to judge, and nothing is recorded.
      for (const question of QUESTIONS)
        if (passes(now(question)) && judgedBy(now(question)) === undefined) {
          assert.equal(now(question)?.audit, !passes(then(question)), describe(question))
          const tried = now(question)?.l7?.endsWith(TRIED) ? now(question)?.l7?.slice(0, -TRIED.length) : undefined
          if (passes(then(question))) assert.equal(tried, judgedBy(then(question)), `said: ${describe(question)}`)
        }
    }),
    { numRuns: 400 },
  )
})

test('no entry of a resolved policy can be left out', () => {
  fc.assert(
    fc.property(anyWorld, world => {
      const { entries } = repositoryOf(world).resolve(world.subject)
      for (const entry of entries) {
        const fewer = entries.filter(other => other !== entry)
        const isMissed = placesOf(entry, entries).some(question => {
          const [all, rest] = [entries, fewer].map(list => outcomeOfEntry(lookup(list, question)))
          return JSON.stringify(all) !== JSON.stringify(rest)
        })
        assert.ok(isMissed, `${JSON.stringify(entry)} changes nothing`)
      }
    }),
    { numRuns: 100 },
  )
})

/** Everything that an entry may answer, as far as other entries tell it apart. */
function placesOf(entry: PolicyEntry, entries: readonly PolicyEntry[]): PolicyQuestion[] {
  const { direction } = entry
  const spans = entries.map(({ port, portPrefixLength }) => [port, port + 2 ** (16 - portPrefixLength)] as const)
  const ports = new Set(
    spans
      .flat()
      .flatMap(bound => [bound - 1, bound])
      .filter(port => port >= 0 && port < 65536),
  )
  const identities = entry.identity === 0 ? [...new Set(entries.map(({ identity }) => identity)), 99] : [entry.identity]
  const protocols = entry.protocol === 0 ? [...new Set(entries.map(({ protocol }) => protocol)), 99] : [entry.protocol]
  return identities
    .filter(identity => identity !== 0)
    .flatMap(identity =>
      protocols.flatMap(protocol => [...ports].map(port => ({ direction, identity, protocol, port }))),
    )
}

/** A rule beside an allow, and what becomes of what both match and of what it alone matches. */
type OtherRule = {
  readonly name: string
  /** Of the allow. */
  readonly own?: Partial<RuleSketch>
  readonly more: Partial<RuleSketch>
  readonly audit?: boolean
  readonly both: Outcome
  readonly alone: Outcome | undefined
}

test('all peers or one, all ports or one: an allow with another rule beside it', async t => {
  const breadths = [
    { name: 'all peers, all ports', peers: 'any', ports: 'any' },
    { name: 'all peers, one port', peers: 'any', ports: 80 },
    { name: 'one peer, all ports', peers: 'one', ports: 'any' },
    { name: 'one peer, one port', peers: 'one', ports: 80 },
  ] as const
  type Breadth = (typeof breadths)[number]
  const sketch = (breadth: Breadth, more: Partial<RuleSketch>): RuleSketch =>
    sketchOf({
      ...more,
      peers: breadth.peers === 'any' ? 'any' : [{ kind: 'cidr', cidr: '192.0.2.0/24', except: [], covers: 'world' }],
      ports: breadth.ports === 'any' ? 'any' : [{ protocol: 6, ports: { first: 80, last: 80 } }],
    })
  const covers = ({ peers, ports }: Breadth, { party, protocol, port }: Question): boolean =>
    (peers === 'any' || party.address === '192.0.2.1') && (ports === 'any' || (protocol === 6 && port === 80))
  const allowed = (name: string, l7?: string): Outcome => ({ verdict: 'allow', rule: ruleKey(name), l7, audit: false })
  const ruleKey = (name: string): string => `Test/shop/${name}/specs[0].ingress[0]`
  const others: readonly OtherRule[] = [
    {
      name: 'a deny',
      more: { action: 'deny' },
      both: { ...allowed('other'), verdict: 'deny' },
      alone: { ...allowed('other'), verdict: 'deny' },
    },
    {
      name: 'an audited deny',
      more: { action: 'deny' },
      audit: true,
      both: { ...allowed('other'), verdict: 'deny', audit: true },
      alone: undefined,
    },
    {
      name: 'audited rules for requests beside an allow without any',
      more: { l7: 'get' },
      audit: true,
      both: allowed('allow'),
      alone: undefined,
    },
    {
      name: 'rules for requests are lifted by an allow without any',
      more: { l7: 'get' },
      both: allowed('allow'),
      alone: allowed('other', 'get'),
    },
    {
      name: 'an allow lifts rules for requests',
      own: { l7: 'get' },
      more: {},
      both: allowed('other'),
      alone: allowed('other'),
    },
    {
      name: 'more rules for requests',
      own: { l7: 'get' },
      more: { l7: 'post' },
      both: allowed('allow', 'get+post'),
      alone: allowed('other', 'post'),
    },
    {
      name: 'the same rules for requests',
      own: { l7: 'get' },
      more: { l7: 'get' },
      both: allowed('allow', 'get'),
      alone: allowed('other', 'get'),
    },
    {
      name: 'rules of another protocol',
      own: { l7: 'get' },
      more: { l7: 'names' },
      both: { verdict: 'deny', rule: L7_CONFLICT, l7: undefined, audit: false },
      alone: allowed('other', 'names'),
    },
    {
      name: 'a deny beside rules for requests',
      own: { l7: 'get' },
      more: { action: 'deny' },
      both: { ...allowed('other'), verdict: 'deny' },
      alone: { ...allowed('other'), verdict: 'deny' },
    },
    {
      name: 'an audited deny beside rules for requests, which go on to judge',
      own: { l7: 'get' },
      more: { action: 'deny' },
      audit: true,
      both: allowed('allow', 'get'),
      alone: undefined,
    },
    {
      name: 'an audited allow beside rules for requests',
      own: { l7: 'get' },
      more: {},
      audit: true,
      both: allowed('allow', 'get'),
      alone: undefined,
    },
  ]
  for (const one of breadths)
    for (const two of breadths)
      for (const { name, own, more, both, alone, audit = false } of others)
        await t.test(`${one.name}; ${name} for ${two.name}`, () => {
          const policies = [
            policyOf('allow', false, [
              { app: 'web', isolates: { ingress: true, egress: false }, rules: [sketch(one, own ?? {})] },
            ]),
            policyOf('other', audit, [{ app: 'web', isolates: NOT_ISOLATING, rules: [sketch(two, more)] }]),
          ]
          const outcome = engineOutcomes({ ...EMPTY_WORLD, policies })
          for (const question of QUESTIONS.filter(({ direction }) => direction === 'ingress')) {
            const [isAllowed, isOther] = [covers(one, question), covers(two, question)]
            const want = isOther ? (isAllowed ? both : alone) : isAllowed ? allowed('allow', own?.l7) : undefined
            assert.deepEqual(outcome(question), want, describe(question))
          }
        })
})
