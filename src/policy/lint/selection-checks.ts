// Selectors and port names that mean nothing among the manifests: policies without
// subjects, peers that are nobody, named ports that no destination has.

import { KEYS, matches, protocolName, type Requirement, type Selector, selector } from '../../labels/index.ts'
import type { ManifestObject, Path } from '../../manifests/index.ts'
import type { Rule } from '../model/rule.ts'
import { finding, type LintFinding } from './finding.ts'
import type { Landscape, SubjectPod } from './landscape.ts'
import type { LintedRule, LintedSpec } from './linted-policy.ts'
import { everyField, itemsOf } from './manifest-fields.ts'

/** `selects-nothing`, `peer-selects-nothing`, `misplaced-label` and `unknown-port-name`. Nothing can be told without pods. */
export function selectionFindings(landscape: Landscape): LintFinding[] {
  if (landscape.subjects.length === 0) return []
  return landscape.policies
    .flatMap(({ specs }) => specs)
    .flatMap(spec => {
      const subjects = landscape.subjects.filter(({ labels }) => matches(spec.spec.subject, labels))
      if (subjects.length === 0) return [idleSpec(landscape, spec)]
      return spec.rules
        .filter(({ isEnforced }) => isEnforced)
        .flatMap(rule => [...idlePeers(landscape, rule), ...unknownPorts(landscape, rule, subjects)])
    })
}

function idleSpec(landscape: Landscape, { owner, spec, subjectPath }: LintedSpec): LintFinding {
  const misplaced = misplacedLabel(landscape, spec.subject, owner.object.kind)
  if (misplaced) return finding('misplaced-label', owner.object, subjectPath, misplaced)
  const message = 'selects no pod of the manifests, so the policy has no effect; write labels that a pod has'
  return finding('selects-nothing', owner.object, subjectPath, `${message}${nearMiss(landscape, spec.subject)}`)
}

const PEER_FIELDS = ['from', 'to', 'fromEndpoints', 'toEndpoints'] as const

/** Peers by labels of pods; what stands for nodes or the world is there whether or not the manifests show it. */
function idlePeers(landscape: Landscape, { rule, content, path, in: spec }: LintedRule): LintFinding[] {
  if (rule.peers === 'any') return []
  const field = PEER_FIELDS.find(name => name in content)
  const written = field ? itemsOf(content[field]) : []
  const { object } = spec.owner
  if (rule.peers.length === 0) {
    if (rule.action === 'deny' && Object.keys(content).length === 0) {
      const peers = rule.direction === 'ingress' ? 'fromEntities' : 'toEntities'
      const message = `names neither peers nor ports, which is nobody, so it denies nothing; write ${peers}: [all] to deny everybody`
      return [finding('peer-selects-nothing', object, path, message)]
    }
    if (!field || written.length > 0) return []
    const message = 'is empty, which is nobody; leave it out to mean everybody, or write whom you mean'
    return [finding('peer-selects-nothing', object, [...path, field], message)]
  }
  if (rule.peers.some(({ kind }) => kind === 'service')) return idleServices(landscape, rule, object, path)
  return rule.peers.flatMap((peer, i) => {
    if (peer.kind !== 'selector' || !asksForPods(peer.selector)) return []
    if (landscape.peers.some(({ isReal, labels }) => isReal && matches(peer.selector, labels))) return []
    const at = field && written.length === (rule.peers as readonly unknown[]).length ? [...path, field, i] : path
    const misplaced = misplacedLabel(landscape, peer.selector, object.kind)
    if (misplaced) return [finding('misplaced-label', object, at, misplaced)]
    const message = `selects no pod of the manifests, ${effectOf(rule)}; write labels that a pod has`
    return [finding('peer-selects-nothing', object, at, `${message}${nearMiss(landscape, peer.selector)}`)]
  })
}

const effectOf = ({ action }: Rule): string => (action === 'allow' ? 'so it allows nobody' : 'so it has no effect')

/** Services behind which there is nobody. Where some are outside the cluster, the manifests do not tell. */
function idleServices(landscape: Landscape, rule: Rule, object: ManifestObject, path: Path): LintFinding[] {
  const selectors = landscape.selectorsOf(rule)
  if (selectors === 'any' || !selectors.every(asksForPods)) return []
  const isMet = (one: Selector): boolean => landscape.peers.some(({ isReal, labels }) => isReal && matches(one, labels))
  if (selectors.some(isMet)) return []
  const what =
    selectors.length === 0
      ? 'names no service of the manifests that has backends'
      : 'names services that select no pod of the manifests'
  const message = `${what}, ${effectOf(rule)}; add the Service, or correct its selector`
  return [finding('peer-selects-nothing', object, [...path, 'toServices'], message)]
}

const POD_SOURCES: ReadonlySet<string> = new Set(['k8s', 'any', 'pod'])
const asksForPods = ({ requirements }: Selector): boolean => requirements.some(({ source }) => POD_SOURCES.has(source))

const isOfNamespace = ({ key }: Requirement): boolean => key.startsWith(KEYS.namespaceLabelPrefix)
const isOfPod = ({ key, source }: Requirement): boolean =>
  POD_SOURCES.has(source) && !key.startsWith('io.kubernetes.pod.namespace') && !key.startsWith('io.cilium.')

/** A label that the selector wants of the one and only the other has. */
function misplacedLabel(
  { subjects, cluster }: Landscape,
  { requirements }: Selector,
  kind: string,
): string | undefined {
  // The Cilium kinds have one selector for both.
  const isCilium = kind.startsWith('Cilium')
  const wanted = requirements.filter(({ operator }) => operator === 'In')
  for (const requirement of wanted) {
    const { key, values } = requirement
    if (subjects.some(({ labels }) => matches(selector([requirement]), labels))) continue
    if (isOfPod(requirement)) {
      const [namespace] =
        [...cluster.content.namespaceLabels].find(([, labels]) => values.includes(labels[key] ?? NEVER)) ?? []
      const instead = isCilium ? `the key k8s:${KEYS.namespaceLabelPrefix}${key}` : 'a namespaceSelector'
      if (namespace !== undefined)
        return `asks for pods with ${key}=${values.join('|')}, and only namespaces such as ${namespace} have that label, no pod has; write ${instead}`
    } else if (isOfNamespace(requirement)) {
      const own = key.slice(KEYS.namespaceLabelPrefix.length)
      const pod = cluster.content.pods.find(({ labels }) => values.includes(labels[own] ?? NEVER))
      const instead = isCilium ? `the key k8s:${own}` : 'a podSelector'
      if (pod)
        return `asks for namespaces with ${own}=${values.join('|')}, and only pods such as ${pod.namespace}/${pod.name} have that label, no namespace has; write ${instead}`
    }
  }
  return undefined
}

/** No value of a label. */
const NEVER = '\0'

/** The one requirement that nobody meets, when there is one. */
function nearMiss({ subjects }: Landscape, { requirements }: Selector): string {
  const alone = requirements.filter(one => !subjects.some(({ labels }) => matches(selector([one]), labels)))
  const [first] = alone
  if (alone.length !== 1 || !first) return ''
  const key = first.key.startsWith(KEYS.namespaceLabelPrefix)
    ? `namespace label ${first.key.slice(KEYS.namespaceLabelPrefix.length)}`
    : first.key
  // A label of no pod, such as a reserved one that there is not.
  if (first.operator === 'DoesNotExist') return ''
  if (first.key === KEYS.namespace) return ` (there is no pod in namespace ${first.values.join(' or ')})`
  return first.operator === 'In'
    ? ` (nothing has ${key}=${first.values.join('|')})`
    : ` (nothing meets ${first.operator} ${key})`
}

/** Names of ports that neither a subject nor a peer has, whichever is the destination. */
function unknownPorts(landscape: Landscape, linted: LintedRule, subjects: readonly SubjectPod[]): LintFinding[] {
  const { rule, in: spec } = linted
  if (rule.ports === 'any') return []
  const destinations = rule.direction === 'ingress' ? subjects.map(({ pod }) => pod) : peersOf(landscape, rule)
  if (destinations.length === 0) return []
  const protocolsByName = new Map<string, Set<number>>()
  for (const { protocol, ports } of rule.ports)
    if (ports !== 'any' && 'name' in ports)
      protocolsByName.set(ports.name, (protocolsByName.get(ports.name) ?? new Set()).add(protocol))
  return [...protocolsByName].flatMap(([name, protocols]) => {
    const named = destinations.flatMap(({ namedPorts }) => namedPorts.filter(port => port.name === name))
    if (named.some(({ protocol }) => protocols.has(protocol))) return []
    const other = named[0]
      ? ` under ${[...protocols].map(protocolName).join(' or ')}; it is a port of ${protocolName(named[0].protocol)}`
      : ''
    const message = `no destination of this rule has a port named "${name}"${other}; write a name that a container declares, or a number`
    return [finding('unknown-port-name', spec.owner.object, namedAt(linted, name), message)]
  })
}

/** Peers of egress with ports by name, as far as they are pods. */
function peersOf({ subjects, selectorsOf }: Landscape, rule: Rule): SubjectPod['pod'][] {
  const selectors = selectorsOf(rule)
  return subjects
    .filter(({ labels }) => selectors === 'any' || selectors.some(one => matches(one, labels)))
    .map(({ pod }) => pod)
}

function namedAt({ content, path }: LintedRule, name: string): Path {
  for (const field of everyField(content))
    if (
      ['port', 'namedPort', 'destinationNamedPort'].includes(field.name) &&
      String(field.value).toLowerCase() === name.toLowerCase()
    )
      return [...path, ...field.path]
  return path
}
