// From declared services to rows: only what a change concerns is looked at again, what is
// claimed twice belongs to one, and nothing is written before everybody has delivered.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { context, service as declared, slice as declaredSlice } from '../services/testing/index.ts'
import { createTables, type EndpointSlice, type Service } from '../tables/index.ts'
import { endpointRow, podRow } from '../tables/testing/rows.ts'
import { volatileMemory } from './memory.ts'
import { ServiceController } from './services.ts'

const origin = { file: 'services.yaml', line: 7 }

const service = (name: string, clusterIp: string, more: Partial<Service> = {}): Service => ({
  ...declared({ name, clusterIps: [clusterIp], ipFamilies: [4] }),
  origin,
  ...more,
})

const slice = (owner: string, ...addresses: readonly string[]): EndpointSlice => {
  const endpoints = addresses.map(address => ({ addresses: [address], ready: true, serving: true, terminating: false }))
  return { ...declaredSlice({ name: `${owner}-1`, service: owner, endpoints }), origin }
}

const { zone: _zone, ...NODE } = context({ nodeAddresses: ['172.30.0.2'], nodePortAddresses: ['172.30.0.2'] })

function started() {
  const tables = createTables()
  const controller = new ServiceController({
    tables,
    node: NODE,
    inherited: () => ({ frontends: [], backends: [] }),
    memory: volatileMemory(),
  })
  const { services, endpointSlices, pods, endpoints, nodes } = tables
  const marks = [services, endpointSlices, pods, endpoints, nodes].map(table => table.registerInitializer('test'))
  const stop = new AbortController()
  const running = controller.run(stop.signal)
  const put = async (...rows: readonly (Service | EndpointSlice)[]): Promise<void> => {
    tables.database.write(tx => {
      for (const row of rows)
        if ('endpoints' in row) tx.put(endpointSlices, row)
        else tx.put(services, row)
    })
    if (services.initialized) await controller.caughtUp()
  }
  return {
    tables,
    controller,
    marks,
    put,
    deliver: async () => {
      for (const mark of marks) mark()
      await controller.caughtUp()
    },
    frontends: (key: string) =>
      tables.serviceEntries.get(key)?.ports.flatMap(({ frontends }) => frontends.map(({ address }) => address)),
    backends: (key: string) =>
      tables.serviceEntries.get(key)?.ports.flatMap(({ backends }) => backends.map(({ address }) => address)),
    problems: () => tables.problems.all().map(({ object, message, line }) => `${object} ${line} ${message}`),
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}

test('nothing is written before every source has delivered', async () => {
  await using node = started()
  await node.put(service('web', '10.96.0.1'), slice('web', '10.0.0.1'))
  for (const mark of node.marks.slice(1)) mark()
  for (let turn = 0; turn < 5; turn++) await eventLoopTurn()
  assert.equal(node.tables.serviceEntries.size, 0)
  assert.equal(node.tables.serviceEntries.initialized, false)
  await node.deliver()
  assert.deepEqual(node.backends('shop/web'), ['10.0.0.1'])
  assert.equal(node.tables.serviceEntries.initialized, true)
})

test('a slice concerns its service, whichever comes first, and both when it changes hands', async () => {
  await using node = started()
  await node.deliver()
  await node.put(slice('web', '10.0.0.1'))
  assert.equal(node.tables.serviceEntries.size, 0)
  await node.put(service('web', '10.96.0.1'), service('api', '10.96.0.2'))
  assert.deepEqual([node.backends('shop/web'), node.backends('shop/api')], [['10.0.0.1'], []])
  const before = node.tables.serviceEntries.revisionOf('shop/api')
  await node.put(slice('web', '10.0.0.1', '10.0.0.2'))
  assert.deepEqual(node.backends('shop/web'), ['10.0.0.1', '10.0.0.2'])
  assert.equal(node.tables.serviceEntries.revisionOf('shop/api'), before)
  await node.put({ ...slice('web', '10.0.0.2'), service: 'api' })
  assert.deepEqual([node.backends('shop/web'), node.backends('shop/api')], [[], ['10.0.0.2']])
})

test('a row that says the same as before is not written', async () => {
  await using node = started()
  await node.deliver()
  await node.put(service('web', '10.96.0.1'), slice('web', '10.0.0.1'))
  const before = node.tables.serviceEntries.revision
  await node.put(service('web', '10.96.0.1', { labels: { app: 'web' } }), {
    ...slice('web', '10.0.0.1'),
    name: 'other',
  })
  assert.equal(node.tables.serviceEntries.revision, before)
})

test('of two with one address the older has it; the other is told until it is free', async () => {
  await using node = started()
  await node.deliver()
  const at = (createdAt: string) => ({ externalIps: ['198.51.100.1'], createdAt })
  await node.put(service('young', '10.96.0.1', at('2026-01-02T00:00:00Z')))
  assert.deepEqual(node.frontends('shop/young'), ['10.96.0.1', '198.51.100.1'])
  await node.put(service('old', '10.96.0.2', at('2026-01-01T00:00:00Z')))
  assert.deepEqual(node.frontends('shop/young'), ['10.96.0.1'])
  assert.deepEqual(node.frontends('shop/old'), ['10.96.0.2', '198.51.100.1'])
  assert.deepEqual(node.problems(), [
    'Service shop/young 7 spec.externalIPs: 198.51.100.1:80/TCP belongs to shop/old already; this service is not reached there',
  ])
  // The same port of another protocol is another one.
  await node.put(
    service('old', '10.96.0.2', {
      ...at('2026-01-01T00:00:00Z'),
      ports: [{ name: '', protocol: 'UDP', port: 80, targetPort: 80 }],
    }),
  )
  assert.deepEqual(node.frontends('shop/young'), ['10.96.0.1', '198.51.100.1'])
  assert.deepEqual(node.problems(), [])
})

test('host ports of a pod of this node come and go with its interface, and are claims as others', async () => {
  await using node = started()
  await node.deliver()
  const { tables } = node
  const pod = podRow('proxy', { hostPorts: [{ hostPort: 30080, protocol: 'TCP', containerPort: 8080 }] })
  const nodePort = {
    type: 'NodePort',
    ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 80, nodePort: 30080 }],
  } as const
  await node.put(service('web', '10.96.0.1', { ...nodePort, createdAt: '2026-01-01T00:00:00Z' }))
  tables.database.write(tx => tx.put(tables.pods, pod))
  await node.controller.caughtUp()
  assert.equal(tables.serviceEntries.size, 1)
  tables.database.write(tx => tx.put(tables.endpoints, endpointRow(1, 'proxy', { addresses: ['10.244.0.2'] })))
  await node.controller.caughtUp()
  assert.deepEqual(node.backends('shop/proxy:host-ports'), ['10.244.0.2'])
  assert.deepEqual(node.frontends('shop/proxy:host-ports'), [])
  assert.match(
    node.problems().join(),
    /^Pod shop\/proxy 0 spec\.containers: 172\.30\.0\.2:30080\/TCP belongs to shop\/web /,
  )
  tables.database.write(tx => tx.delete(tables.services, 'shop/web'))
  await node.controller.caughtUp()
  assert.deepEqual(node.frontends('shop/proxy:host-ports'), ['172.30.0.2', '127.0.0.1'])
  tables.database.write(tx => tx.delete(tables.endpoints, 'c1'))
  await node.controller.caughtUp()
  assert.deepEqual([tables.serviceEntries.size, node.problems()], [0, []])
})

test('the zone of the node is that of its Node object', async () => {
  await using node = started()
  await node.deliver()
  const { tables } = node
  const hinted = (zone: string, address: string) => ({
    addresses: [address],
    ready: true,
    serving: true,
    terminating: false,
    forZones: [zone],
  })
  const endpoints = [hinted('a', '10.0.0.1'), hinted('b', '10.0.0.2')]
  await node.put(service('web', '10.96.0.1'), { ...slice('web'), endpoints })
  const reasons = () => tables.serviceEntries.get('shop/web')?.ports[0]?.backends.map(one => one.notForCluster)
  assert.deepEqual(reasons(), [undefined, undefined])
  tables.database.write(tx => tx.put(tables.nodes, { name: 'node1', addresses: [], zone: 'b', origin }))
  await node.controller.caughtUp()
  assert.deepEqual(reasons(), ['meant for another zone', undefined])
})

test('the health of a service with a health check is told, and goes with the check', async () => {
  await using node = started()
  await node.deliver()
  const local = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 30500 } as const
  const [endpoint] = slice('web', '10.0.0.1').endpoints
  await node.put(service('web', '10.96.0.1', local), {
    ...slice('web'),
    endpoints: [{ ...(endpoint ?? assert.fail()), node: 'node1' }],
  })
  const { serviceHealth } = node.tables
  assert.deepEqual(serviceHealth.all(), [{ namespace: 'shop', name: 'web', port: 30500, localBackends: 1 }])
  await node.put(service('web', '10.96.0.1'))
  assert.equal(serviceHealth.size, 0)
})

test('a service with 1,000 ports is one row, and goes as one', async () => {
  await using node = started()
  await node.deliver()
  const ports = Array.from({ length: 1000 }, (_, i) => ({ name: `p${i}`, protocol: 'TCP', port: i + 1 }) as const)
  const declared = ports.map(port => ({ ...port, targetPort: port.port }))
  await node.put(service('web', '10.96.0.1', { ports: declared }), { ...slice('web', '10.0.0.1'), ports })
  assert.equal(node.frontends('shop/web')?.length, 1000)
  assert.equal(new Set(node.tables.serviceEntries.get('shop/web')?.ports.map(({ number }) => number)).size, 1000)
  node.tables.database.write(tx => tx.delete(node.tables.services, 'shop/web'))
  await node.controller.caughtUp()
  assert.equal(node.tables.serviceEntries.size, 0)
})

test('others get their turn during the first pass, and nothing is complete before its end', async () => {
  await using node = started()
  const names = Array.from({ length: 3000 }, (_, i) => `web-${i}`)
  // The last one is older than the first, and has the address that both claim.
  const rows = names.map((name, i) =>
    service(name, `10.96.${i >> 8}.${i & 255}`, i === 2999 ? { createdAt: '2020-01-01T00:00:00Z' } : {}),
  )
  await node.put(...rows, service('web-0', '10.96.11.183'), ...names.map(name => slice(name, '10.0.0.1', '10.0.0.2')))
  let turns = 0
  const { serviceEntries } = node.tables
  const turn = () => {
    if (serviceEntries.initialized) return
    turns++
    setImmediate(turn)
  }
  turn()
  await node.deliver()
  assert.ok(turns > 2, `${turns} turns for others`)
  assert.deepEqual([serviceEntries.initialized, serviceEntries.size], [true, 3000])
  assert.deepEqual([node.frontends('shop/web-0'), node.frontends('shop/web-2999')?.length], [[], 1])
})
