// The repository: what subjects get, what a change tells of, and that the way to a
// state makes no difference.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { cidr } from '../../ip/index.ts'
import {
  has,
  inNamespace,
  type LabelSet,
  PROTOCOLS,
  parseLabelSet,
  podLabels,
  podRequirements,
  selector,
} from '../../labels/index.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import { precedence } from '../model/precedence.ts'
import type { Direction, Peer, Policy, PortMatch, Rule } from '../model/rule.ts'
import { PolicyRepository } from './repository.ts'
import { type ResolvedPolicy, type Subject, subjectKey } from './subject.ts'

const TCP = PROTOCOLS.TCP

const labelsOf = (text: string): LabelSet => parseLabelSet(text) as LabelSet
const pod = (labels: Record<string, string>, namespace = 'shop'): LabelSet =>
  podLabels({ namespace, namespaceLabels: {}, labels })
const subject = (app: string, namedPorts: Subject['namedPorts'] = []): Subject => ({ labels: pod({ app }), namedPorts })
const app = (name: string): Peer => ({
  kind: 'selector',
  selector: selector([inNamespace('shop'), ...podRequirements({ matchLabels: { app: name } })]),
})
const block = (cidr: string, except: string[] = []): Peer => ({ kind: 'cidr', cidr, except, covers: 'everything' })
const inGroup = (name: string): Peer => ({ kind: 'cidr-group', group: { name }, except: ['10.1.0.0/16'] })
const port = (number: number): PortMatch => ({ protocol: TCP, ports: { first: number, last: number } })

type RuleSketch = { direction?: Direction; peers?: Rule['peers']; ports?: Rule['ports'] }

/** A policy of namespace `shop` that selects one app, or all, and isolates the directions it has rules for. */
function policy(name: string, selects: string | undefined, ...sketches: readonly RuleSketch[]): Policy {
  const ref = { kind: 'Test', namespace: 'shop', name, origin: { file: `${name}.yaml`, line: 1 } }
  const rules = sketches.map(({ direction = 'ingress', peers = 'any', ports = 'any' }, index): Rule => {
    const path = `${direction}[${index}]`
    return {
      key: `Test/shop/${name}/${path}`,
      policy: ref,
      path,
      origin: { file: `${name}.yaml`, line: index + 10 },
      direction,
      index,
      action: 'allow',
      tier: 'normal',
      precedence: precedence({ tier: 'normal', action: 'allow' }),
      peers,
      ports,
    }
  })
  const isolates = {
    ingress: rules.some(r => r.direction === 'ingress'),
    egress: rules.some(r => r.direction === 'egress'),
  }
  const requirements = [inNamespace('shop'), ...podRequirements(selects ? { matchLabels: { app: selects } } : {})]
  return { ref, specs: [{ subject: selector(requirements), isolates, rules }] }
}

/** The policy as one to try out. */
function tried({ ref, specs }: Policy): Policy {
  const rulesOf = (rules: readonly Rule[]): Rule[] => rules.map(rule => ({ ...rule, audit: true }))
  return { ref, specs: specs.map(spec => ({ ...spec, audit: true, rules: rulesOf(spec.rules) })) }
}

/** `DIRECTION IDENTITY PROTOCOL PORT/LENGTH RULE`. */
const brief = ({ entries }: ResolvedPolicy): string[] =>
  entries.map(
    e =>
      `${e.direction} ${e.identity} ${e.protocol} ${e.port}/${e.portPrefixLength} ${e.rule.replace('Test/shop/', '')}`,
  )

const OPEN_INGRESS = 'ingress 0 0 0/0 not-isolated'
const OPEN_EGRESS = 'egress 0 0 0/0 not-isolated'

test('a subject that nothing selects may do all', () => {
  const { entries, isolatedBy } = new PolicyRepository().resolve(subject('web'))
  assert.deepEqual(brief({ entries } as ResolvedPolicy), [OPEN_INGRESS, OPEN_EGRESS])
  assert.deepEqual(isolatedBy, { ingress: [], egress: [] })
})

test('policies that isolate are told, in the order of their names', () => {
  const repository = new PolicyRepository()
  for (const name of ['b', 'a', 'other'])
    repository.setPolicy(policy(name, name === 'other' ? 'db' : 'web', { peers: [] }))
  const { entries, isolatedBy } = repository.resolve(subject('web'))
  assert.deepEqual(brief({ entries } as ResolvedPolicy), [OPEN_EGRESS])
  assert.deepEqual(
    isolatedBy.ingress.map(ref => ref.name),
    ['a', 'b'],
  )
  assert.deepEqual(isolatedBy.egress, [])
})

test('policies that isolate for the record alone are told apart, and so are audited subjects', () => {
  const repository = new PolicyRepository()
  const isolating = (): string[] =>
    repository.resolve(subject('web')).isolatedBy.ingress.map(({ name, audit }) => (audit ? `${name} audit` : name))
  repository.setPolicy(tried(policy('b', 'web', { peers: [] })))
  assert.deepEqual(isolating(), ['b audit'])
  repository.setPolicy(policy('a', 'web', { peers: [] }))
  assert.deepEqual(isolating(), ['a', 'b audit'])
  const audited = repository.resolve({ ...subject('web'), audit: true })
  assert.deepEqual(
    audited.isolatedBy.ingress.map(({ name, audit }) => [name, audit]),
    [
      ['a', true],
      ['b', true],
    ],
  )
  assert.deepEqual(brief(audited), ['ingress 0 0 0/0 default-deny', OPEN_EGRESS])
  assert.deepEqual(audited.entries[0]?.treatment, { audit: true })
  assert.notEqual(audited.key, repository.resolve(subject('web')).key)
})

test('the key tells a denial for the record from one that is enforced', () => {
  const denyAll = (audit: boolean): PolicyRepository => {
    const repository = new PolicyRepository()
    const made = policy('p', 'web', {})
    const specs = made.specs.map(spec => ({
      ...spec,
      isolates: { ingress: false, egress: false },
      rules: spec.rules.map((rule): Rule => ({ ...rule, action: 'deny', ...(audit && { audit }) })),
    }))
    repository.setPolicy({ ...made, specs })
    return repository
  }
  const [tried, enforced] = [true, false].map(audit => denyAll(audit).resolve(subject('web')))
  assert.ok(tried && enforced)
  assert.deepEqual(brief(tried), brief(enforced))
  assert.notEqual(tried.key, enforced.key)
})

test('mode always isolates whom no policy selects and names none; mode never isolates nobody', () => {
  const always = new PolicyRepository({ enforcement: 'always' })
  const { entries, isolatedBy } = always.resolve(subject('db'))
  assert.deepEqual([entries, isolatedBy], [[], { ingress: [], egress: [] }])
  always.setPolicy(policy('p', 'web', { ports: [port(80)] }))
  const web = always.resolve(subject('web'))
  assert.deepEqual(brief(web), ['ingress 0 6 80/16 p/ingress[0]'])
  assert.deepEqual([web.isolatedBy.ingress.map(({ name }) => name), web.isolatedBy.egress], [['p'], []])

  const never = new PolicyRepository({ enforcement: 'never' })
  never.setPolicy(policy('p', undefined, { peers: [] }, { direction: 'egress', peers: [] }))
  for (const one of [subject('web'), { ...subject('web'), audit: true } as const]) {
    const open = never.resolve(one)
    assert.deepEqual(brief(open), [OPEN_INGRESS, OPEN_EGRESS])
    assert.deepEqual(open.isolatedBy, { ingress: [], egress: [] })
  }
  assert.equal(never.enforcement, 'never')
})

test('peers: all identities that match, of any source; two identities of one pod where a block holds one address', () => {
  const repository = new PolicyRepository()
  repository.setIdentity(300, pod({ app: 'a' }))
  repository.setIdentity(301, pod({ app: 'b' }))
  repository.setIdentity(1 << 24, labelsOf(`${pod({ app: 'a' }).key};cidr:10.0.0.0/8`))
  repository.setPolicy(
    policy('p', 'web', { peers: [app('a')], ports: [port(80)] }, { peers: [block('10.0.0.0/8')], ports: [port(443)] }),
  )
  assert.deepEqual(brief(repository.resolve(subject('web'))), [
    'ingress 300 6 80/16 p/ingress[0]',
    `ingress ${1 << 24} 6 80/16 p/ingress[0]`,
    `ingress ${1 << 24} 6 443/16 p/ingress[1]`,
    OPEN_EGRESS,
  ])
})

test('named ports: of the subject for ingress, of each peer for egress', () => {
  const repository = new PolicyRepository()
  const http: PortMatch = { protocol: TCP, ports: { name: 'http' } }
  repository.setPolicy(policy('in', 'web', { ports: [http] }))
  repository.setPolicy(
    policy(
      'out',
      'web',
      { direction: 'egress', ports: [http, port(53)] },
      { direction: 'egress', peers: [app('a')], ports: [http] },
    ),
  )
  repository.setIdentity(300, labelsOf(`${pod({ app: 'a' }).key};port:http/TCP=8080`))
  repository.setIdentity(301, labelsOf(`${pod({ app: 'b' }).key};port:http/TCP=9090`))
  repository.setIdentity(302, pod({ app: 'a' }))
  const egress = [
    'egress 0 6 53/16 out/egress[0]',
    'egress 300 6 8080/16 out/egress[0]',
    'egress 301 6 9090/16 out/egress[0]',
  ]
  const named = (number: number, protocol: number = TCP): Subject['namedPorts'] => [
    { name: 'http', protocol, port: number },
  ]
  assert.deepEqual(brief(repository.resolve(subject('web', named(80)))), ['ingress 0 6 80/16 in/ingress[0]', ...egress])
  assert.deepEqual(brief(repository.resolve(subject('web', named(81)))), ['ingress 0 6 81/16 in/ingress[0]', ...egress])
  assert.deepEqual(brief(repository.resolve(subject('web', named(80, PROTOCOLS.UDP)))), egress)
  assert.deepEqual([...repository.references().egressNamedPorts], ['http/TCP'])
})

test('the key names the entries: equal for equal ones whatever made them, different otherwise', () => {
  const one = new PolicyRepository()
  one.setIdentity(300, pod({ app: 'a' }))
  one.setPolicy(policy('p', undefined, { peers: [app('a')] }))
  const other = new PolicyRepository()
  other.setPolicy(policy('p', 'web', { peers: [app('a')] }))
  other.setPolicy(policy('isolates-only', 'web', { peers: [] }))
  const before = other.resolve(subject('web')).key
  other.setIdentity(300, pod({ app: 'a' }))
  assert.equal(other.resolve(subject('web')).key, one.resolve(subject('web')).key)
  assert.equal(one.resolve(subject('web')).entries, one.resolve(subject('db')).entries)
  assert.notEqual(before, other.resolve(subject('web')).key)
  assert.notEqual(one.resolve(subject('web')).key, one.resolve({ labels: pod({}, 'elsewhere'), namedPorts: [] }).key)
})

test('a peer that needs no entry leaves no trace in the key', () => {
  const keys = [[], [300], [300, 301]].map(identities => {
    const repository = new PolicyRepository()
    for (const identity of identities) repository.setIdentity(identity, pod({ app: 'a', of: String(identity) }))
    repository.setPolicy(policy('p', 'web', {}, { peers: [app('a')], ports: [port(80)] }))
    // Two beside 300 and 301 that have one: the first policy by name is told.
    repository.setIdentity(310, pod({ app: 'db' }))
    repository.setIdentity(400, pod({ app: 'db' }))
    repository.setPolicy(policy('first', 'web', { peers: [app('db')] }))
    return repository.resolve(subject('web')).key
  })
  assert.equal(new Set(keys).size, 1)
})

test('changes that pile up before anybody asks are all seen', () => {
  const repository = new PolicyRepository()
  for (const number of [300, 301, 302, 303]) repository.setIdentity(number, pod({ app: 'db', of: String(number) }))
  repository.setPolicy(policy('p', 'web', { peers: [app('a')] }))
  repository.setPolicy(policy('q', 'web', { peers: [app('db')] }))
  repository.resolve(subject('web'))
  repository.setIdentity(301, pod({ app: 'a' }))
  repository.deleteIdentity(302)
  repository.setPolicy(policy('other', 'web', { direction: 'egress' }))
  repository.setIdentity(304, pod({ app: 'a' }))
  repository.setPolicy(policy('other', 'web'))
  assert.deepEqual(brief(repository.resolve(subject('web'))), [
    'ingress 300 0 0/0 q/ingress[0]',
    'ingress 301 0 0/0 p/ingress[0]',
    'ingress 303 0 0/0 q/ingress[0]',
    'ingress 304 0 0/0 p/ingress[0]',
    OPEN_EGRESS,
  ])
})

test('only what a change can affect is told of', () => {
  const repository = new PolicyRepository()
  const changed = (): string[] =>
    repository
      .changes()
      .map(({ labels }) => labels.values.get('k8s:app') ?? '')
      .sort()
  repository.setPolicy(policy('web', 'web', { peers: [app('a')] }))
  for (const name of ['web', 'db', 'cache']) repository.resolve(subject(name))
  assert.deepEqual(changed(), [])
  repository.setPolicy(policy('db', 'db', { peers: [block('10.0.0.0/8')] }))
  assert.deepEqual(changed(), ['db'])
  repository.setIdentity(300, pod({ app: 'a' }))
  assert.deepEqual(changed(), ['web'])
  repository.setIdentity(300, pod({ app: 'a' }))
  repository.setIdentity(301, pod({ app: 'nobody' }))
  assert.deepEqual(changed(), [])
  repository.setIdentity(300, labelsOf(`${pod({ app: 'a' }).key};cidr:10.0.0.0/8`))
  assert.deepEqual(changed(), ['db', 'web'])
  repository.deleteIdentity(300)
  assert.deepEqual(changed(), ['db', 'web'])
  repository.setPolicy(policy('all', undefined, {}))
  assert.deepEqual(changed(), ['cache', 'db', 'web'])
  repository.forget(subject('cache'))
  assert.equal(repository.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'all' }), true)
  assert.equal(repository.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'all' }), false)
  assert.deepEqual(changed(), ['db', 'web'])
})

test('references are those of the policies held now, each told once', () => {
  const repository = new PolicyRepository()
  const references = repository.references()
  const state = (): unknown => ({
    cidrs: [...references.prefixes].map(({ prefix }) => prefix.text),
    ports: [...references.egressNamedPorts].sort(),
    keys: [...references.labelKeys].filter(key => !key.startsWith('io.')).sort(),
  })
  const named: PortMatch = { protocol: TCP, ports: { name: 'http' } }
  const tricky: Peer = { kind: 'selector', selector: selector([has('k8s', 'pod-template-hash')]) }
  repository.setPolicy(policy('a', 'web', { peers: [block('10.0.0.0/8', ['10.1.0.0/16'])], ports: [named] }))
  const first = references.revision
  repository.setPolicy(
    policy('b', 'web', { direction: 'egress', peers: [block('10.0.0.0/8'), tricky], ports: [named] }),
  )
  assert.ok(references.revision > first)
  assert.deepEqual(state(), {
    cidrs: ['10.0.0.0/8', '10.1.0.0/16'],
    ports: ['http/TCP'],
    keys: ['app', 'pod-template-hash'],
  })
  const second = references.revision
  repository.setPolicy(policy('c', 'web', { peers: [block('10.0.0.0/8')] }))
  assert.equal(references.revision, second, 'nothing new is named')
  repository.setPolicy(policy('b', 'web'))
  assert.deepEqual(state(), { cidrs: ['10.0.0.0/8', '10.1.0.0/16'], ports: [], keys: ['app'] })
  for (const name of ['a', 'b', 'c']) repository.deletePolicy({ kind: 'Test', namespace: 'shop', name })
  assert.deepEqual(state(), { cidrs: [], ports: [], keys: [] })
  assert.equal(references.prefixes.has(cidr('10.0.0.0/8')), false)
})

test('a rule is found by its key while its policy is held', () => {
  const repository = new PolicyRepository()
  repository.setPolicy(policy('p', 'web', {}, {}))
  const [entry] = repository.resolve(subject('web')).entries
  assert.deepEqual(repository.rule(entry?.rule ?? '')?.origin, { file: 'p.yaml', line: 10 })
  repository.setPolicy(policy('p', 'web', {}))
  assert.equal(repository.rule('Test/shop/p/ingress[1]'), undefined)
  repository.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'p' })
  assert.equal(repository.rule('Test/shop/p/ingress[0]'), undefined)
})

// From here on: whatever the way to a state, what is resolved there is the same.

const APPS = ['web', 'db', 'a']
const anyPeers: fc.Arbitrary<Rule['peers']> = fc.oneof(
  fc.constant('any' as const),
  fc.subarray([app('a'), app('db'), block('10.0.0.0/8', ['10.1.0.0/16']), block('::/0'), inGroup('g'), inGroup('h')], {
    maxLength: 4,
  }),
)
const anyPorts: fc.Arbitrary<Rule['ports']> = fc.oneof(
  fc.constant('any' as const),
  fc.subarray(
    [port(80), port(443), { protocol: TCP, ports: { name: 'http' } } as const, { protocol: 17, ports: 'any' } as const],
    { minLength: 1 },
  ),
)
const anySketch = fc.record({
  direction: fc.constantFrom('ingress' as const, 'egress' as const),
  peers: anyPeers,
  ports: anyPorts,
})
const anyPolicy = fc
  .tuple(
    fc.constantFrom('p', 'q', 'r'),
    fc.option(fc.constantFrom(...APPS), { nil: undefined }),
    fc.array(anySketch, { maxLength: 3 }),
    fc.constantFrom(false, false, true),
  )
  .map(([name, selects, sketches, audit]) =>
    audit ? tried(policy(name, selects, ...sketches)) : policy(name, selects, ...sketches),
  )
const anyIdentity = fc.tuple(
  fc.constantFrom(300, 301, 400),
  fc.constantFrom(...APPS),
  fc.subarray(
    [
      'reserved:world',
      'cidr:10.0.0.0/8',
      'cidr:10.1.0.0/16',
      'cidr:::/0',
      'port:http/TCP=80',
      'port:http/TCP=81',
    ].slice(0, 5),
  ),
)
const anySubject = fc
  .tuple(fc.constantFrom(...APPS), fc.constantFrom(80, 81, undefined), fc.constantFrom(false, false, true))
  .map(([name, http, audit]): Subject => {
    const made = subject(name, http === undefined ? [] : [{ name: 'http', protocol: TCP, port: http }])
    return audit ? { ...made, audit } : made
  })
const anyGroup: fc.Arbitrary<CidrGroup> = fc.record({
  name: fc.constantFrom('g', 'h'),
  labels: fc.constant({}),
  cidrs: fc.subarray(['10.0.0.0/8', '::/0']),
  origin: fc.constant({ file: '', line: 0 }),
})

type Step =
  | { readonly kind: 'policy'; readonly policy: Policy; readonly isDeleted: boolean }
  | { readonly kind: 'group'; readonly group: CidrGroup; readonly isDeleted: boolean }
  | { readonly kind: 'identity'; readonly number: number; readonly labels: LabelSet | undefined }
  | { readonly kind: 'subject'; readonly subject: Subject; readonly isForgotten: boolean }

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(anyPolicy, fc.boolean()).map(([policy, isDeleted]): Step => ({ kind: 'policy', policy, isDeleted })),
  fc.tuple(anyGroup, fc.boolean()).map(([group, isDeleted]): Step => ({ kind: 'group', group, isDeleted })),
  fc.tuple(anyIdentity, fc.boolean()).map(
    ([[number, name, more], isDeleted]): Step => ({
      kind: 'identity',
      number,
      labels: isDeleted ? undefined : labelsOf([pod({ app: name }).key, ...more].join(';')),
    }),
  ),
  fc.tuple(anySubject, fc.boolean()).map(([subject, isForgotten]): Step => ({ kind: 'subject', subject, isForgotten })),
)

test('any way to a state: the same as made from nothing, and no change goes untold', () => {
  fc.assert(
    fc.property(
      fc.array(anyStep, { maxLength: 25 }),
      fc.array(anySubject, { minLength: 1, maxLength: 3 }),
      (steps, probes) => {
        const lived = new PolicyRepository()
        const policies = new Map<string, Policy>()
        const identities = new Map<number, LabelSet>()
        const groups = new Map<string, CidrGroup>()
        const known = new Map(probes.map(probe => [probe, lived.resolve(probe).key]))
        for (const step of steps) {
          if (step.kind === 'policy') {
            if (step.isDeleted) lived.deletePolicy(step.policy.ref)
            else lived.setPolicy(step.policy)
            if (step.isDeleted) policies.delete(step.policy.ref.name)
            else policies.set(step.policy.ref.name, step.policy)
          } else if (step.kind === 'group') {
            if (step.isDeleted) lived.deleteCidrGroup(step.group.name)
            else lived.setCidrGroup(step.group)
            if (step.isDeleted) groups.delete(step.group.name)
            else groups.set(step.group.name, step.group)
          } else if (step.kind === 'identity') {
            if (step.labels) lived.setIdentity(step.number, step.labels)
            else lived.deleteIdentity(step.number)
            if (step.labels) identities.set(step.number, step.labels)
            else identities.delete(step.number)
          } else if (step.isForgotten && !probes.some(probe => subjectKey(probe) === subjectKey(step.subject)))
            lived.forget(step.subject)
          else lived.resolve(step.subject)
          // A reader that resolves only what it is told of is never out of date.
          const told = new Set(lived.changes().map(subjectKey))
          for (const [probe, key] of known) {
            const now = lived.resolve(probe).key
            assert.ok(now === key || told.has(subjectKey(probe)), 'a change went untold')
            known.set(probe, now)
          }
        }
        const fresh = new PolicyRepository()
        for (const [number, labels] of [...identities].reverse()) fresh.setIdentity(number, labels)
        for (const policy of [...policies.values()].reverse()) fresh.setPolicy(policy)
        for (const group of groups.values()) fresh.setCidrGroup(group)
        assert.deepEqual(lived.unknownCidrGroups(), fresh.unknownCidrGroups())
        for (const probe of probes) {
          const [a, b] = [lived.resolve(probe), fresh.resolve(probe)]
          assert.deepEqual(a.entries, b.entries)
          assert.deepEqual([a.key, a.isolatedBy], [b.key, b.isolatedBy])
        }
        const references = (repository: PolicyRepository): unknown => {
          const { prefixes, egressNamedPorts, labelKeys } = repository.references()
          return [
            [...prefixes].map(({ prefix, value }) => [prefix.text, value]),
            [...egressNamedPorts].sort(),
            [...labelKeys].sort(),
          ]
        }
        assert.deepEqual(references(lived), references(fresh))
      },
    ),
    { numRuns: 300 },
  )
})
