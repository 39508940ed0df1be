// Services inside the cluster: who answers under a cluster IP, from pods and from the node.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ask,
  clusterAddress,
  HTTP_PORT,
  PORTS,
  serverPod,
  serviceManifest,
  UDP_PORT,
  untilAnswered,
  untilRefused,
} from './services.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const CLIENT = 'shop/client'
const web = { labels: { app: 'web' } }

test('services inside the cluster', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-services')
  await cluster.enforce(
    'web',
    serverPod('shop/a', web),
    serverPod('shop/b', web),
    serverPod(CLIENT),
    serviceManifest('shop/web', { ports: PORTS, ipFamilyPolicy: 'RequireDualStack' }),
  )
  await cluster.untilReady('shop/a', 'shop/b', CLIENT)

  for (const family of [4, 6] as const)
    for (const from of [CLIENT, 'node'] as const)
      for (const protocol of ['http', 'udp'] as const)
        await t.test(`${from} reaches all pods by the cluster IP, ${protocol}, IPv${family}`, async () => {
          const target = await clusterAddress(cluster, 'shop/web', protocol === 'udp' ? 81 : 80, family)
          await untilAnswered(cluster, from, target, ['a', 'b'], { protocol })
        })

  await t.test('a pod sees the address of the pod that asks', async () => {
    const target = await clusterAddress(cluster, 'shop/web')
    const { answers } = await ask(cluster, CLIENT, target, { path: '/clientip', requests: 5 })
    const addresses = (await cluster.pod(CLIENT))?.addresses ?? []
    for (const answer of Object.keys(answers)) assert.ok(answer.startsWith(`${addresses[0]}:`), answer)
  })

  await t.test('a port that the service does not have is not answered by anybody', async () => {
    const target = await clusterAddress(cluster, 'shop/web', 82)
    const { failed, answers } = await ask(cluster, CLIENT, target, { flags: ['--timeout', '500ms'] })
    assert.deepEqual([failed, answers], [1, {}])
  })

  await t.test('a pod that is its own only backend reaches itself', async () => {
    await cluster.enforce(
      'alone',
      serverPod('shop/alone', { labels: { app: 'alone' } }),
      serviceManifest('shop/alone', { ports: PORTS }),
    )
    await cluster.untilReady('shop/alone')
    await untilAnswered(cluster, 'shop/alone', await clusterAddress(cluster, 'shop/alone'), ['alone'])
    await untilAnswered(cluster, 'shop/alone', await clusterAddress(cluster, 'shop/alone', 81), ['alone'], {
      protocol: 'udp',
    })
    cluster.remove('alone')
    await cluster.untilGone('shop/alone')
  })

  await t.test('one port number for two protocols', async () => {
    const ports = [
      { name: 'tcp', port: 53, targetPort: HTTP_PORT },
      { name: 'udp', port: 53, targetPort: UDP_PORT, protocol: 'UDP' },
    ]
    await cluster.enforce('both', serviceManifest('shop/both', { selector: { app: 'web' }, ports }))
    const target = await clusterAddress(cluster, 'shop/both', 53)
    await untilAnswered(cluster, CLIENT, target, ['a', 'b'])
    await untilAnswered(cluster, CLIENT, target, ['a', 'b'], { protocol: 'udp' })
    cluster.remove('both')
  })

  await t.test('a named target port that is another number in each pod', async () => {
    const named = (number: number) => ({
      labels: { app: 'named' },
      args: ['--http-port', String(number)],
      ports: [{ name: 'http', containerPort: number }],
    })
    await cluster.enforce(
      'named',
      serverPod('shop/n1', named(8080)),
      serverPod('shop/n2', named(9090)),
      serviceManifest('shop/named', { ports: [{ port: 80, targetPort: 'http' }] }),
    )
    await cluster.untilReady('shop/n1', 'shop/n2')
    await untilAnswered(cluster, CLIENT, await clusterAddress(cluster, 'shop/named'), ['n1', 'n2'])
    cluster.remove('named')
    await cluster.untilGone('shop/n2')
  })

  await t.test('a service without endpoints refuses at once', async () => {
    await cluster.enforce(
      'nobody',
      serviceManifest('shop/nobody', { ports: PORTS, ipFamilyPolicy: 'RequireDualStack' }),
    )
    for (const family of [4, 6] as const)
      for (const from of [CLIENT, 'node'] as const) {
        await untilRefused(cluster, from, await clusterAddress(cluster, 'shop/nobody', 80, family))
        await untilRefused(cluster, from, await clusterAddress(cluster, 'shop/nobody', 81, family), { protocol: 'udp' })
      }
    cluster.remove('nobody')
  })

  await t.test('pods that are not ready get nothing, unless the service wants them', async () => {
    const readinessProbe = { exec: { command: ['test', '-e', '/tmp/ready'] } }
    const spec = { selector: { app: 'unready' } }
    await cluster.enforce(
      'unready',
      serverPod('shop/unready', { labels: { app: 'unready' }, container: { readinessProbe } }),
      serviceManifest('shop/careful', spec),
      serviceManifest('shop/careless', { ...spec, publishNotReadyAddresses: true }),
    )
    await cluster.until('shop/unready', pod => pod.phase === 'Running')
    await untilRefused(cluster, CLIENT, await clusterAddress(cluster, 'shop/careful'))
    await untilAnswered(cluster, CLIENT, await clusterAddress(cluster, 'shop/careless'), ['unready'])
    cluster.remove('unready')
    await cluster.untilGone('shop/unready')
  })

  await t.test('session affinity: one pod for a client, until it is switched off or its time is over', async () => {
    const target = async () => await clusterAddress(cluster, 'shop/sticky')
    const sticky = (spec: object) => serviceManifest('shop/sticky', { selector: { app: 'web' }, ...spec })
    const affine = (timeoutSeconds: number) => ({
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    })
    await cluster.enforce('sticky', sticky(affine(600)))
    for (const from of [CLIENT, 'node'] as const) {
      await until(`${from} to be answered`, async () => (await ask(cluster, from, await target())).failed === 0)
      const { answers } = await ask(cluster, from, await target(), { requests: 40 })
      assert.equal(Object.keys(answers).length, 1, `${from}: ${JSON.stringify(answers)}`)
    }
    await cluster.enforce('sticky', sticky({}))
    await untilAnswered(cluster, CLIENT, await target(), ['a', 'b'])
    await cluster.enforce('sticky', sticky(affine(1)))
    const seen = new Set<string>()
    await until('another pod after the time is over', async () => {
      const { answers } = await ask(cluster, CLIENT, await target(), { requests: 2, flags: ['--interval', '1100ms'] })
      for (const answer of Object.keys(answers)) seen.add(answer)
      return seen.size === 2
    })
    cluster.remove('sticky')
  })

  await t.test('a service changes its type, goes, and comes back', async () => {
    const change = async (spec: object) =>
      await cluster.enforce('changing', serviceManifest('shop/changing', { selector: { app: 'web' }, ...spec }))
    await change({})
    const target = await clusterAddress(cluster, 'shop/changing')
    await untilAnswered(cluster, CLIENT, target, ['a', 'b'])
    await change({ type: 'NodePort' })
    await untilAnswered(cluster, CLIENT, target, ['a', 'b'])
    await change({ type: 'ExternalName', externalName: 'example.com' })
    await until('the cluster IP to lead nowhere', async () => {
      const { failed } = await ask(cluster, CLIENT, target, { flags: ['--timeout', '300ms'] })
      return failed === 1
    })
    cluster.remove('changing')
    await change({})
    await untilAnswered(cluster, CLIENT, await clusterAddress(cluster, 'shop/changing'), ['a', 'b'])
    cluster.remove('changing')
  })

  await t.test('endpoints come and go', async () => {
    const target = await clusterAddress(cluster, 'shop/web')
    await cluster.enforce('third', serverPod('shop/c', web))
    await untilAnswered(cluster, CLIENT, target, ['a', 'b', 'c'])
    cluster.remove('third')
    await untilAnswered(cluster, CLIENT, target, ['a', 'b'])
  })

  await t.test('a pod in the network of its node is a backend', async () => {
    const args = ['--http-port', '18080', '--udp-port', '18081']
    const ports = [
      { name: 'http', port: 80, targetPort: 18080 },
      { name: 'names', port: 81, targetPort: 18081, protocol: 'UDP' },
    ]
    await cluster.enforce(
      'host',
      serverPod('shop/host', { labels: { app: 'host' }, args, spec: { hostNetwork: true } }),
      serviceManifest('shop/host', { ports }),
    )
    await cluster.untilReady('shop/host')
    for (const from of [CLIENT, 'node'] as const) {
      await untilAnswered(cluster, from, await clusterAddress(cluster, 'shop/host'), ['host'])
      await untilAnswered(cluster, from, await clusterAddress(cluster, 'shop/host', 81), ['host'], { protocol: 'udp' })
    }
    cluster.remove('host')
    await cluster.untilGone('shop/host')
  })

  await t.test('a pod that has ended is no endpoint', async () => {
    const spec = { restartPolicy: 'Never' }
    await cluster.enforce(
      'ending',
      serverPod('shop/ending', { labels: { app: 'ending' }, spec }),
      serviceManifest('shop/ending'),
    )
    await cluster.untilReady('shop/ending')
    const target = await clusterAddress(cluster, 'shop/ending')
    await untilAnswered(cluster, CLIENT, target, ['ending'])
    await ask(cluster, CLIENT, target, { path: '/exit?code=1' })
    await cluster.until('shop/ending', pod => pod.phase === 'Failed')
    await untilRefused(cluster, CLIENT, target)
    cluster.remove('ending')
    await cluster.untilGone('shop/ending')
  })

  await t.test('a headless service has nothing translated', async () => {
    await cluster.enforce('headless', serviceManifest('shop/headless', { selector: { app: 'web' }, clusterIP: 'None' }))
    const named = async (table: string) => {
      const { rows } = await cluster.agent.table(table)
      return rows.filter(row => row.includes('headless')).length
    }
    await until('the service and its slice to be known', async () => (await named('endpoint-slices')) === 1)
    await cluster.agent.settled()
    const { rows } = await cluster.agent.table('service-entries')
    assert.deepEqual(
      rows
        .filter(row => row[1] === 'headless')
        .map(row => row[2])
        .filter(count => count !== '0'),
      [],
    )
    cluster.remove('headless')
  })

  await t.test('a service without a selector follows the slices that somebody writes', async () => {
    const [address = ''] = (await cluster.pod('shop/a'))?.addresses ?? []
    const slice = (nodeName: string) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: 'shop', name: 'by-hand', labels: { 'kubernetes.io/service-name': 'by-hand' } },
      addressType: 'IPv4',
      ports: [{ name: '', port: HTTP_PORT }],
      endpoints: [{ addresses: [address], nodeName }],
    })
    const service = (spec: object = {}) => serviceManifest('shop/by-hand', { selector: undefined, ...spec })
    await cluster.enforce('by-hand', service(), slice('node1'))
    const target = await clusterAddress(cluster, 'shop/by-hand')
    await untilAnswered(cluster, CLIENT, target, ['a'])
    // Backends there are, but none on this node: then kube-proxy says nothing.
    await cluster.enforce('by-hand', service({ internalTrafficPolicy: 'Local' }), slice('node2'))
    await until('nobody of this node to answer', async () => {
      const { errors } = await ask(cluster, CLIENT, target, { flags: ['--timeout', '500ms'] })
      return Object.keys(errors).length === 1 && errors['ECONNREFUSED'] === undefined
    })
    await cluster.enforce('by-hand', service({ internalTrafficPolicy: 'Local' }), slice('node1'))
    await untilAnswered(cluster, CLIENT, target, ['a'])
    cluster.remove('by-hand')
  })
})
