// A cluster of a middle size with policies of every kind, some of them on trial: random
// questions against a second reading of the rule model, and what must hold of all that
// is resolved.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIp, ip } from '../../ip/index.ts'
import { type LabelSet, PROTOCOLS, podLabels, reservedLabels } from '../../labels/index.ts'
import { formatProblem } from '../../manifests/index.ts'
import type { Judgement } from '../engine/evaluate.ts'
import { DEFAULT_DENY, type Direction } from '../model/rule.ts'
import type { Content } from '../testing/manifest-object.ts'
import { type NaiveEnd, naiveVerdict } from '../testing/naive-verdict.ts'
import { random } from '../testing/random.ts'
import { objectsOf, syntheticCluster } from '../testing/synthetic-cluster.ts'
import { Cluster, type End, isOwnNode } from './cluster.ts'
import { readCluster } from './cluster-manifests.ts'

const SIZE = { namespaces: 12, applicationsEach: 6, pods: 600, policies: 300, seed: 77 }
const AUDITED = { annotations: { 'policy.axoneme.io/audit': 'true' } }
const QUESTIONS = 2000

const audited = <T extends Content>(content: T): T => ({ ...content, metadata: { ...content.metadata, ...AUDITED } })

function readContent() {
  const cluster = syntheticCluster(SIZE)
  const objects = objectsOf({
    ...cluster,
    namespaces: cluster.namespaces.map((namespace, i) => (i === 5 ? audited(namespace) : namespace)),
    policies: cluster.policies.map((policy, i) => (i % 15 === 14 ? audited(policy) : policy)),
  })
  const { cluster: read, problems } = readCluster(objects)
  assert.deepEqual(problems.map(formatProblem), [])
  return read.content
}

const content = readContent()

const OUTSIDE = ['192.0.2.9', '198.51.100.70', '198.51.100.140', '203.0.113.5', '172.16.8.1', '172.17.0.1', '8.8.8.8']
  .concat(['198.18.1.5', '198.18.17.200', '198.18.16.3', '169.254.169.254', '169.254.1.1', '10.9.9.9'])
  .map((text): End => ({ kind: 'world', address: ip(text) }))

const { TCP, UDP, SCTP, ICMP } = PROTOCOLS
const PORTS = [80, 443, 1023, 3000, 5432, 8000, 8080, 8081, 8443, 9090, 9100, 9102, 20_050, 30_400, 31_000]
const DESTINATIONS = [
  ...PORTS.flatMap(port => [TCP, UDP, SCTP].map(protocol => ({ protocol, port }))),
  ...[0, 3, 8].map(port => ({ protocol: ICMP, port })),
]

const labelsOf = (end: End, other: End): LabelSet => {
  if (end.kind === 'world') return reservedLabels('world-ipv4')
  if (end.kind === 'node') return reservedLabels(isOwnNode(end, other) ? 'host' : 'remote-node')
  const { namespace, labels, serviceAccount } = end.pod
  const namespaceLabels = content.namespaceLabels.get(namespace) ?? {}
  return podLabels({ namespace, namespaceLabels, labels, serviceAccount }, new Set(Object.keys(labels)))
}

const naiveEnd = (end: End, other: End): NaiveEnd => ({
  labels: labelsOf(end, other),
  address: end.address,
  isWorld: end.kind === 'world',
  namedPorts: end.kind === 'pod' ? end.pod.namedPorts : [],
})

test('2,000 random questions agree with a second reading of the rule model', () => {
  const cluster = new Cluster(content)
  const choose = random(4711)
  const ends = content.pods.flatMap(pod => cluster.endOf(pod) ?? [])
  const nodes = content.nodes.flatMap(({ name, addresses }) =>
    addresses.map((address): End => ({ kind: 'node', node: name, address })),
  )
  const seen = new Map<string, number>()
  const check = (direction: Direction, subject: End, peer: End, protocol: number, port: number, got?: Judgement) => {
    if (subject.kind !== 'pod') return
    const isAudited = content.auditedNamespaces?.has(subject.pod.namespace) ?? false
    const question = { subject: naiveEnd(subject, peer), peer: naiveEnd(peer, subject), direction, protocol, port }
    const want = naiveVerdict(content.policies, content, question, isAudited)
    const judged = got && { verdict: got.verdict, audit: got.audit ?? false, rule: got.entry?.rule ?? DEFAULT_DENY }
    const from = `${subject.pod.namespace}/${subject.pod.name}`
    assert.deepEqual(judged, want, `${direction} of ${from} with ${formatIp(peer.address.bytes)} ${port}/${protocol}`)
    const kind = `${want.verdict}${want.audit ? ', audited' : ''} by ${want.rule.split('/')[0]}`
    seen.set(kind, (seen.get(kind) ?? 0) + 1)
  }
  for (let i = 0; i < QUESTIONS; i++) {
    const pod = choose.pick(ends)
    const other = choose.oneIn(3) ? choose.pick(choose.oneIn(5) ? nodes : OUTSIDE) : choose.pick(ends)
    const [from, to] = choose.oneIn(2) ? [pod, other] : [other, pod]
    const { protocol, port } = choose.pick(DESTINATIONS)
    const { egress, ingress } = cluster.verdict(from, to, protocol, port)
    check('egress', from, to, protocol, port, egress)
    if (!isOwnNode(from, to)) check('ingress', to, from, protocol, port, ingress)
  }
  // Chance must have come to each kind of answer, or the comparison says less than it seems to.
  for (const kind of KINDS_OF_ANSWERS) assert.ok(seen.has(kind), `none was ${kind}: ${JSON.stringify([...seen])}`)
})

const KINDS_OF_ANSWERS = [
  'allowed by NetworkPolicy',
  'allowed by CiliumNetworkPolicy',
  'allowed by ClusterNetworkPolicy',
  'denied by CiliumNetworkPolicy',
  'denied by ClusterNetworkPolicy',
  'denied by default-deny',
  'allowed, audited by ClusterNetworkPolicy',
  'allowed, audited by default-deny',
]

test('entries are in order, each key once, and no order of policies changes any of them', () => {
  const cluster = new Cluster(content)
  const other = new Cluster({ ...content, policies: content.policies.toReversed() })
  let compared = 0
  for (const pod of content.pods) {
    const [policy, same] = [cluster, other].map(each => each.party(each.endOf(pod) ?? assert.fail()).policy)
    assert.ok(policy && same)
    // Numbers of identities follow the pods, which are in the same order, so the entries are comparable.
    assert.equal(policy.key, same.key, `${pod.namespace}/${pod.name}`)
    const keys = policy.entries.map(({ direction, identity, protocol, port, portPrefixLength }) =>
      [direction === 'ingress' ? 0 : 1, identity, protocol, port, portPrefixLength]
        .map(n => String(n).padStart(10, '0'))
        .join(),
    )
    assert.deepEqual(keys, [...new Set(keys)].sort())
    for (const { rule, precedence } of policy.entries)
      assert.ok(precedence >= 0 && (!rule.includes('/') || cluster.repository.rule(rule)), rule)
    compared += keys.length
  }
  assert.ok(compared > 10_000, `${compared} entries`)
})
