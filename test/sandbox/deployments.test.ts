// Deployments in a sandbox: pods of a template, replaced step by step when it changes.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { suite, test } from 'node:test'
import type { PodStatus } from '../../src/sandbox/index.ts'
import { waitUntil } from './clock.ts'
import { NEEDS_ROOT, startSandbox } from './support.ts'

const deployment = (version: string, replicas = 2) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { namespace: 'x', name: 'web' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'c',
            image: 'agnhost',
            args: ['netexec'],
            env: [{ name: 'VERSION', value: version }],
            readinessProbe: { httpGet: { port: 8080, path: '/healthz' } },
          },
        ],
      },
    },
  },
})

suite('deployments', { skip: NEEDS_ROOT }, () => {
  test('pods are made, replaced without ever being too few or too many, and deleted', async context => {
    const sandbox = await startSandbox(context, 'test-deployments')
    const pods = async (): Promise<readonly PodStatus[]> => (await sandbox.client.status()).pods
    const counts: (readonly [ready: number, here: number])[] = []
    const settled = async (count: number, isOther: (name: string) => boolean = () => true): Promise<PodStatus[]> => {
      let now: readonly PodStatus[] = []
      await waitUntil(
        async () => {
          now = await pods()
          const here = now.filter(pod => pod.deletionTimestamp === undefined)
          counts.push([now.filter(pod => pod.ready).length, here.length])
          return now.length === count && now.every(pod => pod.ready && isOther(pod.name))
        },
        () => `pods: ${now.map(pod => `${pod.name} ${pod.phase}`).join(', ')}`,
      )
      return [...now]
    }
    sandbox.apply('web', deployment('1'))
    const first = await settled(2)
    for (const { name } of first) assert.match(name, /^web-[0-9a-f]{8}-[0-9a-f]{5}$/)
    assert.equal(fs.readdirSync(sandbox.paths.cluster).filter(name => name.startsWith('Pod_x_web-')).length, 2)

    counts.length = 0
    sandbox.apply('web', deployment('2'))
    const second = await settled(2, name => !first.some(pod => pod.name === name))
    for (const [ready, here] of counts) assert.ok(ready >= 2 && here <= 3, `${ready} ready of ${here}`)
    for (const { name } of second)
      assert.equal((await sandbox.client.pod('x', name)).containers[0]?.environment['VERSION'], '2')

    sandbox.apply('web', deployment('2', 3))
    const three = await settled(3)
    assert.ok(second.every(({ name }) => three.some(pod => pod.name === name)))
    sandbox.remove('web')
    await settled(0)
    assert.deepEqual(fs.readdirSync(sandbox.paths.cluster), [])
  })
})
