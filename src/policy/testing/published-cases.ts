// The published NetworkPolicy cases (test/data/README.md): pods and policies in steps,
// and which pairs of pods each step blocks or allows.

import { formatProblem, parseManifests } from '../../manifests/index.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'

export type Protocol = 'TCP' | 'UDP' | 'SCTP'
type CasePod = { ns: string; name: string; labels: Record<string, string>; ip: string }
type Namespaces = Record<string, Record<string, string>>
type Cell = [from: string, to: string, port: number, protocol: Protocol]

/** Exactly one of `blocked` and `allowed` is given; every other cell is the opposite. */
export type Step = {
  policies: unknown[]
  /** Undefined: those of the topology. */
  pods?: CasePod[]
  /** Undefined: those of the topology. */
  namespaces?: Namespaces
  /** How many there are. */
  cells: number
  blocked?: Cell[]
  allowed?: Cell[]
}

export type Topology = {
  namespaces: Namespaces
  pods: CasePod[]
  /** Names by `PORT/PROTOCOL`. */
  portNames: Record<string, string>
  ports: number[]
  protocols: Protocol[]
}

/** The content of test/data/networkpolicy-cases.json. */
export type PublishedCases = {
  topology: Topology
  cases: { description: string; tags: string[]; steps: Step[] }[]
}

/** The cluster as a step leaves it, made of manifests as a user would write them. @throws Error when anything is wrong with them */
export function clusterAfter(step: Step, topology: Topology): Cluster {
  const { policies, pods = topology.pods, namespaces = topology.namespaces } = step
  const ports = Object.entries(topology.portNames).map(([key, name]) => {
    const [port, protocol] = key.split('/')
    return { name, containerPort: Number(port), protocol }
  })
  const objects = [
    ...Object.entries(namespaces).map(([name, labels]) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
    })),
    ...pods.map(({ ns, name, labels, ip }) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace: ns, name, labels },
      spec: { containers: [{ name: 'server', ports }] },
      status: { podIP: ip },
    })),
    ...policies,
  ]
  const parsed = parseManifests(objects.map(object => JSON.stringify(object)).join('\n---\n'), 'case.yaml')
  const { cluster, problems } = readCluster(parsed.objects)
  const [wrong] = [...parsed.problems, ...problems]
  if (wrong) throw new Error(formatProblem(wrong))
  return cluster
}
