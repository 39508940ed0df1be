// Every cell of the published NetworkPolicy cases (test/data/README.md), judged by the
// engine from manifests as a user would write them.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { PROTOCOLS } from '../../labels/index.ts'
import { parseManifests } from '../../manifests/index.ts'
import type { Cluster } from './cluster.ts'
import { readCluster } from './cluster-manifests.ts'
import { type ReachPort, reach } from './reach.ts'

type Protocol = 'TCP' | 'UDP' | 'SCTP'
type CasePod = { ns: string; name: string; labels: Record<string, string>; ip: string }
type Namespaces = Record<string, Record<string, string>>
type Cell = [from: string, to: string, port: number, protocol: Protocol]
type Step = {
  policies: unknown[]
  pods?: CasePod[]
  namespaces?: Namespaces
  cells: number
  blocked?: Cell[]
  allowed?: Cell[]
}
type Topology = {
  namespaces: Namespaces
  pods: CasePod[]
  portNames: Record<string, string>
  ports: number[]
  protocols: Protocol[]
}
type Cases = { topology: Topology; cases: { description: string; tags: string[]; steps: Step[] }[] }

const { topology, cases } = JSON.parse(
  readFileSync(new URL('../../../test/data/networkpolicy-cases.json', import.meta.url), 'utf8'),
) as Cases

const containerPorts = Object.entries(topology.portNames).map(([key, name]) => {
  const [port, protocol] = key.split('/')
  return { name, containerPort: Number(port), protocol }
})

function clusterOf({ policies, pods = topology.pods, namespaces = topology.namespaces }: Step): Cluster {
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
      spec: { containers: [{ name: 'server', ports: containerPorts }] },
      status: { podIP: ip },
    })),
    ...policies,
  ]
  const parsed = parseManifests(objects.map(object => JSON.stringify(object)).join('\n---\n'), 'case.yaml')
  const { cluster, problems } = readCluster(parsed.objects)
  assert.deepEqual([...parsed.problems, ...problems], [])
  return cluster
}

const ports: readonly ReachPort[] = topology.ports.flatMap(port =>
  topology.protocols.map(protocol => ({ port, protocol: PROTOCOLS[protocol] })),
)

test('all published cases, every cell', async t => {
  let cells = 0
  for (const [number, { description, tags, steps }] of cases.entries())
    await t.test(`${number}: ${description} (${tags.join(', ')})`, () => {
      for (const [i, step] of steps.entries()) {
        const listed = new Set((step.blocked ?? step.allowed ?? []).map(cell => cell.join(' ')))
        const ofListed = step.blocked ? 'denied' : 'allowed'
        const ofOthers = step.blocked ? 'allowed' : 'denied'
        const rows = [...reach(clusterOf(step), ports, { includeSelf: true })]
        const wrong = rows.flatMap(({ from, to, port, protocol, verdict }) => {
          const cell = `${from} ${to} ${port} ${protocol}`
          const want = listed.has(cell) ? ofListed : ofOthers
          return verdict === want ? [] : [`${cell}: ${verdict}, not ${want}`]
        })
        assert.deepEqual(wrong, [], `${description}, step ${i + 1}: ${wrong.length} of ${rows.length} cells are wrong`)
        assert.equal(rows.length, step.cells)
        cells += rows.length
      }
    })
  assert.equal(cases.length, 115)
  assert.equal(cells, 63_780)
})
