// A policy that names services, with real connections to the services' own addresses:
// judged by who answers, TCP in the socket and by the packet, while that changes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podManifest, runInPod } from '../sandbox/support.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const CLIENTS = ['shop/client', 'shop/by-packet'] as const
const ADDRESS = { db: '10.96.44.1', other: '10.96.44.2', far: '10.96.44.3' }

const service = (name: keyof typeof ADDRESS, spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'shop', name },
  spec: { clusterIP: ADDRESS[name], ports: [{ port: 80, targetPort: 8080 }], ...spec },
})

/** The service of somebody else's server, written down by hand. */
const far = (address: string) => [
  service('far', {}),
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'shop', name: 'far-1', labels: { 'kubernetes.io/service-name': 'far' } },
    addressType: 'IPv4',
    ports: [{ port: 8080 }],
    endpoints: [{ addresses: [address] }],
  },
]

const policyOf = (...toServices: readonly object[]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name: 'to-services' },
  spec: {
    endpointSelector: { matchLabels: { role: 'client' } },
    egress: [{ toServices, toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] }],
  },
})

const named = (serviceName: string) => ({ k8sService: { serviceName, namespace: 'shop' } })

/** Services of which a client gets an answer. */
async function reached(cluster: TestCluster, client: string): Promise<string[]> {
  const tries = Object.entries(ADDRESS).map(async ([name, address]) => {
    const { code } = await runInPod(cluster, client, ['agnhost', 'connect', `${address}:80`, '--timeout', '400ms'])
    return code === 0 ? [name] : []
  })
  return (await Promise.all(tries)).flat()
}

test('policies that name services', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-to-services')
  const [, byPacket] = CLIENTS.map(key => podManifest(key, { labels: { role: 'client' } }))
  assert.ok(byPacket)
  const annotations = { 'service.axoneme.io/translation': 'packet' }
  await cluster.enforce(
    'pods',
    podManifest('shop/client', { labels: { role: 'client' } }),
    { ...byPacket, metadata: { ...byPacket.metadata, annotations } },
    podManifest('shop/db', { labels: { app: 'db' }, ports: [{ containerPort: 8080 }] }),
    podManifest('shop/other', { labels: { app: 'other' }, ports: [{ containerPort: 8080 }] }),
  )
  await cluster.enforce(
    'services',
    service('db', { selector: { app: 'db' } }),
    service('other', { selector: { app: 'other' } }),
  )
  await cluster.untilReady(...CLIENTS, 'shop/db', 'shop/other')
  const [address = ''] = (await cluster.pod('shop/other'))?.addresses ?? []
  await cluster.enforce('far', ...far(address))
  const reach = async (...names: readonly string[]): Promise<void> => {
    for (const client of CLIENTS)
      await until(`${client} to reach ${names.join(' and ') || 'nobody'}`, async () => {
        return (await reached(cluster, client)).join() === names.join()
      })
  }

  await t.test('without a policy all are reached', () => reach('db', 'other', 'far'))

  await t.test('one by name: its pods, at the port that they listen on', async () => {
    await cluster.enforce('policy', policyOf(named('db')))
    await reach('db')
  })

  await t.test('its pods are meant, whichever of their services is asked', async () => {
    await cluster.enforce('policy', policyOf(named('other')))
    await reach('other', 'far')
  })

  await t.test('one without a selector means no pod', async () => {
    await cluster.enforce('policy', policyOf(named('far')))
    await reach()
  })

  await t.test('what a service selects changes, and the policy with it', async () => {
    await cluster.enforce('policy', policyOf(named('db')))
    await reach('db')
    await cluster.enforce(
      'services',
      service('db', { selector: { app: 'other' } }),
      service('other', { selector: { app: 'other' } }),
    )
    await reach('db', 'other', 'far')
  })

  await t.test('it goes, and stands for nobody', async () => {
    await cluster.enforce('services', service('other', { selector: { app: 'other' } }))
    await reach()
    assert.match(
      JSON.stringify((await cluster.agent.status()).problems),
      /refers to service shop\/db, which is not there/,
    )
  })
})
