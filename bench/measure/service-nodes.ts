// The contestants of the measurements of services, and what they are loaded with.

import { setTimeout as sleep } from 'node:timers/promises'
import { type OwnNode, startOwnNode, startProxyNode } from '../testbed/service-node.ts'
import type { Context } from './measurement.ts'

export type ServiceNodes = {
  readonly ours: OwnNode
  /** Ours as well, with never more than the services that are asked: what the others cost is the difference. And with XDP. */
  readonly one: OwnNode
  readonly iptables: Awaited<ReturnType<typeof startProxyNode>>
  readonly nftables: Awaited<ReturnType<typeof startProxyNode>>
}

export async function startServiceNodes(owned: AsyncDisposableStack, context: Context): Promise<ServiceNodes> {
  const nodes = {
    ours: await startOwnNode(owned, 'bench', context),
    one: await startOwnNode(owned, 'bench-one', context, ['--xdp', 'generic']),
    iptables: await startProxyNode(owned, 'iptables'),
    nftables: await startProxyNode(owned, 'nftables'),
  }
  await nodes.one.program(1)
  return nodes
}

/** What was there before is still being cleared away afterwards: rules by the kernel, rows by an agent. */
const REST_MS = 3000

/** Milliseconds that each took. */
export type Programmed = Readonly<Record<'ours' | 'iptables' | 'nftables', number>>

export async function programAll(nodes: ServiceNodes, count: number, { signal, say }: Context): Promise<Programmed> {
  say(`programming ${count.toLocaleString('en-US')} services`)
  const took = { ours: 0, iptables: 0, nftables: 0 }
  for (const name of ['ours', 'iptables', 'nftables'] as const) {
    signal.throwIfAborted()
    const before = performance.now()
    await nodes[name].program(count)
    took[name] = performance.now() - before
  }
  await sleep(REST_MS, undefined, { signal })
  return took
}
