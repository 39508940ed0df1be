// Contestants that serve services: a node of ours, which is a sandbox with the real agent, and nodes with the rules of
// kube-proxy. Each has a client, four backends and a machine outside, and the same services.

import fs from 'node:fs'
import { createNamespace, type Namespace, whenLocal } from '../../src/net/index.ts'
import { cgroupRoot } from '../../src/sandbox/cgroup.ts'
import { ELSEWHERE_ADDRESS, NODE_ADDRESS, OUTSIDE_ADDRESS, plugIntoBridge, UPLINK } from './bare-node.ts'
import { type ProxyMode, ProxyNode } from './kube-proxy/node.ts'
import { amongOthers, askedServices } from './kube-proxy/services.ts'
import { LoadServer, PORTS, widenPorts } from './load.ts'
import { BACKEND_PORT, computeChecksums, type ServiceClient, startBackend } from './service-load.ts'
import { ServiceFolder } from './service-objects.ts'
import { Testbed, type TestbedOptions, type TestPod } from './testbed.ts'

export const LETTERS = ['a', 'b', 'c', 'd'] as const
const FAR_LETTER = 'e'
const CLIENT = 1
const FIRST_BACKEND = 2
/** On the sandbox's switch, far from those of its nodes. */
const OUTSIDE_PORT = 190

/** For tens of thousands of services on a busy machine. */
const PATIENCE_MS = 300_000

/** Who is asked, and from where. */
export type ServiceNode = {
  readonly client: ServiceClient
  readonly outside: ServiceClient
  readonly nodeAddress: string
  readonly services: ReturnType<typeof askedServices>
  /** Makes it so many services in all. */
  readonly program: (count: number) => Promise<void>
}

type End = { readonly namespace: Namespace; readonly addresses: Record<4 | 6, string> }

/** Starts what all backends serve. */
async function serve(owned: AsyncDisposableStack, backends: readonly End[], elsewhere: Namespace) {
  for (const [i, { namespace }] of backends.entries()) {
    owned.use(await startBackend(namespace, LETTERS[i] ?? '?'))
    owned.use(await LoadServer.start(namespace))
  }
  owned.use(await startBackend(elsewhere, FAR_LETTER))
  const endpoints = backends.map(({ addresses }) => ({ address: addresses[4], port: BACKEND_PORT }))
  return askedServices({
    endpoints,
    echo: { address: endpoints[0]?.address ?? '', port: PORTS.rr },
    elsewhere: { address: ELSEWHERE_ADDRESS, port: BACKEND_PORT },
  })
}

export async function startProxyNode(
  owned: AsyncDisposableStack,
  mode: ProxyMode,
): Promise<ServiceNode & { readonly proxy: ProxyNode }> {
  const proxy = owned.use(await ProxyNode.create(mode, LETTERS.length))
  const services = await serve(owned, proxy.bare.backends, proxy.bare.elsewhere)
  const { client, outside } = proxy.bare
  for (const namespace of [client.namespace, outside]) widenPorts(namespace)
  for (const namespace of [outside, proxy.bare.elsewhere]) await computeChecksums(namespace, UPLINK)
  return {
    proxy,
    client: { namespace: client.namespace },
    outside: { namespace: outside },
    nodeAddress: NODE_ADDRESS,
    services,
    program: count => proxy.program(amongOthers(count, Object.values(services))),
  }
}

export type OwnNode = ServiceNode & {
  readonly testbed: Testbed
  readonly folder: ServiceFolder
  /** Waits until what was programmed is in force, and so many more services. */
  readonly settled: (more: number) => Promise<void>
  readonly backends: readonly TestPod[]
}

/** @param name of its sandbox */
export async function startOwnNode(
  owned: AsyncDisposableStack,
  name: string,
  context: Pick<TestbedOptions, 'signal' | 'say'>,
  agentArguments: readonly string[] = [],
): Promise<OwnNode> {
  const folder = owned.use(new ServiceFolder())
  const testbed = owned.use(
    await Testbed.start({
      ...context,
      name,
      pods: 1 + LETTERS.length,
      flowEvents: true,
      agentArguments: ['--objects', folder.path, ...agentArguments],
    }),
  )
  const client = await testbed.pod(CLIENT)
  const backends = await Promise.all(LETTERS.map((_, i) => testbed.pod(FIRST_BACKEND + i)))
  const outside = await plugIntoSandbox(owned, testbed, OUTSIDE_PORT, OUTSIDE_ADDRESS)
  const elsewhere = await plugIntoSandbox(owned, testbed, OUTSIDE_PORT + 1, ELSEWHERE_ADDRESS)
  const services = await serve(owned, backends, elsewhere)
  for (const namespace of [client.namespace, outside]) widenPorts(namespace)
  let programmed = 0
  const settled = async (more: number): Promise<void> => {
    const wanted = programmed + more
    const isKnown = async () => {
      const { services: counts } = await testbed.agent.status()
      const inKernel = counts.maps.find(({ name: map }) => map === 'frontends')?.entries ?? 0
      return counts.services === wanted && inKernel >= wanted
    }
    await testbed.until(`${wanted} services are in force`, isKnown, context.signal, PATIENCE_MS)
    await testbed.untilSettled(context.signal, PATIENCE_MS)
  }
  return {
    testbed,
    folder,
    backends,
    client: { namespace: client.namespace, cgroup: cgroupOf(client.pid) },
    outside: { namespace: outside },
    nodeAddress: NODE_ADDRESS,
    services,
    program: async count => {
      const all = amongOthers(count, Object.values(services))
      folder.write(all)
      programmed = all.length
      await settled(0)
    },
    settled,
  }
}

/** A machine on the network of the nodes. */
export async function plugIntoSandbox(
  owned: AsyncDisposableStack,
  testbed: Testbed,
  port: number,
  address: string,
): Promise<Namespace> {
  const machine = owned.use(createNamespace())
  using underlay = await testbed.underlay()
  plugIntoBridge(underlay, machine, port, address)
  await whenLocal(machine, address)
  await computeChecksums(machine, UPLINK)
  return machine
}

/** The control group of a pod, whose sockets the agent's programs act on. */
function cgroupOf(pid: number): string {
  const line = fs
    .readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .find(each => each.startsWith('0::'))
  if (line === undefined) throw new Error(`process ${pid} is in no control group of version 2`)
  return `${cgroupRoot()}${line.slice('0::'.length)}`
}
