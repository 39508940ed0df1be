// Services while agents end and start: new connections get backends all the time, numbers
// and ids stay what they were, and what changed meanwhile is in force when one runs again.
// And what load balancers are told by the node's health checks.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import { finish, podManifest } from '../sandbox/support.ts'
import { type Attempts, startLoad } from './load.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const PORT = 8080
const CLUSTER_IP = '10.96.7.7'
const HEALTH_PORT = 32_500
const ENDINGS = ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const
const ATTEMPT_MS = 5000
const PODS = ['default/web-0', 'default/web-1'] as const

const web = (name: string) => podManifest(name, { labels: { app: 'web' }, ports: [{ containerPort: PORT }] })
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    type: 'LoadBalancer',
    clusterIP: CLUSTER_IP,
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: HEALTH_PORT,
    selector: { app: 'web' },
    ports: [{ port: 80, targetPort: PORT }],
  },
}

/** Numbers of the ports and ids of the backends that the agent gives the service. */
async function numbersOf({ agent }: TestCluster) {
  const { entries } = await agent.service('default', 'web')
  return entries.map(({ id, number, backends }) => ({
    id,
    number,
    backends: Object.fromEntries(backends.map(({ address, id: backend }) => [address, backend])),
  }))
}

async function untilBackends(cluster: TestCluster, count: number): Promise<void> {
  await until(`${count} backends`, async () => {
    const ports = await numbersOf(cluster).catch(() => [])
    return ports.length > 0 && ports.every(({ backends }) => Object.keys(backends).length === count)
  })
  await cluster.agent.settled()
}

async function untilAnother({ agent }: TestCluster, pid: number): Promise<void> {
  await until(`another agent than ${pid}`, async () => {
    const status = await agent.status().catch(() => undefined)
    return status !== undefined && status.pid !== pid && status.ready
  })
}

/** What a load balancer is told: the status, and the number of backends of the node. */
async function health(pid: number): Promise<string> {
  using node = Namespace.ofProcess(pid)
  const url = `http://172.30.0.2:${HEALTH_PORT}/healthz`
  const program = `const r = await fetch('${url}'); console.log(r.status, (await r.json()).localEndpoints)`
  const child = withNamespace(node, () => spawn(process.execPath, ['--input-type=module', '-e', program]))
  return (await finish(child)).stdout.trim()
}

test('services while agents end and start', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'services-restart')
  await cluster.enforce('pods', ...PODS.map(web), podManifest('default/client'), service)
  await cluster.untilReady(...PODS, 'default/client')
  await untilBackends(cluster, PODS.length)
  const before = await numbersOf(cluster)
  const load = await startLoad(t, cluster, 'default/client', ['attempt', CLUSTER_IP, '80', String(ATTEMPT_MS)])

  for (const signal of ENDINGS) {
    const { pid } = await cluster.agent.status()
    process.kill(pid, signal)
    await untilAnother(cluster, pid)
    assert.deepEqual(await numbersOf(cluster), before, `after ${signal}`)
  }
  const { connected, failures } = JSON.parse(await load.finish()) as Attempts
  assert.deepEqual(failures, [], `of ${failures.length + connected} connections`)
  assert.ok(connected > 50, `only ${connected} connections were made: that proves little`)

  const { pid } = await cluster.agent.status()
  assert.equal(await health(pid), '200 2')
  cluster.apply('pods', podManifest('default/client'), service)
  await untilBackends(cluster, 0)
  assert.equal(await health(pid), '503 0')
})
