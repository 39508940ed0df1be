// Services as a user looks at them: how they stand, why an address leads where it leads,
// and flows that name them; over a real agent, with real connections.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { openPinnedMap } from '../../src/bpf/index.ts'
import { formatIp } from '../../src/ip/index.ts'
import { type FrontendKey, readDatapathObject } from '../../src/maps/index.ts'
import type { Flow } from '../../src/observe/index.ts'
import { nodePaths } from '../../src/sandbox/index.ts'
import type { ServiceExplanation } from '../../src/services/index.ts'
import type { ServiceDetail, ServiceStatus } from '../../src/tables/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { axoneme, outputOf, startAxoneme } from './command-line.ts'
import { FlowLog, isDropped } from './flows.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const NAME = 'e2e-services-look'

const service = (key: string, spec: object, more: object = {}) => {
  const [namespace, name] = key.split('/')
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name, ...more }, spec }
}

const HTTP = { name: 'http', port: 80, targetPort: 'http' }
const SERVICES = [
  service('shop/web', {
    type: 'NodePort',
    clusterIP: '10.96.0.10',
    sessionAffinity: 'ClientIP',
    selector: { app: 'web' },
    ports: [
      { ...HTTP, nodePort: 30080 },
      { name: 'word', port: 53, protocol: 'UDP', targetPort: 5353 },
    ],
  }),
  service('shop/empty', {
    clusterIP: '10.96.0.20',
    selector: { app: 'none' },
    ports: [HTTP, { name: 'word', port: 53, protocol: 'UDP' }],
  }),
  service('shop/db', { clusterIP: 'None', selector: { app: 'web' }, ports: [{ ...HTTP, port: 8080 }] }),
  service('shop/away', { type: 'ExternalName', externalName: 'example.com' }),
  service(
    'shop/theirs',
    { clusterIP: '10.96.0.30', selector: { app: 'web' }, ports: [HTTP] },
    { labels: { 'service.kubernetes.io/service-proxy-name': 'mesh' } },
  ),
  service('shop/thief', { clusterIP: '10.96.0.40', externalIPs: ['10.96.0.10'], ports: [HTTP] }),
]

/** In a pod: says a word, and holds the socket until its input ends. */
const HOLD = 'exec 3<>/dev/$1/$2/$3; echo hello >&3; read -r line; exec 3>&-'

/** @returns how to let go of it */
function hold(t: TestContext, protocol: Protocol, address: string, port: number): () => Promise<unknown> {
  const told = ['bash', '-c', HOLD, 'hold', protocol.toLowerCase(), address, String(port)]
  const child = startAxoneme(['sandbox', 'exec', '--name', NAME, 'shop/client', '--', ...told])
  t.after(() => child.kill())
  return async () => {
    child.stdin?.end()
    if (child.exitCode === null) await once(child, 'close')
  }
}

type Protocol = 'TCP' | 'UDP'

async function startShop(t: TestContext): Promise<TestCluster> {
  const cluster = await startCluster(t, NAME)
  const ports = [
    { name: 'http', containerPort: 8080 },
    { containerPort: 5353, protocol: 'UDP' },
  ]
  await cluster.enforce(
    'pods',
    podManifest('shop/client'),
    podManifest('shop/web-1', { labels: { app: 'web' }, ports }),
    podManifest('shop/web-2', { labels: { app: 'web' }, ports }),
  )
  await cluster.untilReady('shop/client', 'shop/web-1', 'shop/web-2')
  const text = SERVICES.map(object => JSON.stringify(object)).join('\n---\n')
  const { code, stderr } = await axoneme(['apply', '-f', '-', '--sandbox', NAME], text)
  assert.equal(code, 0, stderr)
  await until('the services to be in force', async () => {
    const rows = await cluster.agent.services()
    const web = rows.find(({ name }) => name === 'web')
    return rows.length === SERVICES.length && web?.state === 'in-force' && web.backends.usable === 2
  })
  await cluster.agent.settled()
  return cluster
}

test('looking at services', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startShop(t)
  const flows = await FlowLog.follow(t, cluster)
  const why = async (...args: readonly string[]): Promise<ServiceExplanation> =>
    JSON.parse(await outputOf('services', 'why', ...args, '-o', 'json', '--sandbox', NAME)) as ServiceExplanation

  await t.test('all of them, with their states', async () => {
    const rows = JSON.parse(await outputOf('services', '-o', 'json', '--sandbox', NAME)) as ServiceStatus[]
    assert.deepEqual(
      rows.map(({ name, type, state, backends }) => [name, type, state, `${backends.usable}/${backends.known}`]),
      [
        ['away', 'ExternalName', 'not-translated', '0/0'],
        ['db', 'ClusterIP', 'not-translated', '0/0'],
        ['empty', 'ClusterIP', 'in-force', '0/0'],
        ['theirs', 'ClusterIP', 'not-translated', '0/0'],
        ['thief', 'ClusterIP', 'in-force', '0/0'],
        ['web', 'NodePort', 'in-force', '2/2'],
      ],
    )
    const table = await outputOf('services', '-n', 'shop', '--sandbox', NAME)
    assert.match(table, /^NAMESPACE +NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +BACKENDS +STATUS +SINCE$/m)
    assert.match(
      table,
      /^shop +web +NodePort +10\.96\.0\.10 +<none> +80:30080\/TCP,53:\d+\/UDP +2\/2 +in-force +\S+Z$/m,
    )
    assert.match(table, /^shop +thief .* in-force, 1 error /m)
    assert.equal((await outputOf('services', '-n', 'other', '--sandbox', NAME)).trim().split('\n').length, 1)
  })

  await t.test('one in full', async () => {
    const detail = JSON.parse(await outputOf('services', 'shop/web', '-o', 'json', '--sandbox', NAME)) as ServiceDetail
    assert.deepEqual(
      detail.entries.map(({ portName, frontends, backends }) => [portName, frontends.length, backends.length]),
      [
        ['http', 3, 2],
        ['word', 3, 2],
      ],
    )
    const text = await outputOf('services', 'web', '-n', 'shop', '--sandbox', NAME)
    assert.match(text, /^status +in force$/m)
    assert.match(text, /^ +172\.30\.0\.2:30080 +NodePort +everybody$/m)
    assert.match(text, /^ +10\.244\.0\.\d+:8080 +shop\/web-1 +node1 +ready +1 +yes$/m)
    const thief = await outputOf('services', 'shop/thief', '--sandbox', NAME)
    assert.match(thief, /^problems +.*error: spec\.externalIPs: 10\.96\.0\.10:80\/TCP belongs to shop\/web already/m)
    const missing = await axoneme(['services', 'shop/nothing', '--sandbox', NAME])
    assert.deepEqual([missing.code, missing.stderr], [1, 'axoneme: there is no service shop/nothing\n'])
  })

  await t.test('why: what an address is, and what becomes of each client', async () => {
    const from = async (...args: readonly string[]): Promise<string> => {
      const { clients } = await why(...args)
      return clients.map(({ result, because, where }) => [result, because, where].filter(Boolean).join(' ')).join(', ')
    }
    for (const [args, want] of [
      [['10.96.0.10:80', '--from', 'shop/client'], 'translated socket'],
      [['10.96.0.10:53/UDP', '--from', 'shop/client'], 'translated packet'],
      [['10.96.0.10:80', '--from-host'], 'translated socket'],
      [['127.0.0.1:30080', '--from', 'shop/client'], 'untouched NODE_ONLY socket'],
      [['127.0.0.1:30080', '--from-host'], 'translated socket'],
      [['10.96.0.10:80', '--from-outside', '192.0.2.1'], 'dropped IS_CLUSTER_IP device'],
      [['172.30.0.2:30080', '--from-outside', '192.0.2.1'], 'translated device'],
      [['10.96.0.20:80'], 'rejected NO_SERVICE socket, dropped IS_CLUSTER_IP device'],
      [['shop/web:http'], 'translated socket, dropped IS_CLUSTER_IP device'],
    ] as const)
      assert.equal(await from(...args), want, args.join(' '))
    const { match, near, kernel } = await why('10.96.0.10:80')
    assert.deepEqual([match?.service, match?.kind, kernel?.state], ['shop/web', 'ClusterIP', 'same'])
    assert.deepEqual(near, [{ kind: 'lost', service: 'shop/thief', to: 'shop/web' }])
  })

  await t.test('why not: what comes near', async () => {
    const kinds = async (target: string): Promise<string[]> => (await why(target)).near.map(({ kind }) => kind)
    const backend = (await cluster.pod('shop/web-1'))?.addresses.find(address => !address.includes(':'))
    for (const [target, want] of [
      ['10.96.0.10:53', ['other-protocol', 'other-ports']],
      ['shop/db', ['headless']],
      ['shop/away', ['external-name']],
      ['10.96.0.30:8888', ['other-proxy']],
      [`${backend}:8080`, ['backend', 'headless', 'backend', 'pod']],
    ] as const)
      assert.deepEqual(await kinds(target), want, target)
    const { code, stderr } = await axoneme(['services', 'why', 'shop/wep', '--sandbox', NAME])
    assert.deepEqual([code, stderr], [1, 'axoneme: there is no service shop/wep (did you mean "shop/web"?)\n'])
  })

  for (const [protocol, port, where] of [
    ['TCP', 80, 'socket'],
    ['UDP', 53, 'packet'],
  ] as const)
    await t.test(`a connection that is translated by the ${where}: its flow, its backend`, async () => {
      const sinceMs = Date.now()
      const letGo = hold(t, protocol, '10.96.0.10', port)
      const flow = await flows.next(
        'the flow',
        each => each.protocol === protocol && each.event === 'new' && each.source.pod?.name === 'client',
        sinceMs,
      )
      assert.equal(flow.destinationService?.name, 'web')
      assert.match(flow.destination.pod?.name ?? '', /^web-[12]$/)
      const backend = `${flow.destination.address}:${flow.destination.port}`
      const target = `10.96.0.10:${port}/${protocol}`
      const source = `${flow.source.address}:${flow.source.port}`
      const { kernel } = await why(target, '--from', 'shop/client', '--source', source)
      assert.deepEqual([kernel?.connection?.kind, kernel?.affinity?.backend], [where, backend])
      assert.equal(kernel?.connection?.kind !== 'none' && kernel?.connection?.backend, backend)
      const line = await outputOf('observe', '--service', 'shop/web', '--last', '50', '--sandbox', NAME)
      const { name, port: number } = { ...flow.destination.pod, port: flow.destination.port }
      const asked = protocol === 'TCP' ? 'http' : 'word'
      assert.ok(line.includes(`shop/client:${flow.source.port} -> shop/web:${asked} (shop/${name}:${number})`), line)
      await letGo()
    })

  await t.test('a client that is refused in its socket: the same, though it sent nothing', async () => {
    const sinceMs = Date.now()
    const letGo = hold(t, 'TCP', '10.96.0.20', 80)
    const drop = await flows.next('the drop', each => isDropped(each) && each.source.pod?.name === 'client', sinceMs)
    assert.deepEqual(
      [drop.dropReason, drop.destinationService?.name, drop.source.identityName, drop.packets],
      ['NO_SERVICE', 'empty', 'shop/*', [0, 0]],
    )
    const text = await outputOf('observe', '--verdict', 'DROPPED', '--sandbox', NAME)
    assert.match(
      text,
      /TCP SYN shop\/client -> shop\/empty:http \(10\.96\.0\.20:80\) .*axoneme services why 10\.96\.0\.20:80\/TCP --from shop\/client$/m,
    )
    const counters = await outputOf('bpf', 'counters', '--sandbox', NAME)
    assert.match(counters, /NO_SERVICE/)
    await letGo()
  })

  await t.test('a client that is refused by the packet: which service, why, and who tells more', async () => {
    const sinceMs = Date.now()
    const letGo = hold(t, 'UDP', '10.96.0.20', 53)
    const drop = await flows.next('the drop', each => isDropped(each) && each.source.pod?.name === 'client', sinceMs)
    assert.deepEqual([drop.dropReason, drop.destinationService?.name], ['NO_SERVICE', 'empty'])
    const text = await outputOf('observe', '--verdict', 'DROPPED', '--sandbox', NAME)
    assert.match(
      text,
      /-> shop\/empty:word \(10\.96\.0\.20:53\) .*axoneme services why 10\.96\.0\.20:53\/UDP --from shop\/client$/m,
    )
    await letGo()
  })

  await t.test('clients outside: a node port, and a cluster IP that is not for them', async () => {
    const sinceMs = Date.now()
    const connect = (target: string) =>
      axoneme(['sandbox', 'outside', '--name', NAME, '--', 'agnhost', 'connect', target, '--timeout', '1s'])
    assert.equal((await connect('172.30.0.2:30080')).code, 0)
    const isNew = (flow: Flow): boolean => flow.event === 'new' && !flow.source.pod
    const { source, destination, destinationService } = await flows.next('the flow', isNew, sinceMs)
    assert.equal(destinationService?.name, 'web')
    const from = ['--from-outside', source.address, '--source', `${source.address}:${source.port}`]
    const { kernel } = await why('172.30.0.2:30080', ...from)
    assert.equal(kernel?.connection?.kind, 'packet')
    assert.equal(kernel.connection.backend, `${destination.address}:${destination.port}`)

    assert.equal((await connect('10.96.0.10:80')).code, 4)
    const drop = await flows.next('the drop', flow => isDropped(flow) && !flow.source.pod, sinceMs)
    assert.deepEqual([drop.dropReason, drop.destinationService?.name], ['IS_CLUSTER_IP', 'web'])
  })

  await t.test('a kernel that has it otherwise', async () => {
    const { pid } = await cluster.agent.status()
    const { spec } = readDatapathObject(fs.readFileSync(new URL('../../build/pod.o', import.meta.url)))
    const folder = path.join(`/proc/${pid}/root`, nodePaths(cluster.paths, 'node1').bpf)
    const version = fs.readdirSync(folder).find(name => /^v\d+$/.test(name)) ?? ''
    using frontends = openPinnedMap<FrontendKey>(path.join(folder, version, 'frontends'), spec.maps.get('frontends'))
    const key = [...frontends.keys()].find(each => formatIp(each.address.bytes) === '10.96.0.20' && each.protocol === 6)
    assert.ok(key)
    frontends.delete(key)
    assert.equal((await why('10.96.0.20:80')).kernel?.state, 'absent')
    const text = await outputOf('services', 'why', '10.96.0.20:80', '--sandbox', NAME)
    assert.match(text, /^THE KERNEL DOES NOT HAVE IT/m)
  })

  await t.test('a service that is gone keeps its name in flows', async () => {
    const sinceMs = Date.now()
    const letGo = hold(t, 'TCP', '10.96.0.10', 80)
    await flows.next('the connection', each => each.event === 'new' && each.source.pod?.name === 'client', sinceMs)
    const web = SERVICES.slice(0, 1).map(object => JSON.stringify(object))
    await axoneme(['delete', '-f', '-', '--sandbox', NAME], web.join('\n'))
    await until('the service to be gone', async () =>
      (await cluster.agent.services()).every(({ name }) => name !== 'web'),
    )
    await letGo()
    const closed = await flows.next('the end', each => each.event === 'closed', sinceMs)
    assert.equal((closed.destinationService ?? closed.sourceService)?.name, 'web')
  })
})
