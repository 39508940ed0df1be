// Small clusters for tests, written as YAML with a line for each field of an object, so
// that places in them can be told.

import { formatProblem, parseManifests } from '../../manifests/index.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'

type Labels = Readonly<Record<string, string>>
type PodDetails = { readonly ip?: string; readonly ports?: string; readonly more?: string }

/** The cluster of a text. Its file is `cluster.yaml`. @throws Error when anything is wrong with it, a warning too unless it is to be had */
export function clusterOf(text: string, { withWarnings = false } = {}): Cluster {
  const parsed = parseManifests(text, 'cluster.yaml')
  const { cluster, problems } = readCluster(parsed.objects)
  const wrong = [...parsed.problems, ...problems]
  const [first] = withWarnings ? wrong.filter(({ severity }) => severity === 'error') : wrong
  if (first) throw new Error(formatProblem(first))
  return cluster
}

/** `ip` may be several addresses. Six lines. */
export const pod = (key: string, labels: Labels, { ip = '', ports = '[]', more = '' }: PodDetails = {}): string => `---
apiVersion: v1
kind: Pod
metadata: {${nameOf(key)}, labels: ${JSON.stringify(labels)}}
spec: {containers: [{name: c, ports: ${ports}}]${more}}
status: {podIPs: [${ip
  .split(' ')
  .filter(Boolean)
  .map(each => `{ip: "${each}"}`)
  .join(', ')}]}
`

export const node = (name: string, address: string): string => `---
apiVersion: v1
kind: Node
metadata: {name: ${name}}
status: {addresses: [{type: InternalIP, address: "${address}"}]}
`

export const namespace = (name: string, annotations: Labels = {}): string => `---
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, annotations: ${JSON.stringify(annotations)}}
`

/** Five lines; rules are on the last. */
export const networkPolicy = (key: string, spec: string): string => `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {${nameOf(key)}}
spec: ${spec}
`

export const clusterPolicy = (
  name: string,
  tier: string,
  priority: number,
  subject: string,
  rules: string,
): string => `---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: ${name}}
spec: {tier: ${tier}, priority: ${priority}, subject: ${subject}, ${rules}}
`

function nameOf(key: string): string {
  const [namespace = '', name = ''] = key.split('/')
  return `name: ${name}, namespace: "${namespace}"`
}
