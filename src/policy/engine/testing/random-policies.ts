// Random policies of the whole model around one subject, and what they say of it, read
// as they are written down: no labels, no identities, no entries. Few names and
// numbers, so that they meet.

import * as fc from 'fast-check'
import { has, type LabelSet, labelSet, podLabels, podRequirements, selector } from '../../../labels/index.ts'
import type { CidrGroup } from '../../model/cidr-group.ts'
import type { Visibility } from '../../model/l7.ts'
import { precedence } from '../../model/precedence.ts'
import type { Action, Direction, Peer, Policy, PolicySpec, PortMatch, Rule, Tier } from '../../model/rule.ts'
import type { PolicyService } from '../../model/service.ts'
import { lookup } from '../evaluate.ts'
import { PolicyRepository } from '../repository.ts'
import type { Subject } from '../subject.ts'
import { L7_SAMPLES, type L7Sample } from './l7-samples.ts'
import { type Outcome, outcomeOf, outcomeOfEntry, TCP, UDP } from './random-rules.ts'

/** A peer and where it stands. `app` undefined: outside the cluster. */
type Party = { readonly number: number; readonly address: string; readonly app?: string; readonly http?: number }

const PARTIES: readonly Party[] = [
  { number: 300, address: '10.1.2.3', app: 'a', http: 80 },
  { number: 301, address: '10.1.9.9', app: 'a', http: 8080 },
  { number: 302, address: '172.16.0.1', app: 'b' },
  { number: 1 << 24, address: '10.1.2.4' },
  { number: (1 << 24) + 1, address: '10.9.9.9' },
  { number: (1 << 24) + 2, address: '192.0.2.1' },
]

/** Prefixes by what their addresses begin with. */
const PREFIXES = new Map([
  ['0.0.0.0/0', ''],
  ['10.0.0.0/8', '10.'],
  ['10.1.0.0/16', '10.1.'],
  ['10.1.2.0/24', '10.1.2.'],
  ['192.0.2.0/24', '192.0.2.'],
  ['10.1.2.3/32', '10.1.2.3'],
  ['192.0.2.1/32', '192.0.2.1'],
])
const CIDRS = [...PREFIXES.keys()]
const isIn = ({ address }: Party, cidr: string): boolean => address.startsWith(PREFIXES.get(cidr) as string)

function labelsOf(party: Party): LabelSet {
  const base = party.app
    ? podLabels({ namespace: 'shop', namespaceLabels: {}, labels: { app: party.app } })
    : labelSet([{ source: 'reserved', key: 'world', value: '' }])
  const cidrs = CIDRS.filter(cidr => isIn(party, cidr)).map(key => ({ source: 'cidr', key, value: '' }) as const)
  const port = party.http ? [{ source: 'port', key: 'http/TCP', value: String(party.http) } as const] : []
  return labelSet([...base.labels, ...cidrs, ...port])
}

/** The pods of one app, or all. */
const appSelector = (app?: string) =>
  selector([has('k8s', 'app'), ...podRequirements({ matchLabels: app ? { app } : {} })])

export type World = {
  readonly policies: readonly Policy[]
  readonly groups: readonly CidrGroup[]
  readonly subject: Subject
  readonly enforcement: 'default' | 'always'
}

/** One connection as the subject's side of it. */
export type Question = {
  readonly direction: Direction
  readonly party: Party
  readonly protocol: number
  readonly port: number
}

export const QUESTIONS: readonly Question[] = (['ingress', 'egress'] as const).flatMap(direction =>
  PARTIES.flatMap(party =>
    [
      [TCP, 80],
      [TCP, 85],
      [TCP, 8080],
      [TCP, 443],
      [UDP, 80],
      [1, 8],
    ].map(([protocol = 0, port = 0]) => {
      return { direction, party, protocol, port }
    }),
  ),
)

// ---- The reading.

function isPeer({ groups }: World, peer: Peer, party: Party): boolean {
  if (peer.kind === 'service') return isServicePeer(peer, party)
  if (peer.kind === 'selector') return party.app !== undefined && (APP_OF.get(peer) ?? party.app) === party.app
  const isOutside = party.app === undefined
  if (peer.except.some(cidr => isIn(party, cidr))) return false
  if (peer.kind === 'cidr') return isIn(party, peer.cidr) && (peer.covers === 'everything' || isOutside)
  const { group } = peer
  const wanted = groups.filter(({ name, labels }) => ('name' in group ? name === group.name : labels['set'] === 'x'))
  return isOutside && wanted.some(({ cidrs }) => cidrs.some(cidr => isIn(party, cidr)))
}

/** Of the services of every world: one of the pods of app `a`, one of the addresses of such a pod and of one outside. */
function isServicePeer({ service }: Extract<Peer, { kind: 'service' }>, party: Party): boolean {
  if (service.namespace === 'inn') return false
  const isPods = !('name' in service) || service.name === 'pods'
  const isOutside = !('name' in service) || service.name === 'outside'
  return party.app === undefined ? isOutside && party.address === '192.0.2.1' : isPods && party.app === 'a'
}

function isPort({ subject }: World, match: PortMatch, { direction, party, protocol, port }: Question): boolean {
  if (match.protocol !== protocol) return false
  if (match.ports === 'any') return true
  if ('first' in match.ports) return match.ports.first <= port && port <= match.ports.last
  return port === (direction === 'egress' ? party.http : subject.namedPorts[0]?.port)
}

const APP_OF = new Map<Peer, string>()
const SPEC_APP = new Map<PolicySpec['subject'], string>()

const specsOf = ({ policies, subject }: World): PolicySpec[] =>
  policies
    .flatMap(({ specs }) => specs)
    .filter(spec => (SPEC_APP.get(spec.subject) ?? 'web') === subject.labels.values.get('k8s:app'))

/** Rules that match a connection. */
export function matchingRules(world: World, question: Question): Rule[] {
  return specsOf(world)
    .flatMap(({ rules }) => rules)
    .filter(({ direction }) => direction === question.direction)
    .filter(({ peers }) => peers === 'any' || peers.some(peer => isPeer(world, peer, question.party)))
    .filter(({ ports }) => ports === 'any' || ports.some(match => isPort(world, match, question)))
}

export function modelOutcome(world: World, question: Question): Outcome | undefined {
  const isolating = specsOf(world).filter(({ isolates }) => isolates[question.direction])
  const outcome = outcomeOf(matchingRules(world, question), {
    isolated: isolating.some(({ audit }) => !audit),
    isolatedForAudit: isolating.some(({ audit }) => audit),
    always: world.enforcement === 'always',
    audited: world.subject.audit,
  })
  const isSeen = outcome?.verdict === 'allow' && outcome.l7 === undefined && isVisible(world.subject, question)
  return isSeen ? { ...outcome, l7: SEEN } : outcome
}

/** Name of the rules that allow everything, see `l7Names`. */
const SEEN = ''

const isVisible = ({ visibility = [] }: Subject, { direction, protocol, port }: Question): boolean =>
  visibility.some(one => one.direction === direction && one.protocol === protocol && one.port === port)

// ---- The engine.

export function repositoryOf({ policies, groups, enforcement }: World): PolicyRepository {
  const repository = new PolicyRepository({ enforcement })
  for (const group of groups) repository.setCidrGroup(group)
  for (const service of SERVICES) repository.setService(service)
  for (const party of PARTIES) repository.setIdentity(party.number, labelsOf(party))
  for (const policy of policies) repository.setPolicy(policy)
  return repository
}

/** The engine's answers, each by the kernel's look-up. */
export function engineOutcomes(world: World): (question: Question) => Outcome | undefined {
  const { entries } = repositoryOf(world).resolve(world.subject)
  return ({ party, ...question }) => outcomeOfEntry(lookup(entries, { ...question, identity: party.number }))
}

// ---- Worlds.

const app = (name: string): Peer => {
  const peer: Peer = { kind: 'selector', selector: appSelector(name) }
  APP_OF.set(peer, name)
  return peer
}
const SERVICES: readonly PolicyService[] = [
  { namespace: 'shop', name: 'pods', labels: { set: 'y' }, selector: { app: 'a' }, addresses: [] },
  { namespace: 'shop', name: 'outside', labels: { set: 'y' }, addresses: ['10.1.2.3', '192.0.2.1'] },
]
const PEERS: readonly Peer[] = [
  { kind: 'service', service: { name: 'pods' } },
  { kind: 'service', service: { namespace: 'shop', name: 'outside' } },
  { kind: 'service', service: { namespace: 'inn', name: 'pods' } },
  {
    kind: 'service',
    service: { selector: selector([{ source: 'any', key: 'set', operator: 'In', values: ['y'] }]) },
  },
  app('a'),
  app('b'),
  { kind: 'selector', selector: appSelector() },
  { kind: 'cidr', cidr: '10.0.0.0/8', except: ['10.1.0.0/16'], covers: 'everything' },
  { kind: 'cidr', cidr: '0.0.0.0/0', except: [], covers: 'world' },
  { kind: 'cidr-group', group: { name: 'g1' }, except: [] },
  { kind: 'cidr-group', group: { name: 'g2' }, except: ['10.1.2.0/24'] },
  {
    kind: 'cidr-group',
    group: { selector: selector([{ source: 'cidrgroup', key: 'set', operator: 'In', values: ['x'] }]) },
    except: [],
  },
]
const PORTS: readonly PortMatch[] = [
  { protocol: TCP, ports: { first: 80, last: 80 } },
  { protocol: TCP, ports: { first: 80, last: 90 } },
  { protocol: TCP, ports: { name: 'http' } },
  { protocol: TCP, ports: 'any' },
  { protocol: UDP, ports: 'any' },
]
const origin = { file: '', line: 0 }

export type RuleSketch = Pick<Rule, 'direction' | 'action' | 'tier' | 'peers' | 'ports'> & {
  readonly priority: number
  readonly place: number
  readonly l7: L7Sample | undefined
}

const anyDirection: fc.Arbitrary<Direction> = fc.constantFrom('ingress', 'egress')
export const anySketch: fc.Arbitrary<RuleSketch> = fc.record({
  direction: anyDirection,
  action: fc.constantFrom<Action[]>('allow', 'allow', 'deny', 'pass'),
  tier: fc.constantFrom<Tier[]>('admin', 'normal', 'normal', 'baseline'),
  peers: fc.oneof(fc.constant('any' as const), fc.subarray([...PEERS], { maxLength: 2 })),
  ports: fc.oneof(fc.constant('any' as const), fc.subarray([...PORTS], { maxLength: 2 })),
  priority: fc.constantFrom(1, 2),
  place: fc.constantFrom(0, 1),
  l7: fc.constantFrom(undefined, undefined, undefined, 'get' as const, 'post' as const, 'names' as const),
})

type SpecSketch = {
  readonly app: string | undefined
  readonly isolates: PolicySpec['isolates']
  readonly rules: readonly RuleSketch[]
}

export function policyOf(name: string, audit: boolean, specs: readonly SpecSketch[]): Policy {
  const ref = { kind: 'Test', namespace: 'shop', name, origin }
  const audited = audit ? ({ audit: true } as const) : {}
  const ruleOf = ({ priority, place, l7, ...sketch }: RuleSketch, path: string, index: number): Rule => ({
    ...sketch,
    ...audited,
    key: `Test/shop/${name}/${path}`,
    policy: ref,
    path,
    origin,
    index,
    precedence: precedence({ tier: sketch.tier, action: sketch.action, priority, place }),
    ...(l7 && sketch.action === 'allow' && { l7: L7_SAMPLES[l7] }),
  })
  const specOf = ({ app, isolates, rules }: SpecSketch, at: number): PolicySpec => {
    const subject = appSelector(app)
    if (app) SPEC_APP.set(subject, app)
    return {
      ...audited,
      subject,
      isolates,
      rules: rules.map((rule, i) => ruleOf(rule, `specs[${at}].${rule.direction}[${i}]`, at * 10 + i)),
    }
  }
  return { ref, specs: specs.map(specOf) }
}

const anySpec: fc.Arbitrary<SpecSketch> = fc.record({
  app: fc.constantFrom('web', 'web', undefined, 'db'),
  isolates: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }),
  rules: fc.array(anySketch, { maxLength: 4 }),
})
const anyPolicies: fc.Arbitrary<Policy[]> = fc
  .array(fc.tuple(fc.constantFrom(false, false, true), fc.array(anySpec, { minLength: 1, maxLength: 2 })), {
    maxLength: 4,
  })
  .map(list => list.map(([audit, specs], i) => policyOf(`p${i}`, audit, specs)))

export const anyGroups: fc.Arbitrary<CidrGroup[]> = fc.subarray(['g1', 'g2', 'g3']).chain(names =>
  fc.tuple(
    ...names.map(name =>
      fc.record({
        name: fc.constant(name),
        labels: fc.constantFrom<Record<string, string>[]>({}, { set: 'x' }, { set: 'y' }),
        cidrs: fc.subarray(CIDRS),
        origin: fc.constant(origin),
      }),
    ),
  ),
)

const visible = (direction: Direction, protocol: number, port: number): Visibility => ({
  direction,
  protocol,
  port,
  parser: 'http',
})
const anyVisibility = fc.subarray([
  visible('ingress', TCP, 80),
  visible('egress', TCP, 443),
  visible('ingress', UDP, 80),
])

const anySubject: fc.Arbitrary<Subject> = fc
  .tuple(
    fc.constantFrom(80, 8080, undefined),
    fc.constantFrom(false, false, false, true),
    fc.option(anyVisibility, { freq: 2, nil: [] }),
  )
  .map(([http, audit, visibility]) => ({
    labels: podLabels({ namespace: 'shop', namespaceLabels: {}, labels: { app: 'web' } }),
    namedPorts: http ? [{ name: 'http', protocol: TCP, port: http }] : [],
    ...(audit && { audit }),
    visibility,
  }))

/** The subject, and nothing else. */
export const EMPTY_WORLD: World = {
  policies: [],
  groups: [],
  subject: { labels: podLabels({ namespace: 'shop', namespaceLabels: {}, labels: { app: 'web' } }), namedPorts: [] },
  enforcement: 'default',
}

export const anyWorld: fc.Arbitrary<World> = fc.record({
  policies: anyPolicies,
  groups: anyGroups,
  subject: anySubject,
  enforcement: fc.constantFrom('default' as const, 'default' as const, 'always' as const),
})
