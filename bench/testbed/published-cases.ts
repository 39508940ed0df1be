// The clusters of the published NetworkPolicy cases (test/data/README.md), each after its last step.

import { readFileSync } from 'node:fs'
import { parseManifests } from '../../src/manifests/index.ts'
import { type Cluster, readCluster } from '../../src/policy/index.ts'

type CasePod = { ns: string; name: string; labels: Record<string, string>; ip: string }
type Step = { policies: unknown[]; pods?: CasePod[]; namespaces?: Record<string, Record<string, string>> }
type Cases = {
  topology: Required<Pick<Step, 'pods' | 'namespaces'>> & { portNames: Record<string, string> }
  cases: { steps: Step[] }[]
}

export function publishedClusters(): Cluster[] {
  const file = new URL('../../test/data/networkpolicy-cases.json', import.meta.url)
  const { topology, cases } = JSON.parse(readFileSync(file, 'utf8')) as Cases
  const ports = Object.entries(topology.portNames).map(([key, name]) => {
    const [port, protocol] = key.split('/')
    return { name, containerPort: Number(port), protocol }
  })
  return cases.map(({ steps }) => {
    const { policies = [], pods = topology.pods, namespaces = topology.namespaces } = steps.at(-1) ?? {}
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
    const text = objects.map(object => JSON.stringify(object)).join('\n---\n')
    return readCluster(parseManifests(text, 'case.yaml').objects).cluster
  })
}
