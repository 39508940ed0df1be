// A second reading of the rule model: what its words say, rule by rule, with labels and
// addresses and nothing else. No identities, no sets, no entries. Slow, and short
// enough to be seen to be right.

import { cidr, cidrContains, type IpAddress } from '../../ip/index.ts'
import { KEYS, type LabelSet, matches, type NamedPort } from '../../labels/index.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import {
  compareRules,
  DEFAULT_DENY,
  type Direction,
  NOT_ISOLATED,
  type Peer,
  type Policy,
  type Rule,
  type RuleKey,
} from '../model/rule.ts'
import type { PolicyService } from '../model/service.ts'

/** One end: the labels of who stands there, without those of its address. */
export type NaiveEnd = {
  readonly labels: LabelSet
  readonly address: IpAddress
  readonly isWorld: boolean
  readonly namedPorts: readonly NamedPort[]
}

export type NaiveQuestion = {
  readonly subject: NaiveEnd
  readonly peer: NaiveEnd
  readonly direction: Direction
  readonly protocol: number
  readonly port: number
}

export type NaiveVerdict = { readonly verdict: 'allowed' | 'denied'; readonly audit: boolean; readonly rule: RuleKey }

/** What rules may name. */
export type NaiveNames = { readonly cidrGroups?: readonly CidrGroup[]; readonly services?: readonly PolicyService[] }

/** `isAudited`: nothing is enforced at the subject. */
export function naiveVerdict(
  policies: readonly Policy[],
  known: NaiveNames,
  question: NaiveQuestion,
  isAudited = false,
): NaiveVerdict {
  const { subject, direction } = question
  const specs = policies.flatMap(({ specs }) => specs).filter(spec => matches(spec.subject, subject.labels))
  const matching = specs
    .flatMap(({ rules }) => rules)
    .filter(rule => rule.direction === direction && isPeer(rule, question, known) && isPort(rule, question))
    .sort(compareRules)
  const isolating = specs.filter(({ isolates }) => isolates[direction])
  const all = decide(matching, isolating.length > 0)
  const enforced = isAudited
    ? { action: 'allow', rule: NOT_ISOLATED }
    : decide(
        matching.filter(({ audit }) => !audit),
        isolating.some(({ audit }) => !audit),
      )
  if (enforced.action === 'deny') return { verdict: 'denied', audit: false, rule: enforced.rule }
  return { verdict: 'allowed', audit: all.action === 'deny', rule: all.rule }
}

type Decided = { readonly action: Rule['action']; readonly rule: RuleKey }

/** The first rule of each tier decides, unless it passes; who is isolated never comes to the baseline. */
function decide(matching: readonly Rule[], isIsolated: boolean): Decided {
  for (const tier of ['admin', 'normal', ...(isIsolated ? [] : ['baseline'])]) {
    const first = matching.find(rule => rule.tier === tier)
    if (first && first.action !== 'pass') return { action: first.action, rule: first.key }
  }
  return isIsolated ? { action: 'deny', rule: DEFAULT_DENY } : { action: 'allow', rule: NOT_ISOLATED }
}

function isPeer({ peers }: Rule, { peer }: NaiveQuestion, known: NaiveNames): boolean {
  return peers === 'any' || peers.some(one => stands(one, peer, known))
}

function stands(peer: Peer, end: NaiveEnd, { cidrGroups, services }: NaiveNames): boolean {
  if (peer.kind === 'selector') return matches(peer.selector, end.labels)
  if (peer.kind === 'service')
    return (services ?? []).some(service => isMeant(peer, service) && answersFor(service, end))
  if (isIn(peer.except, end)) return false
  if (peer.kind === 'cidr') return (peer.covers === 'everything' || end.isWorld) && isIn([peer.cidr], end)
  const { group } = peer
  const meant = (cidrGroups ?? []).filter(({ name }) => 'name' in group && name === group.name)
  return end.isWorld && meant.some(({ cidrs }) => isIn(cidrs, end))
}

/** Of services that a name means; the random policies have no selectors of services. */
const isMeant = ({ service: wanted }: Extract<Peer, { kind: 'service' }>, service: PolicyService): boolean =>
  'name' in wanted && wanted.name === service.name && (wanted.namespace ?? service.namespace) === service.namespace

function answersFor({ namespace, selector, addresses }: PolicyService, end: NaiveEnd): boolean {
  if (!selector)
    return (
      end.isWorld &&
      isIn(
        addresses.map(address => `${address}/${address.includes(':') ? 128 : 32}`),
        end,
      )
    )
  const wanted = { [KEYS.namespace]: namespace, ...selector }
  return Object.entries(wanted).every(([key, value]) => end.labels.values.get(`k8s:${key}`) === value)
}

const isIn = (cidrs: readonly string[], { address }: NaiveEnd): boolean =>
  cidrs.some(text => cidrContains(cidr(text), address))

/** A name means the number that the destination has for it. */
function isPort({ ports }: Rule, { subject, peer, direction, protocol, port }: NaiveQuestion): boolean {
  if (ports === 'any') return true
  const destination = direction === 'ingress' ? subject : peer
  return ports.some(({ protocol: own, ports: match }) => {
    if (own !== protocol) return false
    if (match === 'any') return true
    if ('first' in match) return match.first <= port && port <= match.last
    return destination.namedPorts.find(one => one.name === match.name && one.protocol === protocol)?.port === port
  })
}
