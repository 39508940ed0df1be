// Services for clients outside of the cluster, by node ports: with backends on the node, and on another machine, where the
// node hides the client's address; there also with XDP. Among a hundred services.

import type { Line, Section } from '../harness/result.ts'
import { askLetters, type Destination, type ServiceClient } from '../testbed/service-load.ts'
import type { ServiceNode } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'
import { type Ask, againstProxies, type Own } from './service-asks.ts'
import type { ServiceNodes } from './service-nodes.ts'

const outside = ({ outside: client }: ServiceNode): ServiceClient => client
type Name = 'web' | 'names' | 'farWeb' | 'farNames'
const nodePort =
  (name: Name) =>
  ({ nodeAddress, services }: ServiceNode): Destination => ({ address: nodeAddress, port: services[name].nodePort })

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

/** Backends on another machine: the node hides the client's address, and XDP may take the packets. */
const FAR: readonly Ask[] = [
  {
    id: 'far/crr',
    text: 'node port, backend elsewhere, new connections',
    mode: 'crr',
    client: outside,
    to: nodePort('farWeb'),
  },
  {
    id: 'far/connect',
    text: 'node port, backend elsewhere, connect(), p50',
    mode: 'connect',
    client: outside,
    to: nodePort('farWeb'),
  },
  {
    id: 'far/udp',
    text: 'node port, backend elsewhere, UDP, p50',
    mode: 'udp',
    client: outside,
    to: nodePort('farNames'),
  },
]

const WITH_XDP: readonly Own[] = [
  { node: 'ours', suffix: '' },
  { node: 'one', suffix: ', XDP' },
]

/** Parts that nobody answers are left out, and said to be: the rest is measured all the same. */
export async function measureServicesOutside(nodes: ServiceNodes, context: Context): Promise<Section> {
  const lines: Line[] = []
  if (await answers(nodes.ours, ['web', 'names'], context))
    for (const ask of NODE_PORT) lines.push(...(await measure(nodes, context, ask)))
  if (await answers(nodes.ours, ['farWeb', 'farNames'], context)) {
    const isXdp = await answers(nodes.one, ['farWeb', 'farNames'], context)
    for (const ask of FAR) lines.push(...(await measure(nodes, context, ask, isXdp ? WITH_XDP : undefined)))
  }
  return { name: 'service-outside', title: 'Node ports, asked from outside, among 100 services', lines }
}

async function measure(nodes: ServiceNodes, context: Context, ask: Ask, owns?: readonly Own[]): Promise<Line[]> {
  context.say(ask.text)
  return await againstProxies(nodes, context, ask, owns)
}

async function answers(node: ServiceNode, names: readonly Name[], { say }: Context): Promise<boolean> {
  try {
    for (const name of names)
      await askLetters({ ...outside(node) }, nodePort(name)(node), node.services[name].protocol, 1)
    return true
  } catch (error) {
    say(`left out, for nobody answers: ${names.join(', ')} (${(error as Error).message})`)
    return false
  }
}
