// Connections that are open while policies, labels of either end, or labels of a
// namespace change: the next packet, in either direction, is judged by today's policy,
// and a connection that may go on again does go on.

import { test } from 'node:test'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog } from './flows.ts'
import { networkPolicy, type Spec } from './policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, namespaceManifest, startCluster } from './support.ts'

const FIRST_PORT = 7001
const LAST_PORT = 7004

type Labels = Readonly<Record<string, string>>

/** The world at one moment. */
type World = {
  readonly client: Labels
  readonly server: Labels
  /** Of the client's namespace. */
  readonly namespace: Labels
  readonly serverPolicy?: Spec
  readonly clientPolicy?: Spec
}

const START: World = { client: { role: 'friend' }, server: { app: 'server' }, namespace: { trust: 'yes' } }

const serverPods = { matchLabels: { app: 'server' } }
const everyPort = ['TCP', 'UDP'].map(protocol => ({ protocol, port: FIRST_PORT, endPort: LAST_PORT }))
const fromFriends: Spec = {
  podSelector: serverPods,
  ingress: [
    {
      from: [
        { namespaceSelector: { matchLabels: { trust: 'yes' } }, podSelector: { matchLabels: { role: 'friend' } } },
      ],
    },
  ],
}

type Step = { readonly name: string; readonly world: Partial<World>; readonly want: 'open' | 'cut' }

/** @param addresses of the client */
const steps = (addresses: readonly string[]): Step[] => [
  { name: 'the server is isolated', world: { serverPolicy: { podSelector: serverPods, ingress: [] } }, want: 'cut' },
  { name: 'the server lets friends in', world: { serverPolicy: fromFriends }, want: 'open' },
  { name: 'the client is no friend any more', world: { client: { role: 'stranger' } }, want: 'cut' },
  { name: 'the client is a friend again', world: { client: { role: 'friend' } }, want: 'open' },
  { name: 'the namespace of the client is not trusted any more', world: { namespace: { trust: 'no' } }, want: 'cut' },
  { name: 'the server is not what the policy is for any more', world: { server: { app: 'other' } }, want: 'open' },
  { name: 'the server is what the policy is for again', world: { server: { app: 'server' } }, want: 'cut' },
  { name: 'the namespace is trusted again', world: { namespace: { trust: 'yes' } }, want: 'open' },
  { name: 'the client may send nothing', world: { clientPolicy: { podSelector: {}, egress: [] } }, want: 'cut' },
  {
    name: 'the client may send to other ports',
    world: { clientPolicy: { podSelector: {}, egress: [{ ports: [{ port: 53, protocol: 'UDP' }] }] } },
    want: 'cut',
  },
  {
    name: 'the client may send to these ports',
    world: { clientPolicy: { podSelector: {}, egress: [{ to: [{ namespaceSelector: {} }], ports: everyPort }] } },
    want: 'open',
  },
  {
    name: 'the server lets every address but that of the client in',
    world: {
      serverPolicy: {
        podSelector: serverPods,
        ingress: [
          {
            from: addresses.map(address => ({
              ipBlock: address.includes(':')
                ? { cidr: '::/0', except: [`${address}/128`] }
                : { cidr: '0.0.0.0/0', except: [`${address}/32`] },
            })),
          },
        ],
      },
    },
    want: 'cut',
  },
  {
    name: 'the server lets the address of the client in',
    world: {
      serverPolicy: {
        podSelector: serverPods,
        ingress: [
          {
            from: addresses.map(address => ({ ipBlock: { cidr: `${address}/${address.includes(':') ? 128 : 32}` } })),
          },
        ],
      },
    },
    want: 'open',
  },
]

test('a change reaches open connections at their next packet', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-open')
  let world = START
  const enforce = async (changes: Partial<World>): Promise<void> => {
    world = { ...world, ...changes }
    await cluster.enforce(
      'world',
      namespaceManifest('left', world.namespace),
      namespaceManifest('right'),
      podManifest('left/client', { labels: world.client }),
      podManifest('right/server', { labels: world.server }),
      ...(world.serverPolicy ? [networkPolicy('right/server', world.serverPolicy)] : []),
      ...(world.clientPolicy ? [networkPolicy('left/client', world.clientPolicy)] : []),
    )
  }
  await enforce({})
  await cluster.untilReady('left/client', 'right/server')
  const [client, server] = [await cluster.pod('left/client'), await cluster.pod('right/server')]
  const hosts = {
    client: await SocketHost.inPod(t, cluster, 'left/client'),
    server: await SocketHost.inPod(t, cluster, 'right/server'),
  }
  const flows = await FlowLog.follow(t, cluster)
  const kinds = (server?.addresses ?? []).flatMap(address => (['TCP', 'UDP'] as const).map(kind => ({ kind, address })))
  const conversations = await Promise.all(
    kinds.map(({ kind, address }, i) => Conversation.open(hosts, flows, kind, address, FIRST_PORT + i)),
  )

  for (const { name, world: changes, want } of steps(client?.addresses ?? []))
    await t.test(`${name}: ${want}`, async () => {
      await enforce(changes)
      await Promise.all(
        conversations.map(async conversation => {
          if (want === 'open') {
            await conversation.arrives('client')
            await conversation.arrives('server')
          } else {
            await conversation.isCut('server')
            await conversation.isCut('client')
          }
        }),
      )
    })
})
