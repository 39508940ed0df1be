// The 115 NetworkPolicy conformance cases (test/data) by packets: TCP and UDP cells by
// real connections between processes, SCTP cells, for which many kernels have no
// sockets, by an INIT packet given to the program that is attached to the pods.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { Program } from '../../src/bpf/index.ts'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import { ethernet, frame, ipv4, sctp, sctpInit } from '../../src/packet/index.ts'
import { NEEDS_ROOT, namespaceManifest, podAt, startCluster, type TestCluster } from './support.ts'

type Labels = Readonly<Record<string, string>>
type Pod = { readonly ns: string; readonly name: string; readonly labels: Labels; readonly ip: string }
type Cell = readonly [from: string, to: string, port: number, protocol: string]
type Step = {
  readonly policies: readonly object[]
  readonly pods?: readonly Pod[]
  readonly namespaces?: Readonly<Record<string, Labels>>
  readonly blocked?: readonly Cell[]
  readonly allowed?: readonly Cell[]
}
type Case = { readonly index: number; readonly description: string; readonly steps: readonly Step[] }
type Cases = {
  readonly topology: {
    readonly namespaces: Readonly<Record<string, Labels>>
    readonly pods: readonly Pod[]
    readonly portNames: Readonly<Record<string, string>>
    readonly ports: readonly number[]
    readonly protocols: readonly string[]
  }
  readonly cases: readonly Case[]
}

const { topology, cases } = JSON.parse(
  fs.readFileSync(new URL('../data/networkpolicy-cases.json', import.meta.url), 'utf8'),
) as Cases

const PORTS = topology.ports.flatMap(port => ['TCP', 'UDP'].map(protocol => `${port}/${protocol}`)).join(',')
const REDIRECTED = 7
const HOST_MAC = '02:61:78:6f:6e:65'

test('every conformance case, by packets', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'conformance')
  await applyPods(cluster, topology.pods, topology.namespaces)
  for (const { index, description, steps } of cases)
    await t.test(`${index}: ${description}`, async () => {
      for (const [number, step] of steps.entries()) {
        const pods = step.pods ?? topology.pods
        await applyPods(cluster, pods, step.namespaces ?? topology.namespaces)
        await cluster.enforce('policies', ...step.policies)
        const measured = [...(await cluster.probe(PORTS)), ...(await probeSctp(cluster))].map(
          ({ from, to, port, protocol, verdict }) => `${from} ${to} ${port} ${protocol} ${verdict}`,
        )
        assert.deepEqual(measured.sort(), expectedCells(step, pods), `step ${number}`)
      }
    })
})

let applied = ''

/** Pods as they are to be, running. Nothing is written when they are so already. */
async function applyPods(cluster: TestCluster, pods: readonly Pod[], namespaces: Readonly<Record<string, Labels>>) {
  const wanted = JSON.stringify([pods, namespaces])
  if (applied === wanted) return
  await cluster.enforce(
    'topology',
    ...Object.entries(namespaces).map(([name, labels]) => namespaceManifest(name, labels)),
    ...pods.map(manifestOf),
  )
  const keys = new Set(pods.map(pod => `${pod.ns}/${pod.name}`))
  await cluster.client.waitForPods(
    running =>
      running.length === keys.size && running.every(pod => keys.has(`${pod.namespace}/${pod.name}`) && pod.ready),
    { timeoutMs: 30_000 },
  )
  await cluster.agent.settled()
  applied = wanted
}

function manifestOf({ ns, name, labels, ip }: Pod) {
  const ports = topology.ports.flatMap(port =>
    topology.protocols.map(protocol => ({
      containerPort: port,
      protocol,
      name: topology.portNames[`${port}/${protocol}`],
    })),
  )
  return podAt(`${ns}/${name}`, [ip], { labels, ports })
}

function expectedCells(step: Step, pods: readonly Pod[]): string[] {
  const listed = new Set((step.blocked ?? step.allowed ?? []).map(cell => cell.join(' ')))
  const [verdict, other] = step.blocked ? ['denied', 'allowed'] : ['allowed', 'denied']
  const names = pods.map(pod => `${pod.ns}/${pod.name}`)
  return names
    .flatMap(from =>
      names
        .filter(to => to !== from)
        .flatMap(to =>
          topology.ports.flatMap(port =>
            topology.protocols.map(protocol => {
              const cell = `${from} ${to} ${port} ${protocol}`
              return `${cell} ${listed.has(cell) ? verdict : other}`
            }),
          ),
        ),
    )
    .sort()
}

type Endpoint = { readonly pod: string; readonly address: string; readonly mac: string; readonly ifindex: number }

async function probeSctp(cluster: TestCluster) {
  const endpoints = await endpointsOf(cluster)
  const { pid } = await cluster.agent.status()
  const id = (await cluster.agent.programs()).find(({ name }) => name === 'from_pod')?.id ?? 0
  using program = Program.byId(id)
  using node = Namespace.ofProcess(pid)
  return withNamespace(node, () =>
    endpoints.flatMap(from =>
      endpoints
        .filter(to => to !== from)
        .flatMap(to =>
          topology.ports.map(port => {
            const packet = initPacket(from, to, port)
            const { returnValue } = program.testRun({ packet, context: { ifindex: from.ifindex } })
            const verdict = returnValue === REDIRECTED ? 'allowed' : 'denied'
            return { from: from.pod, to: to.pod, port, protocol: 'SCTP', verdict }
          }),
        ),
    ),
  )
}

let sourcePort = 10_000

/** Each from a port of its own, so that none is taken for a part of an earlier association. */
function initPacket(from: Endpoint, to: Endpoint, port: number): Uint8Array {
  sourcePort = sourcePort >= 60_000 ? 10_000 : sourcePort + 1
  return frame(
    ethernet({ source: from.mac, destination: HOST_MAC }),
    ipv4({ source: from.address, destination: to.address }),
    sctp({ sourcePort, destinationPort: port, chunks: [sctpInit()] }),
  )
}

async function endpointsOf({ agent }: TestCluster): Promise<Endpoint[]> {
  const names = new Map((await agent.table('endpoints')).rows.map(row => [row[0], row[1] ?? '']))
  const { rows } = await agent.table('endpoint-entries')
  return rows
    .filter(([address]) => address?.includes('.'))
    .map(([address = '', id, , , ifindex, mac = '']) => ({
      pod: names.get(id) ?? '',
      address,
      mac,
      ifindex: Number(ifindex),
    }))
}
