// A node on which calls of APIs are judged: pairs of pods, one whose connections go straight and one whose requests the
// proxy judges, with the same servers behind both.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Namespace, writeSysctl } from '../../src/net/index.ts'
import { type HttpRoute, startHttpServers } from './http-load.ts'
import { type HttpRule, httpPolicy, RULED_PODS } from './l7-objects.ts'
import { widenPorts } from './load.ts'
import { Testbed, type TestbedOptions } from './testbed.ts'

const DIRECT = { client: 1, server: 2 } as const
const PODS = 7
const POLICY = 'http-rules'
const ASKED = '/api/v1/orders/499'

export type Routes = Readonly<Record<'direct' | 'ruled', HttpRoute>>

export type L7Node = {
  readonly testbed: Testbed
  readonly routes: Routes
  readonly servers: Readonly<Record<'direct' | 'ruled', { readonly namespace: Namespace; readonly address: string }>>
  /** Of another client of the server whose requests are judged. */
  readonly other: Namespace
  readonly node: Namespace
  /** For files of the benchmark. */
  readonly folder: string
  /** Puts these rules in force for the ruled pair, by a file with one policy. */
  readonly rule: (rules: readonly HttpRule[]) => Promise<void>
  /** The same without waiting. @returns what puts it there */
  readonly prepare: (rules: readonly HttpRule[]) => () => void
}

export async function startL7Node(
  owned: AsyncDisposableStack,
  { signal, say, proxyArguments = [] }: Pick<TestbedOptions, 'signal' | 'say' | 'proxyArguments'>,
): Promise<L7Node> {
  const testbed = owned.use(await Testbed.start({ signal, say, proxyArguments, pods: PODS, flowEvents: true }))
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-bench-'))
  owned.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
  const pair = async ({ client, server }: { readonly client: number; readonly server: number }) => {
    const [from, to] = [await testbed.pod(client), await testbed.pod(server)]
    widenPorts(from.namespace)
    forgetClosed(to.namespace)
    await startHttpServers(owned, to.namespace, folder, signal)
    return {
      route: { namespace: from.namespace, server: to.addresses[4], path: ASKED },
      server: { namespace: to.namespace, address: to.addresses[4] },
    }
  }
  const [direct, ruled] = [await pair(DIRECT), await pair(RULED_PODS)]
  const node = owned.use(await testbed.nodeNamespace())
  // The proxy's connections to servers are the node's.
  widenPorts(node)
  forgetClosed(node)
  return {
    testbed,
    routes: { direct: direct.route, ruled: ruled.route },
    servers: { direct: direct.server, ruled: ruled.server },
    other: (await testbed.pod(RULED_PODS.other)).namespace,
    node,
    folder,
    rule: async rules => {
      testbed.apply(POLICY, httpPolicy(rules))
      await testbed.untilSettled(signal)
    },
    prepare: rules => testbed.prepare(POLICY, httpPolicy(rules)),
  }
}

/** What is left of closed connections would refuse a port that comes again. */
const forgetClosed = (namespace: Namespace): void => writeSysctl(namespace, 'net/ipv4/tcp_max_tw_buckets', '0')
