// CiliumNetworkPolicies for a synthetic cluster: endpoints here and elsewhere, prefixes
// with exceptions and by group, entities, denials and ICMP.

import type { Content } from './manifest-object.ts'
import type { Random } from './random.ts'
import type { Application, Landscape } from './synthetic-landscape.ts'

const API = 'cilium.io/v2'

/** Prefixes that the policies below refer to by name. */
export const SYNTHETIC_CIDR_GROUPS: readonly Content[] = ['partners', 'offices'].map((name, i) => ({
  apiVersion: API,
  kind: 'CiliumCIDRGroup',
  metadata: { name },
  spec: { externalCIDRs: Array.from({ length: 8 }, (_, j) => `198.18.${16 * i + j}.0/25`) },
}))

/** A policy of an application. What it denies is narrower than what it allows. */
export function ciliumPolicy(landscape: Landscape, own: Application, index: number, choose: Random): Content {
  const ingress = Array.from({ length: 1 + choose.below(3) }, () => ({
    ...endpoints('from', landscape, choose),
    ...(!choose.oneIn(6) && { toPorts: [{ ports: ports(choose) }] }),
  }))
  const egress = Array.from({ length: choose.below(3) }, () => ({
    ...(choose.oneIn(2) ? prefixes('to', choose) : endpoints('to', landscape, choose)),
    toPorts: [{ ports: ports(choose) }],
  }))
  return {
    apiVersion: API,
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: own.namespace, name: `${own.name}-${index}` },
    spec: {
      endpointSelector: { matchLabels: { 'app.kubernetes.io/name': own.name } },
      ingress: [
        ...ingress,
        { fromEntities: ['cluster'], icmps: [{ fields: [{ type: 8 }, { family: 'IPv6', type: 128 }] }] },
        ...(own.layer === 'edge' ? [{ fromEntities: ['world'], toPorts: [{ ports: [{ port: 'http' }] }] }] : []),
      ],
      ...(choose.oneIn(3) && { ingressDeny: [{ ...prefixes('from', choose) }] }),
      ...(egress.length > 0 && { egress }),
      ...(choose.oneIn(4) && { egressDeny: [{ toCIDR: ['169.254.169.254/32'] }] }),
    },
  }
}

function endpoints(field: 'from' | 'to', { teams, applications }: Landscape, choose: Random): object {
  const { name, namespace } = choose.pick(applications)
  const named = { 'app.kubernetes.io/name': name }
  const selectors = [
    { matchLabels: named },
    { matchLabels: { ...named, 'k8s:io.kubernetes.pod.namespace': namespace } },
    { matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': choose.pick(teams) } },
    { matchExpressions: [{ key: 'layer', operator: 'NotIn', values: ['storage'] }] },
  ]
  return { [`${field}Endpoints`]: choose.some(selectors, 1 + choose.below(2)) }
}

function prefixes(field: 'from' | 'to', choose: Random): object {
  const items = [
    { cidr: '198.51.100.0/24', except: ['198.51.100.128/26'] },
    { cidr: '203.0.113.0/24' },
    { cidrGroupRef: 'partners' },
    { cidrGroupRef: 'offices', except: ['198.18.16.0/28'] },
  ]
  return { [`${field}CIDRSet`]: choose.some(items, 1 + choose.below(2)) }
}

function ports(choose: Random): object[] {
  const known = [
    { port: '443', protocol: 'TCP' },
    { port: 'http', protocol: 'TCP' },
    { port: `${9000 + choose.below(100)}` },
    { port: '20000', endPort: 20_100 + choose.below(900), protocol: 'UDP' },
  ]
  return choose.some(known, 1 + choose.below(2))
}
