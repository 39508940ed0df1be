// Services: everything that is measured of them, on the same contestants, from the largest number of services downwards,
// so that it is programmed from nothing.

import { type Line, plainLine, type Section } from '../harness/result.ts'
import { AgentMaps } from '../testbed/agent-maps.ts'
import type { Context } from './measurement.ts'
import { measureAddedServices, measureEndpointChanges } from './service-changes.ts'
import { measureServiceConnections } from './service-connections.ts'
import { type Programmed, programAll, type ServiceNodes, startServiceNodes } from './service-nodes.ts'
import { measureServicesOutside } from './service-outside.ts'
import { measureServicePackets, PACKET_SERVICES } from './service-packets.ts'
import { measureServiceScale } from './service-scale.ts'

export async function measureServices(context: Context): Promise<Section[]> {
  await using owned = new AsyncDisposableStack()
  const nodes = await startServiceNodes(owned, context)
  const most = Math.max(...context.effort.serviceCounts)
  const sections: Section[] = []
  const connections: Line[][] = []
  for (const count of context.effort.serviceCounts.toSorted((a, b) => b - a)) {
    const took = await programAll(nodes, count, context)
    if (count === most) sections.push(await measureMost(nodes, count, took, context))
    connections.push(await measureServiceConnections(nodes, count, context))
    if (count === PACKET_SERVICES)
      sections.push(await measureServicesOutside(nodes, context), await measureServicePackets(nodes, context))
  }
  const title = 'New connections through a service, against the rules of kube-proxy'
  return [
    { name: 'service-connections', title, lines: connections.toReversed().flat() },
    ...sections.toReversed(),
    await measureServiceScale(context),
  ]
}

async function measureMost(nodes: ServiceNodes, count: number, took: Programmed, context: Context): Promise<Section> {
  const { testbed } = nodes.ours
  using maps = new AgentMaps((await testbed.agentProcess()).pid, testbed.pinFolder)
  const lines = [
    ...programming(count, took),
    ...(await memory(nodes, maps)),
    ...(await measureAddedServices(nodes, maps, count, context)),
    ...(await measureEndpointChanges(nodes, count, context)),
  ]
  const title = `${count.toLocaleString('en-US')} services with 4 endpoints each: a node, from files`
  return { name: 'service-node', title, lines }
}

function programming(count: number, took: Programmed): Line[] {
  const text = `${count.toLocaleString('en-US')} services from nothing`
  const notes = {
    ours: 'files written, read by the agent, in force; a hundred services a file',
    iptables: 'one iptables-restore',
    nftables: 'nft -f with 1,500 services at a time: one transaction with all takes five times as long',
  }
  return (Object.entries(took) as [keyof Programmed, number][]).map(([name, ms]) =>
    plainLine({ id: `services/program/${name}`, text: `${text}, ${name}`, unit: 's', note: notes[name] }, ms / 1000),
  )
}

async function memory({ ours, one }: ServiceNodes, maps: AgentMaps): Promise<Line[]> {
  const [resident, before] = await Promise.all(
    [ours, one].map(async ({ testbed }) => (await testbed.agent.status()).memoryBytes / 1e6),
  )
  const bytes = maps.memory()
  const total = bytes.reduce((sum, map) => sum + map.bytes, 0) / 1e6
  const each = bytes.map(map => `${map.name} ${(map.bytes / 1e6).toFixed(1)} MB`).join(', ')
  return [
    plainLine(
      { id: 'services/memory/maps', text: 'kernel memory of the maps of services', unit: 'MB', note: each },
      total,
    ),
    plainLine(
      {
        id: 'services/memory/agent',
        text: 'resident memory of the agent',
        unit: 'MB',
        note: `with ${Object.keys(one.services).length} services ${(before ?? 0).toFixed(0)} MB`,
      },
      resident ?? 0,
    ),
  ]
}
