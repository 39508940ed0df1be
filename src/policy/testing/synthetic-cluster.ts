// Clusters of any size that look like real ones, for scale tests and benchmarks: teams
// with namespaces, applications of many replicas, labels that controllers set, named
// ports, and policies of every kind. The same size gives the same cluster, always.

import type { ManifestObject } from '../../manifests/index.ts'
import { type Content, manifestObject } from './manifest-object.ts'
import { random } from './random.ts'
import { SYNTHETIC_CIDR_GROUPS } from './synthetic-cilium-policies.ts'
import type { Application, Landscape } from './synthetic-landscape.ts'
import { syntheticPolicies } from './synthetic-policies.ts'

export type SyntheticSize = {
  readonly namespaces: number
  readonly applicationsEach: number
  /** Spread over the applications in turn. At most 65,000. */
  readonly pods: number
  readonly policies: number
  readonly seed: number
}

export type SyntheticCluster = {
  readonly nodes: readonly Content[]
  readonly namespaces: readonly Content[]
  readonly pods: readonly Content[]
  readonly policies: readonly Content[]
  readonly cidrGroups: readonly Content[]
}

const TEAMS = ['billing', 'catalog', 'identity', 'search', 'shipping', 'web']
const ENVIRONMENTS = ['production', 'staging', 'test']
const LAYERS = ['edge', 'service', 'storage']

const PODS_ON_A_NODE = 100

/** Pods have addresses of 10.244.0.0/16, nodes of 172.31.0.0/16. */
export function syntheticCluster(size: SyntheticSize): SyntheticCluster {
  const choose = random(size.seed)
  const namespaces = Array.from({ length: size.namespaces }, (_, i) => ({
    name: `${TEAMS[i % TEAMS.length]}-${i}`,
    team: TEAMS[i % TEAMS.length] as string,
    environment: choose.pick(ENVIRONMENTS),
  }))
  const applications = namespaces.flatMap(({ name, team }) =>
    Array.from({ length: size.applicationsEach }, (_, i) => application(name, team, i, choose.below(3))),
  )
  const landscape: Landscape = { teams: TEAMS, namespaces: namespaces.map(({ name }) => name), applications }
  const nodes = Array.from({ length: Math.max(1, Math.ceil(size.pods / PODS_ON_A_NODE)) }, (_, i) => `node-${i}`)
  return {
    nodes: nodes.map((name, i) => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name },
      status: { addresses: [{ type: 'InternalIP', address: `172.31.${i >> 8}.${i & 255}` }] },
    })),
    namespaces: namespaces.map(({ name, team, environment }) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { team, environment } },
    })),
    pods: Array.from({ length: size.pods }, (_, i) =>
      pod(applications[i % applications.length] as Application, nodes[i % nodes.length] as string, i),
    ),
    policies: syntheticPolicies(landscape, size.policies, choose),
    cidrGroups: SYNTHETIC_CIDR_GROUPS,
  }
}

/** All its objects, as a file would declare them. */
export function objectsOf(cluster: SyntheticCluster): ManifestObject[] {
  const { nodes, namespaces, pods, cidrGroups, policies } = cluster
  return [...nodes, ...namespaces, ...pods, ...cidrGroups, ...policies].map(manifestObject)
}

function application(namespace: string, team: string, index: number, variant: number): Application {
  const layer = LAYERS[index % LAYERS.length] as string
  const name = `${layer}-${index}`
  return {
    namespace,
    name,
    layer,
    labels: { 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': team, layer },
    ports: [
      { name: 'http', protocol: 'TCP', containerPort: [8080, 8000, 3000][variant] as number },
      { name: 'metrics', protocol: 'TCP', containerPort: [9090, 9102, 9100][variant] as number },
      ...(layer === 'storage' ? [{ name: 'sql', protocol: 'TCP' as const, containerPort: 5432 }] : []),
      ...(layer === 'edge' ? [{ name: 'quic', protocol: 'UDP' as const, containerPort: 8443 }] : []),
    ],
  }
}

/** With what a Deployment's pods have beside their own labels: a hash, which makes no identity. */
function pod({ namespace, name, labels, ports }: Application, nodeName: string, index: number): Content {
  const hash = (index * 2_654_435_761) >>> 0
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace,
      name: `${name}-${hash.toString(36)}-${index}`,
      labels: { ...labels, 'pod-template-hash': hash.toString(36) },
    },
    spec: { nodeName, serviceAccountName: name, containers: [{ name: 'main', image: `${name}:1`, ports }] },
    status: { podIPs: [{ ip: `10.244.${(index + 1) >> 8}.${(index + 1) & 255}` }] },
  }
}
