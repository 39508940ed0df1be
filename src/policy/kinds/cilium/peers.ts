// The other side of a rule of the Cilium kinds to the model's peers. A list that is
// there and empty is nobody; no list at all is left to the ports. Prefixes and
// entities of the world never mean pods or nodes.

import { has, IS_POD, podRequirements, prefixedRequirements, selector } from '../../../labels/index.ts'
import type { Path } from '../../../manifests/index.ts'
import { namePeer } from '../../model/name-selector.ts'
import type { Direction, Peer } from '../../model/rule.ts'
import { hostBitsWarning } from '../cidr-schema.ts'
import type { Findings } from '../findings.ts'
import type { CidrRuleContent, Entity, PeersContent, ServiceContent } from './peer-schema.ts'
import { endpointPeer, NOT_HERE } from './selectors.ts'

/** `missing`: the fields that are not enforced, so that `peers` is not all that is meant. */
export type ReadPeers = {
  readonly peers: 'any' | readonly Peer[]
  readonly missing: readonly { readonly path: Path; readonly reason: string }[]
}

type Missing = ReadPeers['missing'][number]

/** Names of the peer fields by direction; the same names without one as in `PeersContent`. */
const FIELDS = {
  endpoints: 'Endpoints',
  cidrs: 'CIDR',
  cidrSet: 'CIDRSet',
  entities: 'Entities',
  groups: 'Groups',
  nodes: 'Nodes',
  services: 'Services',
  fqdns: 'FQDNs',
} as const satisfies Record<keyof PeersContent, string>

/** Kinds of peers that wait for what is not known here yet. */
const WAITING = {
  groups: 'groups of cloud providers are not looked up yet',
  nodes: 'labels of nodes are not known yet',
} as const

/** Undefined when the rule names no peers. `place` is the rule's own path. */
export function readPeers(
  content: PeersContent,
  { place, direction, namespace }: { readonly place: Path; readonly direction: Direction; readonly namespace: string },
  findings: Findings,
): ReadPeers | undefined {
  const given = (Object.keys(FIELDS) as (keyof PeersContent)[]).filter(field => content[field] !== undefined)
  if (given.length === 0) return undefined
  const empty = given.filter(field => content[field]?.length === 0)
  const pathOf = (field: keyof PeersContent): Path => [
    ...place,
    `${direction === 'ingress' ? 'from' : 'to'}${FIELDS[field]}`,
  ]
  for (const field of empty) findings.warn(pathOf(field), 'is empty, which selects nobody')
  if (empty.length > 0) return { peers: [], missing: [] }
  const waiting = (Object.keys(WAITING) as (keyof typeof WAITING)[]).filter(field => content[field])
  const parts = [
    ...(content.endpoints ?? []).map((item, i) => readEndpoint(item, [...pathOf('endpoints'), i], namespace)),
    ...(content.entities ?? []).map((entity, i) => readEntity(entity, [...pathOf('entities'), i])),
    ...(content.cidrs ?? []).map(({ text, hadHostBits }, i): ReadPeers => {
      if (hadHostBits) findings.warn([...pathOf('cidrs'), i], hostBitsWarning(text))
      return found({ kind: 'cidr', cidr: text, except: [], covers: 'world' })
    }),
    ...(content.cidrSet ?? []).map((item, i) => readCidrRule(item, [...pathOf('cidrSet'), i], findings)),
    ...(content.services ?? []).map(readService),
    ...(content.fqdns ?? []).map(({ matchName, matchPattern }) => found(namePeer(matchName ?? matchPattern ?? ''))),
    ...waiting.map(field => missing({ path: pathOf(field), reason: WAITING[field] })),
  ]
  return {
    peers: parts.some(({ peers }) => peers === 'any') ? 'any' : parts.flatMap(({ peers }) => peers as readonly Peer[]),
    missing: parts.flatMap(part => part.missing),
  }
}

const found = (...peers: readonly Peer[]): ReadPeers => ({ peers, missing: [] })
const missing = (what: Missing): ReadPeers => ({ peers: [], missing: [what] })

function readEndpoint(content: Parameters<typeof endpointPeer>[0], path: Path, namespace: string): ReadPeers {
  const peer = endpointPeer(content, namespace)
  if (peer.kind === 'any') return { peers: 'any', missing: [] }
  return peer.kind === 'selector' ? found(peer) : missing({ path, reason: peer.reason })
}

const reserved = (name: string): Peer => ({ kind: 'selector', selector: selector([has('reserved', name)]) })

/** All that is in the cluster and has an identity here: pods, this node and others. */
const CLUSTER: readonly Peer[] = [
  { kind: 'selector', selector: selector([IS_POD]) },
  reserved('host'),
  reserved('remote-node'),
]

function readEntity(entity: Entity, path: Path): ReadPeers {
  const reason = NOT_HERE[entity]
  if (reason !== undefined) return missing({ path, reason })
  switch (entity) {
    case 'all':
      return { peers: 'any', missing: [] }
    case 'none':
      return found()
    case 'cluster':
    case 'cluster-mesh':
      return found(...CLUSTER)
    default:
      return found(reserved(entity))
  }
}

function readCidrRule(content: CidrRuleContent, path: Path, findings: Findings): ReadPeers {
  const { cidr, cidrGroupRef, cidrGroupSelector } = content
  if (cidr?.hadHostBits) findings.warn([...path, 'cidr'], hostBitsWarning(cidr.text))
  for (const [i, { text, hadHostBits }] of content.except.entries())
    if (hadHostBits) findings.warn([...path, 'except', i], hostBitsWarning(text))
  const except = [...new Set(content.except.map(({ text }) => text))].sort()
  if (cidr) return found({ kind: 'cidr', cidr: cidr.text, except, covers: 'world' })
  const group =
    cidrGroupRef === undefined
      ? {
          selector: selector(
            podRequirements(cidrGroupSelector ?? {}).map(one => ({ ...one, source: 'cidrgroup' as const })),
          ),
        }
      : { name: cidrGroupRef }
  return found({ kind: 'cidr-group', group, except })
}

/** No namespace means any, as to Cilium. */
function readService({ k8sService, k8sServiceSelector }: ServiceContent): ReadPeers {
  if (k8sService) {
    const { serviceName: name, namespace } = k8sService
    return found({ kind: 'service', service: { name, namespace: namespace || undefined } })
  }
  const { selector: labels = { matchLabels: {}, matchExpressions: [] }, namespace } = k8sServiceSelector ?? {}
  const wanted = selector(prefixedRequirements(labels))
  return found({ kind: 'service', service: { selector: wanted, namespace: namespace || undefined } })
}
