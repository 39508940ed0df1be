// What every packet of a service costs: requests on an open connection against the same to the backend itself, UDP by
// packet. Among a hundred services.

import { interleave } from '../harness/interleave.ts'
import { comparedLine, type Line, type Section } from '../harness/result.ts'
import { clusterAddress } from '../testbed/kube-proxy/services.ts'
import { PORTS } from '../testbed/load.ts'
import { type Destination, runServiceLoad, type ServiceClient } from '../testbed/service-load.ts'
import type { ServiceNode } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'
import { type Ask, againstProxies } from './service-asks.ts'
import type { ServiceNodes } from './service-nodes.ts'

/** So many are there meanwhile. */
export const PACKET_SERVICES = 100

const inside = ({ client }: ServiceNode): ServiceClient => client
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

export async function measureServicePackets(nodes: ServiceNodes, context: Context): Promise<Section> {
  const lines = [await againstDirect(nodes, context)]
  for (const ask of PROXIED) {
    context.say(ask.text)
    lines.push(...(await againstProxies(nodes, context, ask)))
  }
  return { name: 'service-packets', title: `Packets of a service, among ${PACKET_SERVICES} services`, lines }
}

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
