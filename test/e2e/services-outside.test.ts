// Services for clients outside of the cluster: node ports, load-balancer addresses, traffic policies, and what must not
// be reached from there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spawnOutside } from '../../src/sandbox/exec.ts'
import { finish } from '../sandbox/support.ts'
import { NODE_ADDRESSES } from './outside.ts'
import { networkPolicy } from './policies.ts'
import {
  admittedService,
  ask,
  clusterAddress,
  HTTP_PORT,
  hostPort,
  PORTS,
  serverPod,
  serviceManifest,
  untilAnswered,
  untilRefused,
} from './services.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const CLIENT = 'shop/client'
/** Of the machine outside (src/sandbox/network.ts). */
const OUTSIDE = ['172.30.0.250', 'fd00:172:30::250'] as const
const web = { labels: { app: 'web' } }
const toWeb = { selector: { app: 'web' }, ports: PORTS, ipFamilyPolicy: 'RequireDualStack' }

/** `ADDRESS:NODEPORT` of a port of a service, for each of the node's addresses. */
async function nodePorts(cluster: TestCluster, key: string, port: number): Promise<string[]> {
  const { spec } = await admittedService(cluster, key)
  const nodePort = spec.ports?.find(declared => declared.port === port)?.nodePort
  return NODE_ADDRESSES.map(address => hostPort(address, nodePort))
}

async function loadBalancers(cluster: TestCluster, key: string, port: number): Promise<string[]> {
  const { status } = await admittedService(cluster, key)
  return (status?.loadBalancer?.ingress ?? []).map(({ ip }) => hostPort(ip, port))
}

/** Addresses that servers saw of a client. */
async function seenAs(
  cluster: TestCluster,
  from: 'outside' | `${string}/${string}`,
  target: string,
): Promise<string[]> {
  const { answers } = await ask(cluster, from, target, { path: '/clientip', requests: 5 })
  return [...new Set(Object.keys(answers).map(answer => answer.replace(/:\d+$/, '')))]
}

test('services for clients outside', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-outside-services')
  await cluster.enforce(
    'web',
    serverPod('shop/a', web),
    serverPod('shop/b', web),
    serverPod(CLIENT),
    serviceManifest('shop/web', { ...toWeb, type: 'NodePort' }),
    serviceManifest('shop/local', { ...toWeb, type: 'LoadBalancer', externalTrafficPolicy: 'Local' }),
  )
  await cluster.untilReady('shop/a', 'shop/b', CLIENT)

  for (const from of ['outside', 'node', CLIENT] as const)
    await t.test(`a node port leads ${from} to all pods`, async () => {
      for (const target of await nodePorts(cluster, 'shop/web', 80))
        await untilAnswered(cluster, from, target, ['a', 'b'])
      for (const target of await nodePorts(cluster, 'shop/web', 81))
        await untilAnswered(cluster, from, target, ['a', 'b'], { protocol: 'udp' })
    })

  for (const from of ['outside', 'node', CLIENT] as const)
    await t.test(`a load-balancer address leads ${from} to all pods`, async () => {
      const targets = await loadBalancers(cluster, 'shop/local', 80)
      assert.equal(targets.length, 2)
      for (const target of targets) await untilAnswered(cluster, from, target, ['a', 'b'])
    })

  await t.test('pods of this node see the address of the client, whatever the traffic policy', async () => {
    const targets = [
      ...(await nodePorts(cluster, 'shop/web', 80)),
      ...(await nodePorts(cluster, 'shop/local', 80)),
      ...(await loadBalancers(cluster, 'shop/local', 80)),
    ]
    for (const [i, target] of targets.entries())
      assert.deepEqual(await seenAs(cluster, 'outside', target), [OUTSIDE[i % 2]], target)
  })

  await t.test('a cluster IP is not for clients outside', async () => {
    for (const family of [4, 6] as const) {
      const target = await clusterAddress(cluster, 'shop/web', 80, family)
      await untilAnswered(cluster, CLIENT, target, ['a', 'b'])
      const { failed, answers } = await ask(cluster, 'outside', target, { flags: ['--timeout', '500ms'] })
      assert.deepEqual([failed, answers], [1, {}])
    }
  })

  await t.test('external addresses', async () => {
    const externalIPs = ['192.0.2.7', '2001:db8::7']
    await cluster.enforce('external', serviceManifest('shop/external', { ...toWeb, externalIPs }))
    for (const address of externalIPs)
      for (const from of ['outside', CLIENT] as const)
        await untilAnswered(cluster, from, hostPort(address, 80), ['a', 'b'])
    cluster.remove('external')
  })

  await t.test('source ranges bind clients outside, and nobody else', async () => {
    const ranged = (prefix: string) =>
      serviceManifest('shop/ranged', {
        ...toWeb,
        ipFamilyPolicy: 'SingleStack',
        type: 'LoadBalancer',
        loadBalancerSourceRanges: [prefix],
      })
    await cluster.enforce('ranged', ranged(`${OUTSIDE[0]}/32`))
    const [target = ''] = await loadBalancers(cluster, 'shop/ranged', 80)
    await untilAnswered(cluster, 'outside', target, ['a', 'b'])
    await cluster.enforce('ranged', ranged('192.0.2.0/24'))
    await until('the client outside to be turned away', async () => {
      const { failed } = await ask(cluster, 'outside', target, { flags: ['--timeout', '300ms'] })
      return failed === 1
    })
    await untilAnswered(cluster, CLIENT, target, ['a', 'b'])
    cluster.remove('ranged')
  })

  await t.test('a service without endpoints refuses clients outside at once', async () => {
    await cluster.enforce(
      'nobody',
      serviceManifest('shop/nobody', { ports: PORTS, type: 'NodePort', ipFamilyPolicy: 'RequireDualStack' }),
    )
    for (const target of await nodePorts(cluster, 'shop/nobody', 80)) await untilRefused(cluster, 'outside', target)
    for (const target of await nodePorts(cluster, 'shop/nobody', 81))
      await untilRefused(cluster, 'outside', target, { protocol: 'udp' })
    cluster.remove('nobody')
  })

  await t.test('health checks tell load balancers how many pods there are', async () => {
    const check = async (key: string) => {
      const { spec } = await admittedService(cluster, key)
      const url = `http://${hostPort(NODE_ADDRESSES[0], spec.healthCheckNodePort)}/healthz`
      const command = ['curl', '-s', '--max-time', '2', '-w', '%{http_code}', url]
      return (await finish(await spawnOutside(cluster.client, command, 'pipe'))).stdout
    }
    await until('two pods', async () => /"localEndpoints": *2\b[^]*200$/.test(await check('shop/local')))
    const spec = { ...toWeb, selector: { app: 'nobody' }, type: 'LoadBalancer', externalTrafficPolicy: 'Local' }
    await cluster.enforce('lonely', serviceManifest('shop/lonely', spec))
    await until('a failing check', async () => /"localEndpoints": *0\b[^]*503$/.test(await check('shop/lonely')))
    cluster.remove('lonely')
  })

  await t.test('a backend outside answers a pod, though nobody may open a connection to that one', async () => {
    await cluster.enforce(
      'beyond',
      serverPod('shop/shut', { labels: { app: 'shut' } }),
      networkPolicy('shop/shut', { podSelector: { matchLabels: { app: 'shut' } }, ingress: [] }),
      serviceManifest('shop/beyond', { selector: undefined, ports: PORTS }),
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { namespace: 'shop', name: 'beyond-1', labels: { 'kubernetes.io/service-name': 'beyond' } },
        addressType: 'IPv4',
        ports: PORTS.map(({ name, targetPort: port, protocol }) => ({ name, port, protocol })),
        endpoints: [{ addresses: [OUTSIDE[0]] }],
      },
    )
    await cluster.untilReady('shop/shut')
    const server = await spawnOutside(cluster.client, ['agnhost', 'netexec'], 'pipe')
    try {
      for (const protocol of ['http', 'udp'] as const) {
        const target = await clusterAddress(cluster, 'shop/beyond', protocol === 'http' ? 80 : 81)
        await until(`an answer by ${protocol}`, async () => {
          return (await ask(cluster, 'shop/shut', target, { protocol })).failed === 0
        })
      }
    } finally {
      server.kill()
    }
    cluster.remove('beyond')
  })

  await t.test('affinity of a client outside, by node port', async () => {
    await cluster.enforce(
      'sticky',
      serviceManifest('shop/sticky', { ...toWeb, type: 'NodePort', sessionAffinity: 'ClientIP' }),
    )
    for (const target of await nodePorts(cluster, 'shop/sticky', 80)) {
      await until(`${target} to answer`, async () => (await ask(cluster, 'outside', target)).failed === 0)
      const { answers } = await ask(cluster, 'outside', target, { requests: 30 })
      assert.equal(Object.keys(answers).length, 1, JSON.stringify(answers))
    }
    cluster.remove('sticky')
  })

  await t.test('a service that is no longer a node port is not reached by it', async () => {
    const [target = ''] = await nodePorts(cluster, 'shop/web', 80)
    await cluster.enforce(
      'web',
      serverPod('shop/a', web),
      serverPod('shop/b', web),
      serverPod(CLIENT),
      serviceManifest('shop/web', toWeb),
    )
    await until(
      'the node port to be closed',
      async () => (await ask(cluster, 'outside', target, { flags: ['--timeout', '300ms'] })).failed === 1,
    )
    await untilAnswered(cluster, CLIENT, await clusterAddress(cluster, 'shop/web'), ['a', 'b'])
  })

  await t.test('a pod in the network of its node, by node port', async () => {
    const ports = [{ port: 80, targetPort: 18080 }]
    const args = ['--http-port', '18080', '--udp-port', '18081']
    await cluster.enforce(
      'host',
      serverPod('shop/host', { labels: { app: 'host' }, args, spec: { hostNetwork: true } }),
      serviceManifest('shop/host', { ports, type: 'NodePort', ipFamilyPolicy: 'RequireDualStack' }),
    )
    await cluster.untilReady('shop/host')
    for (const target of await nodePorts(cluster, 'shop/host', 80))
      await untilAnswered(cluster, 'outside', target, ['host'])
    cluster.remove('host')
    await cluster.untilGone('shop/host')
  })

  await t.test('a port of the host leads to its pod', async () => {
    const ports = [{ containerPort: HTTP_PORT, hostPort: 18090 }]
    await cluster.enforce('host-port', serverPod('shop/hosted', { ports }))
    await cluster.untilReady('shop/hosted')
    for (const address of NODE_ADDRESSES)
      for (const from of ['outside', CLIENT, 'node'] as const)
        await untilAnswered(cluster, from, hostPort(address, 18090), ['hosted'])
    cluster.remove('host-port')
    await cluster.untilGone('shop/hosted')
  })
})
