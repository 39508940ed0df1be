// The sandbox's control plane for Services: what agents are told of them as pods come, become ready, end and go, and what
// the commands on objects show and refuse.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sandboxStatus } from '../../src/sandbox/commands.ts'
import { spawnOutside } from '../../src/sandbox/exec.ts'
import { down, up } from '../../src/sandbox/index.ts'
import { waitUntil } from './clock.ts'
import { capture, describeSandbox, finish, NEEDS_ROOT, podManifest, runInPod } from './support.ts'

const PROGRAM = fileURLToPath(import.meta.resolve('../../src/cli/main.ts'))
const sandbox = describeSandbox('test-services')

const serviceManifest = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'x', name },
  spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
})

const labelled = (key: string, app: string, spec: object = {}) => podManifest(key, { labels: { app }, spec })

type Slice = {
  readonly kind: string
  readonly addressType: string
  readonly metadata: { readonly labels: Readonly<Record<string, string>> }
  readonly endpoints: readonly {
    readonly addresses: readonly string[]
    readonly zone?: string
    readonly conditions: Readonly<Record<'ready' | 'serving' | 'terminating', boolean>>
    readonly targetRef: { readonly name: string }
  }[]
}

function clusterObjects(): Slice[] {
  const { cluster } = sandbox.paths
  return fs
    .readdirSync(cluster)
    .filter(name => !name.startsWith('.'))
    .map(name => JSON.parse(fs.readFileSync(path.join(cluster, name), 'utf8').replace(/^#.*\n/, '')) as Slice)
}

/** `POD ready serving`, `POD terminating` … of the first family. */
const endpoints = (service: string): string[] =>
  clusterObjects()
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === service)
    .flatMap(slice => slice.endpoints)
    .map(({ targetRef, conditions }) =>
      [targetRef.name, ...Object.entries(conditions).flatMap(([name, holds]) => (holds ? [name] : []))].join(' '),
    )

const untilEndpoints = (service: string, ...want: string[]) =>
  waitUntil(
    () => JSON.stringify(endpoints(service)) === JSON.stringify(want),
    () => `endpoints of ${service}: ${endpoints(service).join(', ')}; wanted ${want.join(', ')}`,
  )

/** @returns what the command printed; a manifest is given to its input */
const axoneme = (args: readonly string[], ...objects: readonly object[]) =>
  finish(
    spawn(process.execPath, [PROGRAM, ...args, '--sandbox', sandbox.name], { stdio: 'pipe' }),
    objects.map(object => JSON.stringify(object)).join('\n---\n'),
  )

suite('services', { skip: NEEDS_ROOT }, () => {
  const watched = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-watched-'))
  before(async () => void (await up({ ...sandbox.configuration, folders: [watched] })))
  after(async () => {
    await down(sandbox.name)
    fs.rmSync(watched, { recursive: true })
  })

  test('endpoints follow the pods, their readiness and their end', async () => {
    const file = '/tmp/ready'
    const main = (spec: object) => ({ containers: [{ name: 'c', image: 'agnhost', args: ['netexec'], ...spec }] })
    const probed = main({ readinessProbe: { exec: { command: ['test', '-e', file] }, periodSeconds: 1 } })
    const slow = {
      ...main({
        lifecycle: { preStop: { exec: { command: ['sh', '-c', 'until test -e /tmp/go; do sleep 0.05; done'] } } },
      }),
    }
    sandbox.apply('service', serviceManifest('web'))
    await untilEndpoints('web')
    sandbox.apply('probed', labelled('x/probed', 'web', probed))
    await untilEndpoints('web', 'probed')
    await runInPod(sandbox, 'x/probed', ['touch', file])
    await untilEndpoints('web', 'probed ready serving')
    await runInPod(sandbox, 'x/probed', ['rm', file])
    await untilEndpoints('web', 'probed')

    sandbox.apply('slow', labelled('x/slow', 'web', slow))
    await untilEndpoints('web', 'probed', 'slow ready serving')
    sandbox.remove('slow')
    await untilEndpoints('web', 'probed', 'slow serving terminating')
    const status = await sandbox.pod('x/slow')
    assert.deepEqual([status?.phase, status?.ready, typeof status?.deletionTimestamp], ['Terminating', false, 'string'])
    await runInPod(sandbox, 'x/slow', ['touch', '/tmp/go'])
    await untilEndpoints('web', 'probed')
    sandbox.remove('probed')
    await untilEndpoints('web')
    sandbox.remove('service')
    await waitUntil(
      () => clusterObjects().length === 0,
      () => 'objects are left',
    )
  })

  test('probes over the network, of a container that starts slowly', async () => {
    const script = 'sleep 0.5; exec agnhost netexec --http-port 8080'
    const ports = [{ name: 'http', containerPort: 8080 }]
    const container = {
      name: 'c',
      command: ['sh', '-c', script],
      ports,
      startupProbe: { tcpSocket: { port: 'http' }, periodSeconds: 1, failureThreshold: 60 },
      readinessProbe: { httpGet: { port: 'http', path: '/healthz' } },
    }
    const wrong = {
      ...container,
      readinessProbe: { httpGet: { port: 'http', path: '/exit?code=0' }, timeoutSeconds: 1 },
    }
    const strange = { ...container, readinessProbe: { grpc: { port: 5 } } }
    sandbox.apply(
      'probes',
      podManifest('x/http', { spec: { containers: [container] } }),
      podManifest('x/wrong', { spec: { containers: [wrong] } }),
      podManifest('x/strange', { spec: { containers: [strange] } }),
    )
    await sandbox.untilReady('x/http')
    const restarted = await sandbox.until('x/wrong', ({ containers }) => (containers[0]?.restarts ?? 0) > 0)
    assert.equal(restarted.ready, false)
    const { reason, message } = await sandbox.until('x/strange', pod => pod.reason !== 'ContainerCreating')
    assert.deepEqual(
      [reason, message],
      [
        'CreateContainerConfigError',
        'container c: readinessProbe has none of exec, httpGet, tcpSocket (the sandbox knows no others)',
      ],
    )
    sandbox.remove('probes')
    await sandbox.untilGone('x/http')
  })

  test('a hook and the process share the grace period', async () => {
    const preStop = { exec: { command: ['sleep', '600'] } }
    const containers = [{ name: 'c', image: 'agnhost', args: ['pause'], lifecycle: { preStop } }]
    sandbox.apply('hooked', podManifest('x/hooked', { spec: { containers, terminationGracePeriodSeconds: 1 } }))
    await sandbox.untilReady('x/hooked')
    sandbox.remove('hooked')
    await sandbox.untilGone('x/hooked')
  })

  test('a pod in the network of its node', async () => {
    const containers = [{ name: 'c', image: 'agnhost', args: ['netexec', '--http-port', '18080'] }]
    sandbox.apply('host', labelled('x/host', 'host', { containers, hostNetwork: true }), serviceManifest('host'))
    await untilEndpoints('host', 'host ready serving')
    assert.deepEqual((await sandbox.pod('x/host'))?.addresses, ['172.30.0.2', 'fd00:172:30::2'])
    sandbox.apply('client', podManifest('x/client'))
    await sandbox.untilReady('x/client')
    await waitUntil(
      async () =>
        (await runInPod(sandbox, 'x/client', ['agnhost', 'get', 'http://172.30.0.2:18080/hostname'])).stdout === 'host',
      () => 'the pod does not answer',
    )
    sandbox.remove('host')
    sandbox.remove('client')
    await sandbox.untilGone('x/host')
  })

  test('services of a watched folder, and the zone of the node', async () => {
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'z1' } },
    }
    sandbox.apply('node', node)
    const objects = [serviceManifest('watched', { ipFamilyPolicy: 'PreferDualStack' }), labelled('x/w', 'watched')]
    fs.writeFileSync(path.join(watched, 'all.json'), objects.map(object => JSON.stringify(object)).join('\n---\n'))
    await untilEndpoints('watched', 'w ready serving', 'w ready serving')
    const slices = clusterObjects().filter(({ kind }) => kind === 'EndpointSlice')
    assert.deepEqual(slices.map(({ addressType }) => addressType).sort(), ['IPv4', 'IPv6'])
    assert.deepEqual(
      slices.map(slice => slice.endpoints[0]?.zone),
      ['z1', 'z1'],
    )
    fs.rmSync(path.join(watched, 'all.json'))
    await sandbox.untilGone('x/w')
    sandbox.remove('node')
  })

  test('a client that counts, in a pod and outside of the cluster', async () => {
    const args = ['netexec', '--http-port', '80', '--udp-port', '81']
    const containers = [{ name: 'c', image: 'agnhost', args, readinessProbe: { tcpSocket: { port: 80 } } }]
    sandbox.apply('counted', podManifest('x/counted', { spec: { containers } }))
    await sandbox.untilReady('x/counted')
    const { addresses = [] } = (await sandbox.pod('x/counted')) ?? {}
    for (const address of addresses) {
      const host = address.includes(':') ? `[${address}]` : address
      const inside = await runInPod(sandbox, 'x/counted', [
        'agnhost',
        'load',
        `http://${host}/hostname`,
        '--requests',
        '5',
      ])
      const { longestMs, ...report } = JSON.parse(inside.stdout) as { longestMs: number }
      assert.ok(longestMs > 0)
      assert.deepEqual(report, { requests: 5, failed: 0, errors: {}, answers: { counted: 5 } })
      for (const more of [[], ['--source-port', '4000']]) {
        const udp = ['agnhost', 'load', `${host}:81`, '--protocol', 'udp', '--requests', '3', ...more]
        const outside = await finish(await spawnOutside(sandbox.client, udp, 'pipe'))
        assert.deepEqual((JSON.parse(outside.stdout) as { answers: unknown }).answers, { counted: 3 }, outside.stderr)
      }
      const refused = await finish(
        await spawnOutside(sandbox.client, ['agnhost', 'load', `${host}:99`, '--requests', '2'], 'pipe'),
      )
      assert.deepEqual((JSON.parse(refused.stdout) as { errors: unknown }).errors, { ECONNREFUSED: 2 })
    }
    sandbox.remove('counted')
    await sandbox.untilGone('x/counted')
  })

  test('apply waits for what is allocated; get shows it in the text of the author', async () => {
    const text = `apiVersion: v1
kind: Service
metadata:
  name: shop # the front door
  namespace: x
spec:
  type: NodePort
  ports:
    - port: 80
`
    const file = path.join(watched, 'shop.txt')
    fs.writeFileSync(file, text)
    const apply = async () => (await axoneme(['apply', '-f', file])).stdout
    assert.equal(await apply(), 'Service x/shop created\n')
    const get = async () => (await axoneme(['get', 'service', 'shop', '-o', 'yaml'])).stdout
    const shown = await get()
    assert.match(shown, /name: shop # the front door\n/)
    const [, clusterIp] = /\n {2}clusterIP: (10\.96\.\S+)\n/.exec(shown) ?? []
    const [, nodePort] = /\n {4,6}nodePort: (3\d{4})\n/.exec(shown) ?? []
    assert.ok(clusterIp && nodePort, shown)
    assert.equal(await apply(), 'Service x/shop unchanged\n')
    assert.equal(await get(), shown)

    const greedy = serviceManifest('greedy', { clusterIP: clusterIp })
    const refused = await axoneme(['apply', '-f', '-'], greedy)
    assert.deepEqual([refused.code, refused.stdout], [1, 'Service x/greedy refused\n'])
    assert.match(refused.stderr, /spec\.clusterIP: \S+ is the cluster IP of Service x\/shop already/)

    const streams = capture()
    await sandboxStatus({ name: sandbox.name }, streams)
    assert.match(streams.text(), new RegExp(`x/shop +NodePort +${clusterIp} +80:${nodePort}/TCP`))

    assert.equal((await axoneme(['delete', '-f', file])).code, 0)
    assert.equal((await axoneme(['apply', '-f', '-'], greedy)).code, 0)
    assert.equal((await axoneme(['delete', '-f', '-'], greedy)).code, 0)
    assert.deepEqual(clusterObjects(), [])
  })
})
