// The cluster that the policy engine is measured on, and the changes that happen to it. Nothing here is timed.

import { addressAt } from '../../src/ip/index.ts'
import { addressLabels, type LabelSet, podLabels, reservedIdentities, reservedLabels } from '../../src/labels/index.ts'
import type { ManifestObject } from '../../src/manifests/index.ts'
import {
  type Cluster,
  type ClusterContent,
  type ClusterPod,
  type End,
  type Policy,
  type PolicyRepository,
  readCluster,
  readPolicy,
  type Subject,
} from '../../src/policy/index.ts'
import { type Content, manifestObject } from '../../src/policy/testing/manifest-object.ts'
import {
  objectsOf,
  type SyntheticCluster,
  type SyntheticSize,
  syntheticCluster,
} from '../../src/policy/testing/synthetic-cluster.ts'

/** 30 namespaces of 10 applications: 300 label sets, and as many identities. */
export const MEASURED: SyntheticSize = {
  namespaces: 30,
  applicationsEach: 10,
  pods: 10_000,
  policies: 1000,
  seed: 2026,
}

/** @throws Error when the generator makes something that is not valid */
export function readSynthetic(cluster: SyntheticCluster): ClusterContent {
  const read = readCluster(objectsOf(cluster))
  const [problem] = read.problems
  if (problem)
    throw new Error(`the cluster is not as it should be: ${problem.object}: ${problem.path}: ${problem.message}`)
  return read.cluster.content
}

export function policyOf(object: ManifestObject): Policy {
  const read = readPolicy(object)
  if (!read?.value) throw new Error(`${object.metadata.name}: ${read?.problems[0]?.message}`)
  return read.value
}

const SUBJECT_FIELDS = ['subject', 'podSelector', 'endpointSelector']

/** Every policy with another version of itself: the same name and subject, other rules. */
export function versions(size: SyntheticSize): { readonly now: Policy; readonly other: Policy }[] {
  const read = (seed: number) => syntheticCluster({ ...size, pods: 0, seed }).policies
  const others = read(size.seed + 1)
  return read(size.seed).map((now, i) => {
    const { metadata, spec } = others[i] as Content & { readonly spec: Content }
    const fields = now['spec'] as Readonly<Record<string, unknown>>
    const subject = Object.fromEntries(
      SUBJECT_FIELDS.flatMap(field => (field in fields ? [[field, fields[field]]] : [])),
    )
    if (metadata.name !== now.metadata.name) throw new Error(`${now.metadata.name} has no other version`)
    return {
      now: policyOf(manifestObject(now)),
      other: policyOf(manifestObject({ ...now, spec: { ...spec, ...subject } })),
    }
  })
}

/**
 * Everybody's policy, and identities for the prefixes that policies name, as a cold start makes them.
 * @returns the entries of each map
 */
export function resolveAll(cluster: Cluster): Map<string, number> {
  const maps = new Map<string, number>()
  for (const end of prefixEnds(cluster)) cluster.party(end)
  for (const pod of cluster.content.pods) {
    const { policy } = partyOf(cluster, pod)
    if (policy) maps.set(policy.key, policy.entries.length)
  }
  return maps
}

/** The world at the start of each prefix that policies name: every one of them has an identity. */
function prefixEnds({ repository }: Cluster): End[] {
  const prefixes = [...repository.references().prefixes].map(({ prefix }) => prefix)
  return prefixes.flatMap(prefix => addressAt(prefix, 0) ?? []).map(address => ({ kind: 'world', address }))
}

function partyOf(cluster: Cluster, pod: ClusterPod) {
  const end = cluster.endOf(pod)
  if (!end) throw new Error(`pod ${pod.name} has no address`)
  return cluster.party(end)
}

/** Subjects of all pods, one for each kind of pod. */
export function subjectsOf({ content, repository }: Cluster): Subject[] {
  const subjects = content.pods.map(pod => subjectOf(pod, content, repository))
  return [...new Map(subjects.map(subject => [subject.labels.key, subject])).values()]
}

/** Every identity by number. */
export function identitiesOf(cluster: Cluster): Map<number, LabelSet> {
  const { content, repository } = cluster
  const pods = content.pods.map(
    pod => [partyOf(cluster, pod).identity, identityLabels(pod, content, repository)] as const,
  )
  const prefixes = prefixEnds(cluster).map(end => {
    const base = reservedLabels(end.address.family === 4 ? 'world-ipv4' : 'world-ipv6')
    return [cluster.party(end).identity, addressLabels(base, end.address, repository.references())] as const
  })
  return new Map([...reservedIdentities().map(({ number, labels }) => [number, labels] as const), ...pods, ...prefixes])
}

export function subjectOf(
  { namespace, labels, serviceAccount, namedPorts }: ClusterPod,
  { namespaceLabels }: ClusterContent,
  repository: PolicyRepository,
): Subject {
  const facts = { namespace, labels, serviceAccount, namespaceLabels: namespaceLabels.get(namespace) ?? {} }
  return { labels: podLabels(facts, repository.references().labelKeys), namedPorts }
}

/** Labels of the identity of a pod's address. */
export function identityLabels(pod: ClusterPod, content: ClusterContent, repository: PolicyRepository): LabelSet {
  const [address] = pod.addresses
  if (!address) throw new Error(`pod ${pod.name} has no address`)
  return addressLabels(subjectOf(pod, content, repository).labels, address, repository.references(), pod.namedPorts)
}

/** One policy of so many rules, for an application or all ten of its namespace. A sixth of its peers are blocks of addresses. */
export function manyRules(count: number, subject: 'application' | 'namespace'): Policy {
  const names = [
    'edge-0',
    'service-1',
    'storage-2',
    'edge-3',
    'service-4',
    'storage-5',
    'edge-6',
    'service-7',
    'storage-8',
  ]
  const application = (i: number) => ({ matchLabels: { 'app.kubernetes.io/name': names[i % names.length] } })
  const peer = (i: number) => {
    if (i % 6 === 0) return { ipBlock: { cidr: `172.${16 + (i >> 13)}.${(i >> 5) & 255}.${(i << 3) & 255}/29` } }
    if (i % 6 === 1) return { namespaceSelector: { matchLabels: { team: 'web' } }, podSelector: application(i) }
    return { namespaceSelector: {}, podSelector: application(i) }
  }
  const ingress = Array.from({ length: count }, (_, i) => ({
    from: [peer(i)],
    ports: [{ port: 1024 + ((i * 7) % 30_000), ...(i % 5 === 0 && { endPort: 32_000 + (i % 100) }) }],
  }))
  return policyOf(
    manifestObject({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { namespace: 'billing-0', name: 'many-rules' },
      spec: { podSelector: subject === 'namespace' ? {} : application(1), policyTypes: ['Ingress'], ingress },
    }),
  )
}
