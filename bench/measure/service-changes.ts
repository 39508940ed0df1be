// Changes among many services: an endpoint exchanged until new connections go to the other one, and a service added
// until it is in force. Ours from the moment at which the manifest is in its place, through the agent; rules of kube-proxy
// from the start of the command that it runs. And what so many services take: time to program them, memory.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Line, plainLine } from '../harness/result.ts'
import { median, quantile } from '../harness/statistics.ts'
import type { AgentMaps } from '../testbed/agent-maps.ts'
import { Follower } from '../testbed/follower.ts'
import { clusterAddress, type Endpoint, type ProxiedService } from '../testbed/kube-proxy/services.ts'
import { LETTERS } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'
import type { ServiceNodes } from './service-nodes.ts'

const PROXIES = ['iptables', 'nftables'] as const
/** Their changes take seconds among many services. */
const PROXY_CHANGES = 3
const PAUSE_MS = { least: 20, spread: 40 } as const
const POLL_MS = 0.2
const PATIENCE_MS = 30_000

/** A service whose one endpoint changes. */
const moving = (endpoint: Endpoint): ProxiedService => ({
  namespace: 'bench',
  name: 'moving',
  portName: 'http',
  protocol: 'tcp',
  clusterIp: '10.96.2.1',
  port: 80,
  endpoints: [endpoint],
})

const fresh = (index: number, endpoints: readonly Endpoint[]): ProxiedService => ({
  ...moving(endpoints[0] as Endpoint),
  name: `fresh-${index}`,
  clusterIp: `10.96.${3 + (index >> 8)}.${index & 255}`,
  endpoints,
})

const among = (count: number): string => `among ${count.toLocaleString('en-US')} services`

/** New connections follow an endpoint that is exchanged. */
export async function measureEndpointChanges(nodes: ServiceNodes, count: number, context: Context): Promise<Line[]> {
  context.say(`an endpoint exchanged ${among(count)}`)
  const text = `an endpoint exchanged → new connections follow, ${among(count)}`
  const samples = await ownMoves(nodes, context)
  const line = (id: string, name: string, part: number, taken: readonly number[], limit?: number): Line =>
    plainLine(
      {
        id: `services/move/${id}`,
        text: `${text}: ${name}`,
        unit: 'ms',
        samples: { taken },
        ...(limit !== undefined && { target: { kind: 'at most', value: limit } }),
      },
      quantile(taken, part),
    )
  const lines = [line('ours/p50', 'p50', 0.5, samples, 20), line('ours/p99', 'p99', 0.99, samples)]
  for (const mode of PROXIES) lines.push(line(mode, `${mode}, p50`, 0.5, await proxyMoves(nodes, mode, context)))
  return lines
}

async function ownMoves({ ours }: ServiceNodes, { effort, signal }: Context): Promise<number[]> {
  const [a, b] = ours.services.web.endpoints
  if (!a || !b) throw new RangeError('two backends are needed')
  ours.folder.prepare('moving', [moving(a)])()
  await ours.settled(1)
  using follower = new Follower(ours.client, clusterAddress(moving(a)), signal)
  await follower.next()
  const taken: number[] = []
  for (let i = 0; i < effort.serviceChanges; i++) {
    await sleep(PAUSE_MS.least + PAUSE_MS.spread * Math.random(), undefined, { signal })
    const replace = ours.folder.prepare('moving', [moving(i % 2 === 0 ? b : a)])
    const before = process.hrtime.bigint()
    replace()
    taken.push(await followed(follower, i, before))
  }
  ours.folder.remove('moving')
  await ours.settled(0)
  return taken
}

async function proxyMoves(
  nodes: ServiceNodes,
  mode: (typeof PROXIES)[number],
  { effort, signal }: Context,
): Promise<number[]> {
  const { proxy, client, services } = nodes[mode]
  const [a, b] = services.web.endpoints
  if (!a || !b) throw new RangeError('two backends are needed')
  let now = moving(a)
  await proxy.change(undefined, now)
  using follower = new Follower(client, clusterAddress(now), signal)
  await follower.next()
  const taken: number[] = []
  for (let i = 0; i < Math.min(PROXY_CHANGES, effort.serviceChanges); i++) {
    const next = moving(i % 2 === 0 ? b : a)
    const before = process.hrtime.bigint()
    await proxy.change(now, next, now.endpoints)
    taken.push(await followed(follower, i, before))
    now = next
  }
  return taken
}

async function followed(follower: Follower, change: number, before: bigint): Promise<number> {
  const { letter, askedNs } = await follower.next()
  if (letter !== LETTERS[(change + 1) % 2] || askedNs < before) throw new Error('a backend changed without a change')
  return Number(askedNs - before) / 1e6
}

/** A service with four endpoints comes; ours is in force when its frontend is in the kernel's map. */
export async function measureAddedServices(
  nodes: ServiceNodes,
  maps: AgentMaps,
  count: number,
  { effort, signal, say }: Context,
): Promise<Line[]> {
  say(`services added ${among(count)}`)
  const { ours } = nodes
  const own: number[] = []
  for (let i = 0; i < effort.serviceChanges; i++) {
    await sleep(PAUSE_MS.least + PAUSE_MS.spread * Math.random(), undefined, { signal })
    const service = fresh(i, ours.services.web.endpoints)
    const place = ours.folder.prepare(service.name, [service])
    const before = performance.now()
    place()
    while (!maps.hasFrontend(clusterAddress(service), 'tcp')) {
      if (performance.now() - before > PATIENCE_MS) throw new Error(`service ${service.name} did not come into force`)
      pause(POLL_MS)
    }
    own.push(performance.now() - before)
  }
  for (let i = 0; i < effort.serviceChanges; i++) ours.folder.remove(`fresh-${i}`)
  await ours.settled(0)
  const text = `a service added → in force, ${among(count)}`
  const line = (id: string, name: string, taken: readonly number[]): Line =>
    plainLine(
      {
        id: `services/add/${id}`,
        text: `${text}: ${name}`,
        unit: 'ms',
        samples: { taken },
      },
      median(taken),
    )
  const lines = [line('ours', 'from the manifest, p50', own)]
  for (const mode of PROXIES) {
    const { proxy, services } = nodes[mode]
    const taken: number[] = []
    for (let i = 0; i < Math.min(PROXY_CHANGES, effort.serviceChanges); i++)
      taken.push(await proxy.change(undefined, fresh(i, services.web.endpoints)))
    lines.push(line(mode, `${mode}, p50`, taken))
  }
  return lines
}

/** Without giving the processor to timers of a millisecond. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
