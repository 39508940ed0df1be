// Whom the rules of some policies meet: the pods of the manifests, the nodes, the world,
// and, so that a rule is not called idle only because these are few, made-up pods that
// are just what each selector asks for.

import {
  addressLabels,
  type Label,
  type LabelSet,
  labelSet,
  matches,
  type NamedPort,
  nameLabel,
  type Requirement,
  reservedLabels,
  type Selector,
  withLabels,
} from '../../labels/index.ts'
import type { Cluster, ClusterPod, End } from '../cluster/cluster.ts'
import { nodePlaces, podPlaces, worldPlaces } from '../cluster/places.ts'
import { NamedPeers } from '../engine/named-peers.ts'
import { isResolved, peerSelector, type Rule } from '../model/rule.ts'
import type { LintedPolicy } from './linted-policy.ts'

/** A pod of the manifests as a subject of policies. */
export type SubjectPod = { readonly pod: ClusterPod; readonly labels: LabelSet }

/** Somebody at one address, as a peer. */
export type Someone = { readonly labels: LabelSet; readonly namedPorts: readonly NamedPort[]; readonly isReal: boolean }

export type Landscape = {
  readonly cluster: Cluster
  readonly policies: readonly LintedPolicy[]
  /** Pods that policies apply to. */
  readonly subjects: readonly SubjectPod[]
  /** The real ones first. */
  readonly peers: readonly Someone[]
  /** What the peers of a rule match, its CIDR groups as their prefixes and its services as their backends. */
  readonly selectorsOf: (rule: Rule) => 'any' | readonly Selector[]
}

export function landscapeOf(cluster: Cluster, policies: readonly LintedPolicy[]): Landscape {
  const named = new NamedPeers(cluster.content)
  const expanded = new Map(
    policies.flatMap(({ policy }) =>
      named.expand(policy).specs.flatMap(({ rules }) => rules.map(rule => [rule.key, rule])),
    ),
  )
  const selectors = new Map<Rule, 'any' | readonly Selector[]>()
  const selectorsOf = (rule: Rule): 'any' | readonly Selector[] => {
    const known = selectors.get(rule)
    if (known) return known
    const { peers } = expanded.get(rule.key) ?? rule
    const made = peers === 'any' ? peers : peers.filter(isResolved).map(peerSelector)
    selectors.set(rule, made)
    return made
  }
  const rules = policies.flatMap(({ policy }) => policy.specs.flatMap(spec => spec.rules))
  const asked = new Map(
    rules.flatMap(rule => {
      const own = selectorsOf(rule)
      return own === 'any' ? [] : own.map(selector => [selector.key, selector] as const)
    }),
  )
  return {
    cluster,
    policies,
    subjects: cluster.content.pods
      .filter(pod => !pod.hostNetwork)
      .map(pod => ({ pod, labels: cluster.podLabels(pod) })),
    peers: [...realPeers(cluster), ...[...asked.values()].flatMap(madeUp)],
    selectorsOf,
  }
}

function realPeers(cluster: Cluster): Someone[] {
  const places = [...podPlaces(cluster), ...nodePlaces(cluster), ...worldPlaces([cluster])]
  const references = cluster.repository.references()
  const seen = new Map<string, Someone>()
  for (const end of places.flatMap(({ ends }) => ends))
    for (const base of basesOf(cluster, end)) {
      const namedPorts = end.kind === 'pod' ? end.pod.namedPorts : []
      const names = end.kind === 'world' ? (end.names ?? []) : []
      const labels = withLabels(addressLabels(base, end.address, references, namedPorts), names.map(nameLabel))
      if (!seen.has(labels.key)) seen.set(labels.key, { labels, namedPorts, isReal: true })
    }
  return [...seen.values()]
}

function basesOf(cluster: Cluster, end: End): LabelSet[] {
  if (end.kind === 'pod') return [cluster.podLabels(end.pod)]
  if (end.kind === 'node') return [reservedLabels('host'), reservedLabels('remote-node')]
  return [reservedLabels(end.address.family === 4 ? 'world-ipv4' : 'world-ipv6')]
}

const MOST_VALUES = 16

/** For each value that one requirement leaves open, somebody with just the labels that the selector asks for. */
export function madeUp(selector: Selector): Someone[] {
  const needed = selector.requirements.filter(({ operator }) => operator === 'In' || operator === 'Exists')
  const choices = Math.min(MOST_VALUES, Math.max(1, ...needed.map(({ values }) => values.length)))
  return Array.from({ length: choices }, (_, i) => labelsFor(needed, i)).flatMap(labels =>
    labels && matches(selector, labels) ? [{ labels, namedPorts: [], isReal: false }] : [],
  )
}

/** Undefined when the requirements contradict each other. */
function labelsFor(needed: readonly Requirement[], choice: number): LabelSet | undefined {
  const labels = new Map<string, Label>()
  // Values first: a label that must be there and may be anything may be what another requirement wants.
  for (const { source, key, operator, values } of [...needed].sort((a, b) => (a.operator < b.operator ? 1 : -1))) {
    const own = source === 'any' ? 'k8s' : source
    const name = `${own}:${key}`
    if (operator === 'Exists' && labels.has(name)) continue
    labels.set(name, {
      source: own,
      key,
      value: operator === 'In' ? (values[choice % values.length] ?? '') : MADE_UP_VALUE,
    })
  }
  return labelSet(labels.values())
}

/** A value that no selector names, and that reserved labels do not have. */
const MADE_UP_VALUE = ''
