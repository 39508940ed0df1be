// The second reading of NetworkPolicy and ClusterNetworkPolicy.

import {
  type Direction,
  isInside,
  type Labels,
  type Match,
  NO_PRIORITY,
  type Pod,
  type Question,
  rankOf,
  type Said,
  type Selector,
  type Somebody,
  selects,
  TRANSPORTS,
} from './reading-values.ts'

type Peer = {
  readonly podSelector?: Selector
  readonly namespaceSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] }
}
type Port = { readonly protocol?: string; readonly port?: number | string; readonly endPort?: number }
type Rule = { readonly from?: readonly Peer[]; readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }

type Pods = { readonly namespaceSelector: Selector; readonly podSelector: Selector }
type ClusterPeer = { readonly namespaces?: Selector; readonly pods?: Pods; readonly networks?: readonly string[] }
type Destination = { readonly number?: number; readonly range?: { readonly start: number; readonly end: number } }
type Protocol = {
  readonly tcp?: { readonly destinationPort: Destination }
  readonly udp?: { readonly destinationPort: Destination }
  readonly destinationNamedPort?: string
}
type ClusterRule = {
  readonly action: 'Accept' | 'Deny' | 'Pass'
  readonly from?: readonly ClusterPeer[]
  readonly to?: readonly ClusterPeer[]
  readonly protocols?: readonly Protocol[]
}

type NetworkPolicy = {
  readonly kind: 'NetworkPolicy'
  readonly metadata: { readonly namespace: string; readonly annotations?: Labels }
  readonly spec: { readonly podSelector: Selector; readonly policyTypes: readonly string[] } & Readonly<
    Partial<Record<Direction, readonly Rule[]>>
  >
}
type ClusterNetworkPolicy = {
  readonly kind: 'ClusterNetworkPolicy'
  readonly metadata: { readonly annotations?: Labels }
  readonly spec: { readonly tier: string; readonly priority: number; readonly subject: ClusterPeer } & Readonly<
    Record<Direction, readonly ClusterRule[]>
  >
}
export type KubernetesPolicy = NetworkPolicy | ClusterNetworkPolicy

type Connection = {
  readonly direction: Direction
  readonly pod: Pod
  readonly peer: Somebody
  readonly to: Somebody
  readonly question: Question
}

const NOTHING: Said = { isolates: false, matches: [] }

export function readKubernetes(policy: KubernetesPolicy, connection: Connection): Said {
  return policy.kind === 'NetworkPolicy' ? readNetwork(policy, connection) : readCluster(policy, connection)
}

function readNetwork({ metadata, spec }: NetworkPolicy, { direction, pod, peer, to, question }: Connection): Said {
  const isAbout = metadata.namespace === pod.namespace && selects(spec.podSelector, pod.labels)
  if (!isAbout || !spec.policyTypes.includes(direction === 'ingress' ? 'Ingress' : 'Egress')) return NOTHING
  const matching = (spec[direction] ?? []).filter(rule => {
    const peers = (direction === 'ingress' ? rule.from : rule.to) ?? []
    const ports = rule.ports ?? []
    return (
      (peers.length === 0 || peers.some(one => isPeer(one, metadata.namespace, peer))) &&
      (ports.length === 0 || ports.some(one => isPort(one, to, question)))
    )
  })
  const match: Match = { tier: 'normal', rank: rankOf(NO_PRIORITY), action: 'allow' }
  return { isolates: true, matches: matching.map(() => match) }
}

function isPeer(
  { podSelector, namespaceSelector, ipBlock }: Peer,
  namespace: string,
  { pod, address }: Somebody,
): boolean {
  if (ipBlock) return isInside(address, ipBlock.cidr) && !ipBlock.except?.some(cidr => isInside(address, cidr))
  if (!pod || !selects(podSelector ?? {}, pod.labels)) return false
  return namespaceSelector ? selects(namespaceSelector, namespaceLabels(pod)) : pod.namespace === namespace
}

const namespaceLabels = (pod: Pod): Labels => ({ ...pod.namespaceLabels, 'kubernetes.io/metadata.name': pod.namespace })

function isPort({ protocol = 'TCP', port, endPort }: Port, { pod }: Somebody, asked: Question): boolean {
  if (TRANSPORTS[asked.protocol] !== protocol) return false
  if (typeof port === 'number') return port <= asked.port && asked.port <= (endPort ?? port)
  return port === undefined || isNamed(port, pod, asked)
}

function isNamed(name: string, pod: Pod | undefined, { protocol, port }: Question): boolean {
  const own = pod?.ports.find(known => known.name === name && known.protocol === TRANSPORTS[protocol])
  return own?.containerPort === port
}

const ACTIONS = { Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const

function readCluster({ spec }: ClusterNetworkPolicy, { direction, pod, peer, to, question }: Connection): Said {
  if (!isClusterPeer(spec.subject, { address: '', pod })) return NOTHING
  const matches = spec[direction].flatMap((rule, place): Match[] => {
    const peers = (direction === 'ingress' ? rule.from : rule.to) ?? []
    const isMatched =
      peers.some(one => isClusterPeer(one, peer)) &&
      (rule.protocols?.some(one => isProtocol(one, to, question)) ?? true)
    return isMatched
      ? [{ tier: spec.tier.toLowerCase(), rank: rankOf(spec.priority, place), action: ACTIONS[rule.action] }]
      : []
  })
  return { isolates: false, matches }
}

function isClusterPeer({ namespaces, pods, networks = [] }: ClusterPeer, { pod, address }: Somebody): boolean {
  if (networks.some(cidr => isInside(address, cidr))) return true
  const { namespaceSelector = namespaces, podSelector = {} } = pods ?? {}
  if (!pod || !namespaceSelector) return false
  return selects(namespaceSelector, namespaceLabels(pod)) && selects(podSelector, pod.labels)
}

function isProtocol({ tcp, udp, destinationNamedPort }: Protocol, { pod }: Somebody, asked: Question): boolean {
  if (destinationNamedPort !== undefined) return isNamed(destinationNamedPort, pod, asked)
  const destination = (tcp ?? udp)?.destinationPort
  if (!destination || asked.protocol !== (tcp ? 6 : 17)) return false
  const { number, range = { start: number ?? 0, end: number ?? 0 } } = destination
  return range.start <= asked.port && asked.port <= range.end
}
