// A random cluster for tests of explanations: pods of every kind, nodes, addresses
// outside, and what becomes of every connection between them.

import assert from 'node:assert/strict'
import { formatIp, ip } from '../../src/ip/index.ts'
import { parseManifests } from '../../src/manifests/index.ts'
import { type Cluster, type End, PROTOCOLS, readCluster } from '../../src/policy/index.ts'
import { clusterManifests } from '../e2e/random-policies.ts'
import { namespaceManifest, podAt } from '../e2e/support.ts'

export const ASKED = [
  [PROTOCOLS.TCP, 80],
  [PROTOCOLS.TCP, 81],
  [PROTOCOLS.UDP, 80],
  [PROTOCOLS.UDP, 81],
  [PROTOCOLS.SCTP, 80],
  [PROTOCOLS.ICMP, 8],
  [PROTOCOLS.ICMPv6, 128],
] as const

/** Two nodes, a pod on the network of one, and pods that differ from others by one more label or the service account. */
const MORE = [
  node('node1', '172.30.0.2', 'fd00:172:30::2'),
  node('node2', '172.30.0.3', 'fd00:172:30::3'),
  { ...podAt('x/host', [], { labels: { app: 'web' }, spec: { hostNetwork: true, nodeName: 'node2' } }), status: {} },
  podAt('x/d', ['10.244.1.24', 'fd00:10:244::24'], { labels: { app: 'db', tier: 'back' } }),
  podAt('y/c', ['10.244.1.25'], { labels: { app: 'db', tier: 'back' }, spec: { serviceAccountName: 'other' } }),
  ...['26', '27', '28'].map(host =>
    podAt(`x/copy-${host}`, [`10.244.1.${host}`], { labels: { app: 'web', tier: 'front' } }),
  ),
  // Labels under internal names, which would be facts of Kubernetes if they counted, and labels with a value per pod.
  podAt('x/forger', ['10.244.1.31', 'fd00:10:244::31'], {
    labels: { app: 'web', tier: 'front', 'io.kubernetes.pod.namespace': 'z' },
  }),
  podAt('z/forger', ['10.244.1.32', 'fd00:10:244::32'], {
    labels: { app: 'db', 'io.kubernetes.pod.namespace': 'x', 'io.cilium.k8s.policy.serviceaccount': 'other' },
  }),
  podAt('z/job', ['10.244.1.33'], { labels: { app: 'db', 'job-name': 'z' } }),
  podAt('z/plain', ['10.244.1.34'], { labels: { app: 'db' } }),
  podAt('y/bare', ['10.244.1.35', 'fd00:10:244::35'], { labels: {} }),
  namespaceManifest('empty'),
]

function node(name: string, ...addresses: readonly string[]) {
  const status = { addresses: addresses.map(address => ({ type: 'InternalIP', address })) }
  return { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: {}, status }
}

export const OUTSIDE = ['192.0.2.7', '203.0.113.9', '2001:db8::7']

export const pods = [...clusterManifests(), ...MORE].map(object =>
  isPod(object) && !object.spec.nodeName ? { ...object, spec: { ...object.spec, nodeName: 'node1' } } : object,
)

function isPod(object: object): object is { readonly spec: Readonly<Record<string, unknown>> } {
  return 'kind' in object && object.kind === 'Pod'
}

export function clusterOf(objects: readonly object[], more = ''): Cluster {
  const texts = [...objects.map(object => JSON.stringify(object)), ...(more ? [more] : [])]
  const parsed = parseManifests(texts.join('\n---\n'), 'random.yaml')
  const { cluster, problems } = readCluster(parsed.objects)
  const errors = [...parsed.problems, ...problems].filter(({ severity }) => severity === 'error')
  assert.deepEqual(errors, [])
  return cluster
}

/** Everybody at every address, by name and family. */
export function endsOf(cluster: Cluster): Map<string, End> {
  const { content } = cluster
  const ends = new Map<string, End>()
  for (const pod of content.pods)
    for (const { family } of pod.hostNetwork ? [] : pod.addresses) {
      const end = cluster.endOf(pod, family)
      if (end) ends.set(`${pod.namespace}/${pod.name} ${family}`, end)
    }
  const addresses = [...content.nodes.flatMap(each => each.addresses), ...OUTSIDE.map(ip)]
  for (const address of addresses) ends.set(formatIp(address.bytes), cluster.endAt(address))
  return ends
}

/** `allowed`, `denied` or `audited` by ends and port. */
export function outcomes(cluster: Cluster): Map<string, string> {
  const found = new Map<string, string>()
  const ends = endsOf(cluster)
  for (const [fromName, from] of ends)
    for (const [toName, to] of ends) {
      if (from.address.family !== to.address.family || isSamePod(from, to)) continue
      for (const [protocol, port] of ASKED) {
        const { verdict, egress, ingress } = cluster.verdict(from, to, protocol, port)
        const isAudited = verdict === 'allowed' && (egress?.audit || ingress?.audit)
        found.set(`${fromName} > ${toName} ${protocol}/${port}`, isAudited ? 'audited' : verdict)
      }
    }
  return found
}

export const isSamePod = (from: End, to: End): boolean =>
  from.kind === 'pod' && to.kind === 'pod' && from.pod === to.pod
