// Random policies rewritten so that they still mean the same: a NetworkPolicy as a
// CiliumNetworkPolicy, a policy of the cluster as one for each namespace; and cut down
// to what they allow.

type Labels = Readonly<Record<string, string>>
type Expression = { readonly key: string; readonly operator: string; readonly values?: readonly string[] }
type Selector = { readonly matchLabels?: Labels; readonly matchExpressions?: readonly Expression[] }
type Metadata = { readonly name: string; readonly namespace?: string; readonly annotations?: Labels }

type Peer = { readonly podSelector?: Selector; readonly namespaceSelector?: Selector; readonly ipBlock?: object }
type Port = { readonly port?: number | string; readonly endPort?: number; readonly protocol?: string }
type Direction = 'from' | 'to'
type Rule = Readonly<Partial<Record<Direction, readonly Peer[]>>> & { readonly ports?: readonly Port[] }

export type NetworkPolicy = {
  readonly kind: 'NetworkPolicy'
  readonly metadata: Metadata
  readonly spec: {
    readonly podSelector: Selector
    readonly policyTypes: readonly string[]
    readonly ingress?: readonly Rule[]
    readonly egress?: readonly Rule[]
  }
}

type CiliumRule = {
  readonly endpointSelector: Selector
  readonly [field: string]: unknown
}

export type CiliumPolicy = {
  readonly kind: 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy'
  readonly metadata: Metadata
  readonly spec?: CiliumRule
  readonly specs?: readonly CiliumRule[]
}

type ClusterPolicy = {
  readonly kind: 'ClusterNetworkPolicy'
  readonly metadata: Metadata
  readonly spec: Readonly<Record<'ingress' | 'egress', readonly { readonly action: string }[]>>
}

type CidrGroup = { readonly kind: 'CiliumCIDRGroup'; readonly metadata: Metadata }

/** What the random sets consist of. */
export type RandomObject = NetworkPolicy | CiliumPolicy | ClusterPolicy | CidrGroup

export const isCilium = (object: RandomObject): object is CiliumPolicy =>
  object.kind === 'CiliumNetworkPolicy' || object.kind === 'CiliumClusterwideNetworkPolicy'

const NAMESPACES = ['x', 'y', 'z'] as const
const NAMESPACE = 'io.kubernetes.pod.namespace'
const NAMESPACE_LABEL = 'io.cilium.k8s.namespace.labels.'

/** With all its blocks outside the cluster: there an `ipBlock` means what a prefix of Cilium's kinds means. */
export function inTheWorld(policy: NetworkPolicy): NetworkPolicy {
  const text = JSON.stringify(policy)
    .replaceAll('10.244.1.', '192.0.2.')
    .replaceAll('10.244.0.0/16', '192.0.0.0/16')
    .replaceAll('"0.0.0.0/0"', '"192.0.0.0/16"')
    .replaceAll('fd00:10:244::', '2001:db8:244::')
    .replaceAll('"::/0"', '"2001:db8::/32"')
  return JSON.parse(text) as NetworkPolicy
}

export function asCilium({ metadata, spec }: NetworkPolicy): object {
  const { podSelector, policyTypes, ingress = [], egress = [] } = spec
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata,
    spec: {
      endpointSelector: podSelector,
      ...(policyTypes.includes('Ingress') && { ingress: ciliumRules(ingress, 'from') }),
      ...(policyTypes.includes('Egress') && { egress: ciliumRules(egress, 'to') }),
    },
  }
}

/** An item has one kind of peers, so every peer makes an item. A direction without rules isolates by an empty one. */
function ciliumRules(rules: readonly Rule[], direction: Direction): object[] {
  const items = rules.flatMap(rule => {
    const ports = rule.ports?.length ? { toPorts: [{ ports: rule.ports.map(ciliumPort) }] } : {}
    const peers = rule[direction] ?? []
    if (peers.length === 0) return [{ [`${direction}Entities`]: ['all'], ...ports }]
    return peers.map(peer => {
      if (peer.ipBlock) return { [`${direction}CIDRSet`]: [peer.ipBlock], ...ports }
      return { [`${direction}Endpoints`]: [ciliumSelector(peer)], ...ports }
    })
  })
  return items.length > 0 ? items : [{}]
}

const ciliumPort = ({ port = 0, endPort, protocol = 'TCP' }: Port): object => ({
  port: String(port),
  protocol,
  ...(endPort !== undefined && { endPort }),
})

function ciliumSelector({ podSelector = {}, namespaceSelector }: Peer): Selector {
  if (!namespaceSelector) return podSelector
  const { matchLabels = {}, matchExpressions = [] } = namespaceSelector
  const labels = Object.entries(matchLabels).map(([key, value]) => [`${NAMESPACE_LABEL}${key}`, value])
  const expressions = matchExpressions.map(({ key, ...rest }) => ({ key: `${NAMESPACE_LABEL}${key}`, ...rest }))
  const all = labels.length + expressions.length === 0 ? [IN_ANY_NAMESPACE] : []
  return {
    matchLabels: { ...podSelector.matchLabels, ...(Object.fromEntries(labels) as Labels) },
    matchExpressions: [...(podSelector.matchExpressions ?? []), ...expressions, ...all],
  }
}

const IN_ANY_NAMESPACE: Expression = { key: NAMESPACE, operator: 'Exists' }

/** A policy for the pods of all three namespaces, as one of the cluster. */
export function clusterwide(policy: CiliumPolicy): object {
  const { namespace: _, ...metadata } = policy.metadata
  const inNamespaces = { key: `k8s:${NAMESPACE}`, operator: 'In', values: NAMESPACES }
  const rules = mapRules(policy, rule => ({
    ...rule,
    endpointSelector: withExpression(rule.endpointSelector, inNamespaces),
  }))
  return { ...rules, kind: 'CiliumClusterwideNetworkPolicy', metadata }
}

/** The same as one in each of the namespaces. There a selector means its own namespace if it does not say otherwise. */
export function oneForEach(policy: CiliumPolicy): object[] {
  const rules = mapRules(policy, rule => {
    const text = JSON.stringify(rule, (field, value: unknown) =>
      /^(from|to)Endpoints$/.test(field) ? (value as readonly Selector[]).map(inAnyNamespace) : value,
    )
    return JSON.parse(text) as CiliumRule
  })
  return NAMESPACES.map(namespace => ({
    ...rules,
    kind: 'CiliumNetworkPolicy',
    metadata: { ...policy.metadata, namespace },
  }))
}

function mapRules({ spec, specs, ...rest }: CiliumPolicy, change: (rule: CiliumRule) => CiliumRule): object {
  return { ...rest, ...(spec && { spec: change(spec) }), ...(specs && { specs: specs.map(change) }) }
}

function inAnyNamespace(selector: Selector): Selector {
  const keys = [...Object.keys(selector.matchLabels ?? {}), ...(selector.matchExpressions ?? []).map(({ key }) => key)]
  const isScoped = keys.some(key => /^reserved:|pod\.namespace$|namespace\.labels\./.test(key))
  return isScoped ? selector : withExpression(selector, IN_ANY_NAMESPACE)
}

function withExpression(selector: Selector, expression: Expression): Selector {
  return { ...selector, matchExpressions: [...(selector.matchExpressions ?? []), expression] }
}

/** The policies without what denies or passes on, under other names; without groups, which others may have too. */
export function allowsOf(objects: readonly RandomObject[]): object[] {
  return partsOf(objects, 'Accept', ({ ingressDeny: _ingressDeny, egressDeny: _egressDeny, ...rule }) => {
    return hasAny(rule, 'ingress', 'egress') ? rule : { ...rule, ingress: [{}] }
  })
}

/** The policies without what allows, passes on or isolates. */
export function denialsOf(objects: readonly RandomObject[]): object[] {
  const denying = objects.filter(({ kind }) => kind !== 'NetworkPolicy')
  return partsOf(denying, 'Deny', ({ ingress: _ingress, egress: _egress, ...rule }) => {
    const denials = hasAny(rule, 'ingressDeny', 'egressDeny') ? rule : { ...rule, ingressDeny: [{}] }
    return { ...denials, enableDefaultDeny: { ingress: false, egress: false } }
  })
}

function partsOf(
  objects: readonly RandomObject[],
  action: 'Accept' | 'Deny',
  ofRule: (rule: CiliumRule) => CiliumRule,
): object[] {
  return objects.flatMap((object): object[] => {
    const metadata = { ...object.metadata, name: `more-${object.metadata.name}` }
    if (object.kind === 'CiliumCIDRGroup') return []
    if (isCilium(object)) return [{ ...mapRules(object, ofRule), metadata }]
    if (object.kind === 'NetworkPolicy') return [{ ...object, metadata }]
    const { ingress, egress } = object.spec
    const part = (rules: typeof ingress): typeof ingress => rules.filter(rule => rule.action === action)
    return [{ ...object, metadata, spec: { ...object.spec, ingress: part(ingress), egress: part(egress) } }]
  })
}

const hasAny = (rule: CiliumRule, ...sections: readonly string[]): boolean =>
  sections.some(section => Array.isArray(rule[section]) && rule[section].length > 0)
