// What every packet of a service costs: requests on an open connection against the same to the backend itself, UDP by
// packet, and node ports from outside. Among a hundred services.

import { interleave } from '../harness/interleave.ts'
import { type Bound, comparedLine, type Line, type Section } from '../harness/result.ts'
import { clusterAddress } from '../testbed/kube-proxy/services.ts'
import { PORTS } from '../testbed/load.ts'
import {
  askLetters,
  type Destination,
  runServiceLoad,
  type ServiceClient,
  type ServiceMode,
} from '../testbed/service-load.ts'
import type { ServiceNode } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'
import type { ServiceNodes } from './service-nodes.ts'

/** So many are there meanwhile. */
export const PACKET_SERVICES = 100

type Ask = {
  readonly id: string
  readonly text: string
  readonly mode: ServiceMode
  readonly client: (node: ServiceNode) => ServiceClient
  readonly to: (node: ServiceNode) => Destination
}

const inside = ({ client }: ServiceNode): ServiceClient => client
const outside = ({ outside: client }: ServiceNode): ServiceClient => client
const nodePort =
  (name: 'web' | 'names') =>
  (node: ServiceNode): Destination => ({
    address: node.nodeAddress,
    port: node.services[name].nodePort,
  })
const echo = ({ services }: ServiceNode): Destination => clusterAddress(services.echo)
const names = ({ services }: ServiceNode): Destination => clusterAddress(services.names)

const OPEN: Ask = {
  id: 'rr',
  text: 'request and response on an open connection, p50',
  mode: 'rr',
  client: inside,
  to: echo,
}
const PROXIED: readonly Ask[] = [
  OPEN,
  { id: 'udp', text: 'UDP, request and response on one socket, p50', mode: 'udp', client: inside, to: names },
  { id: 'udp-new', text: 'UDP, a socket for each request', mode: 'udp-new', client: inside, to: names },
]
const NODE_PORT: readonly Ask[] = [
  {
    id: 'node-port/crr',
    text: 'node port from outside, new connections',
    mode: 'crr',
    client: outside,
    to: nodePort('web'),
  },
  {
    id: 'node-port/connect',
    text: 'node port from outside, connect(), p50',
    mode: 'connect',
    client: outside,
    to: nodePort('web'),
  },
  {
    id: 'node-port/udp',
    text: 'node port from outside, UDP, p50',
    mode: 'udp',
    client: outside,
    to: nodePort('names'),
  },
  {
    id: 'node-port/udp-new',
    text: 'node port from outside, UDP, a socket for each request',
    mode: 'udp-new',
    client: outside,
    to: nodePort('names'),
  },
]

export async function measureServicePackets(nodes: ServiceNodes, context: Context): Promise<Section> {
  const lines = [await againstDirect(nodes, context)]
  const asks = (await nodePortsAnswer(nodes, context)) ? [...PROXIED, ...NODE_PORT] : PROXIED
  for (const ask of asks) {
    context.say(ask.text)
    lines.push(...(await againstProxies(nodes, context, ask)))
  }
  return { name: 'service-packets', title: `Packets of a service, among ${PACKET_SERVICES} services`, lines }
}

const isRate = (mode: ServiceMode): boolean => mode === 'crr' || mode === 'udp-new'

/** Through the socket hook, and without any service in between: the same backend, the same port. */
async function againstDirect({ ours }: ServiceNodes, context: Context): Promise<Line> {
  const { effort, signal } = context
  const [backend] = ours.backends
  if (!backend) throw new RangeError('there is no backend')
  context.say('packets through the socket hook')
  const to = { service: echo(ours), direct: { address: backend.addresses[4], port: PORTS.rr } }
  const samples = await interleave(
    (['service', 'direct'] as const).map(name => ({
      name,
      sample: async () =>
        (await runServiceLoad({ mode: 'rr', client: ours.client, to: to[name], seconds: effort.loadSeconds, signal }))
          .p50,
    })),
    { count: 2 * effort.serviceRounds, signal },
  )
  const described = {
    id: 'services/rr/direct',
    text: OPEN.text,
    unit: 'µs',
    target: { kind: 'at most', value: 1.02 },
  } as const
  return comparedLine(described, 'without a service', { measured: samples.service, yardstick: samples.direct })
}

async function againstProxies(nodes: ServiceNodes, { effort, signal }: Context, ask: Ask): Promise<Line[]> {
  const { id, text, mode, client, to } = ask
  const samples = await interleave(
    (['ours', 'iptables', 'nftables'] as const).map(name => ({
      name,
      sample: async () => {
        const node = nodes[name]
        const { perSecond, p50 } = await runServiceLoad({
          mode,
          client: client(node),
          to: to(node),
          seconds: effort.loadSeconds,
          signal,
        })
        return isRate(mode) ? perSecond : p50
      },
    })),
    { count: effort.serviceRounds, signal },
  )
  const target: Bound = { kind: isRate(mode) ? 'at least' : 'at most', value: 1 }
  return (['iptables', 'nftables'] as const).map(proxy =>
    comparedLine({ id: `services/${id}/${proxy}`, text, unit: isRate(mode) ? '/s' : 'µs', target }, proxy, {
      measured: samples.ours,
      yardstick: samples[proxy],
    }),
  )
}

async function nodePortsAnswer({ ours }: ServiceNodes, { say }: Context): Promise<boolean> {
  try {
    await askLetters(ours.outside, nodePort('web')(ours), 'tcp', 1)
    await askLetters(ours.outside, nodePort('names')(ours), 'udp', 1)
    return true
  } catch {
    say('node ports are left out: ours does not answer at one')
    return false
  }
}
