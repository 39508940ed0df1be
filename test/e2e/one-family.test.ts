// A node whose pods have IPv4 addresses only, and only a handful of them: policy holds
// as everywhere, there is no IPv6, and the pod too many waits for an address with a
// clear word, until it gets one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultConfiguration } from '../../src/sandbox/index.ts'
import { podManifest, runInPod } from '../sandbox/support.ts'
import { denyAll } from './policies.ts'
import { NEEDS_ROOT, startCluster } from './support.ts'

const NAME = 'e2e-small'
/** Without network, gateway and broadcast: five addresses. */
const POOL = '10.244.0.0/29'
const FULL = ['a', 'b', 'c', 'd', 'e'].map(name => `default/${name}`)
const TOO_MANY = 'default/f'
const PORT = { ports: [{ containerPort: 8080 }] }

test('a small pool of one family', { skip: NEEDS_ROOT }, async t => {
  const nodes = defaultConfiguration(NAME).nodes.map(node => ({ ...node, podCidrs: [POOL] }))
  const cluster = await startCluster(t, NAME, { nodes })
  for (const pod of FULL) await cluster.enforce(pod.replace('/', '-'), podManifest(pod, PORT))
  await cluster.untilReady(...FULL)

  await t.test('pods have one address each, and reach each other by it', async () => {
    const { pods } = await cluster.client.status()
    const addresses = pods.flatMap(pod => pod.addresses)
    assert.equal(new Set(addresses).size, FULL.length)
    assert.equal(addresses.length, FULL.length)
    assert.ok((await cluster.probe('8080/TCP', 4)).every(({ verdict }) => verdict === 'allowed'))
    assert.ok((await cluster.probe('8080/TCP', 6)).every(({ verdict }) => verdict === 'denied'))
    await cluster.enforce('deny', denyAll('default', ['ingress']))
    assert.ok((await cluster.probe('8080/TCP', 4)).every(({ verdict }) => verdict === 'denied'))
    await cluster.enforce('deny')
  })

  await t.test('the pod too many waits, and says why; the others go on', async () => {
    await cluster.enforce('too-many', podManifest(TOO_MANY, PORT))
    const waiting = await cluster.until(TOO_MANY, pod => pod.message !== undefined && pod.message !== '')
    assert.match(waiting.message ?? '', /^the address pool 10\.244\.0\.0\/29 has no free address: 5 are in use/)
    assert.equal(waiting.ready, false)
    const [address] = (await cluster.pod('default/b'))?.addresses ?? []
    const reached = await runInPod(cluster, 'default/a', ['agnhost', 'connect', `${address}:8080`])
    assert.equal(reached.code, 0, reached.stderr)
  })

  await t.test('it gets the address of one that goes', async () => {
    const freed = (await cluster.pod('default/c'))?.addresses
    cluster.remove('default-c')
    await cluster.untilGone('default/c')
    await cluster.untilReady(TOO_MANY)
    assert.deepEqual((await cluster.pod(TOO_MANY))?.addresses, freed)
    assert.ok((await cluster.probe('8080/TCP')).every(({ verdict }) => verdict === 'allowed'))
  })
})
