// Label selectors of the Cilium kinds to the model's. A selector of a policy with a
// namespace means pods of that namespace unless it names another one; one of a
// clusterwide policy means pods; one that names a `reserved:` label means what it says.

import {
  has,
  IS_POD,
  inNamespace,
  KEYS,
  lacks,
  prefixedRequirements,
  RESERVED,
  type Requirement,
  type Selector,
  selector,
  selectorKey,
} from '../../../labels/index.ts'
import { cidrOfKey, type PrefixedSelectorContent } from './selector-schema.ts'

/** Selects no label set. */
export const NOBODY: Selector = selector([IS_POD, lacks('k8s', KEYS.namespace)])

/** Reserved labels that nothing here has yet, and why. */
export const NOT_HERE: Readonly<Record<string, string>> = {
  'kube-apiserver': 'the addresses of the API server are not known yet',
  ingress: 'there is no proxy of its own yet',
  init: 'no endpoint is ever without its labels',
  health: 'there are no health endpoints yet',
  unmanaged: 'there are no pods that are known and not managed',
}

/** Whom a spec is about: always pods. `overridden` is the namespace that it names and may not choose. */
export function subjectSelector(
  { matchLabels, matchExpressions }: PrefixedSelectorContent,
  namespace: string,
): { readonly subject: Selector; readonly overridden?: string | undefined } {
  if (namespace === '')
    return { subject: confined([IS_POD, ...prefixedRequirements({ matchLabels, matchExpressions })]) }
  const entries = Object.entries(matchLabels)
  const isNamespace = ([key]: readonly [string, string]): boolean => selectorKey(key)?.key === KEYS.namespace
  const overridden = entries.filter(isNamespace).find(([, value]) => value !== namespace)?.[1]
  const rest = Object.fromEntries(entries.filter(entry => !isNamespace(entry)))
  const requirements = prefixedRequirements({ matchLabels: rest, matchExpressions })
  return { subject: confined([inNamespace(namespace), ...requirements]), overridden }
}

/** A peer: everybody, those of a selector, or none of them as far as is known here (`reason`). */
export type EndpointPeer =
  | { readonly kind: 'any' }
  | { readonly kind: 'selector'; readonly selector: Selector }
  | { readonly kind: 'unenforced'; readonly reason: string }

/** An item of fromEndpoints or toEndpoints. `namespace` is that of the policy, empty for a clusterwide one. */
export function endpointPeer(content: PrefixedSelectorContent, namespace: string): EndpointPeer {
  const requirements = prefixedRequirements(content)
  if (requirements.some(({ source, key }) => source === 'reserved' && key === 'all')) return { kind: 'any' }
  if (requirements.some(({ source }) => source === 'reserved')) return outside(requirements)
  const all = [...scopeOf(requirements, namespace), ...requirements]
  return all.some(meansPods) ? { kind: 'selector', selector: confined(all) } : outside(all)
}

/**
 * What is added to a selector that does not say which namespaces or clusters it means. Cilium adds the name of the own
 * cluster, which only pods have; here is but one, so that being a pod is enough.
 */
function scopeOf(requirements: readonly Requirement[], namespace: string): Requirement[] {
  const names = (isKey: (key: string) => boolean): boolean =>
    requirements.some(({ source, key }) => source === 'k8s' && isKey(key))
  if (!names(key => key === KEYS.namespace)) {
    if (namespace === '') return [IS_POD]
    if (!names(key => key.startsWith(KEYS.namespaceLabelPrefix))) return [inNamespace(namespace)]
  }
  return requirements.some(meansPods) || names(key => key === KEYS.cluster) ? [] : [IS_POD]
}

const isPositive = ({ operator }: Requirement): boolean => operator === 'In' || operator === 'Exists'

/** Whether only pods can meet a requirement: it asks for a fact that Kubernetes tells of pods alone. */
const meansPods = (requirement: Requirement): boolean =>
  requirement.source === 'k8s' &&
  isPositive(requirement) &&
  (requirement.key === KEYS.namespace ||
    requirement.key === KEYS.cluster ||
    requirement.key.startsWith(KEYS.namespaceLabelPrefix))

/** A selector of pods alone. All that users see of a pod comes from Kubernetes, so other sources have nothing to say. */
function confined(requirements: readonly Requirement[]): Selector {
  const seen = requirements.map(requirement =>
    requirement.source === 'any' ? { ...requirement, source: 'k8s' as const } : requirement,
  )
  const isForeign = ({ source }: Requirement): boolean => source !== 'k8s'
  if (seen.some(requirement => isForeign(requirement) && isPositive(requirement))) return NOBODY
  return selector(seen.filter(requirement => !isForeign(requirement)))
}

/** A selector that may match what is no pod: nodes, the world. */
function outside(requirements: readonly Requirement[]): EndpointPeer {
  for (const { source, key } of requirements.filter(isPositive)) {
    const reason = source === 'reserved' ? NOT_HERE[key] : NOT_READ[source]
    if (reason !== undefined) return { kind: 'unenforced', reason }
  }
  const isUnknown = ({ source, key }: Requirement): boolean => source === 'reserved' && !Object.hasOwn(RESERVED, key)
  if (requirements.some(requirement => isUnknown(requirement) && isPositive(requirement)))
    return { kind: 'selector', selector: NOBODY }
  const named = requirements.map(requirement =>
    requirement.source === 'cidr'
      ? { ...requirement, key: cidrOfKey(requirement.key) ?? requirement.key }
      : requirement,
  )
  // Pods and nodes have labels of prefixes too, but to Cilium these are of the world.
  const isBlock = named.some(requirement => requirement.source === 'cidr' && isPositive(requirement))
  return { kind: 'selector', selector: selector([...named, ...(isBlock ? [has('reserved', 'world')] : [])]) }
}

/** Sources of labels that nothing here has yet. */
const NOT_READ: Readonly<Record<string, string>> = {
  cidrgroup: 'a label of a CIDR group selects nobody yet; write fromCIDRSet or toCIDRSet with cidrGroupRef',
  fqdn: 'a label of a DNS name selects nobody yet; write toFQDNs',
  node: 'labels of nodes are not known yet',
}
