// One kind of load on every contestant, in turns, and what comes of it against each set of rules of kube-proxy.

import { interleave } from '../harness/interleave.ts'
import { type Bound, comparedLine, type Line } from '../harness/result.ts'
import type { ProxyMode } from '../testbed/kube-proxy/node.ts'
import { type Destination, runServiceLoad, type ServiceClient, type ServiceMode } from '../testbed/service-load.ts'
import type { ServiceNode } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'
import type { ServiceNodes } from './service-nodes.ts'

export type Ask = {
  readonly id: string
  readonly text: string
  readonly mode: ServiceMode
  readonly client: (node: ServiceNode) => ServiceClient
  readonly to: (node: ServiceNode) => Destination
}

/** Which of our nodes is measured, and what is said of it. */
export type Own = { readonly node: 'ours' | 'one'; readonly suffix: string }
const PLAIN: Own = { node: 'ours', suffix: '' }
const PROXIES: readonly ProxyMode[] = ['iptables', 'nftables']

/** A rate is better where it is higher, a latency where it is lower. */
export async function againstProxies(
  nodes: ServiceNodes,
  { effort, signal }: Context,
  ask: Ask,
  owns: readonly Own[] = [PLAIN],
): Promise<Line[]> {
  const { id, text, mode, client, to } = ask
  const isRate = mode === 'crr' || mode === 'udp-new'
  const contestants = [...owns.map(({ node }) => node), ...PROXIES]
  const samples = await interleave(
    contestants.map(name => ({
      name,
      sample: async () => {
        const load = { mode, client: client(nodes[name]), to: to(nodes[name]), seconds: effort.loadSeconds, signal }
        const { perSecond, p50 } = await runServiceLoad(load)
        return isRate ? perSecond : p50
      },
    })),
    { count: effort.serviceRounds, signal },
  )
  const unit = isRate ? '/s' : 'µs'
  const target: Bound = { kind: isRate ? 'at least' : 'at most', value: 1 }
  return owns.flatMap(({ node, suffix }) =>
    PROXIES.map(proxy =>
      comparedLine(
        { id: `services/${id}${suffix && '/xdp'}/${proxy}`, text: `${text}${suffix}`, unit, target },
        proxy,
        {
          measured: samples[node],
          yardstick: samples[proxy],
        },
      ),
    ),
  )
}
