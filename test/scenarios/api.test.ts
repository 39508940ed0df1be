// The agent's API on a socket, over a simulated node: every question that a client can
// ask, and what it answers to nonsense.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { agentRoutes } from '../../src/agent/routes.ts'
import { AgentClient, serveApi } from '../../src/api/index.ts'
import type { Datapath, FlowEvent, KernelDatapathMaps } from '../../src/maps/index.ts'
import {
  DEFAULT_REDACTION,
  describeFlow,
  describeRequest,
  type Flow,
  FlowObserver,
  RequestObserver,
  ServiceNames,
} from '../../src/observe/index.ts'
import { l7Event } from '../../src/observe/testing/l7-events.ts'
import type { L7Event } from '../../src/tables/index.ts'
import { fileOf, pod, policy } from './manifests.ts'
import { NODE, SimulatedNode } from './simulated-node.ts'

/** A ring buffer that gives what the test puts in. */
class FakeRing {
  readonly records: Uint8Array[] = []

  drain(visit: (view: DataView, offset: number, length: number) => void): number {
    const all = this.records.splice(0)
    for (const { buffer, byteOffset, byteLength } of all)
      visit(new DataView(buffer, byteOffset, byteLength), 0, byteLength)
    return all.length
  }

  onReadable(): void {}
  close(): void {}
}

async function started(t: TestContext) {
  const node = await SimulatedNode.start()
  const { schema, maps, spec } = node.datapath
  const ring = new FakeRing()
  const observer = new FlowObserver(ring, schema.flowEvent)
  const state: { readyAfterMs?: number } = {}
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-agent-'))
  const socket = path.join(folder, 'agent.sock')
  const info = { id: 7, tag: 'abc', translatedSize: 100, jitedSize: 50 }
  const programs = { from_pod: { name: 'from_pod', info: () => info } } as unknown as Datapath['programs']
  const { tables, endpoints, names, reconcilers, policyStatus, serviceStatus, servicesInKernel } = node.engine
  const serviceNames = new ServiceNames(tables.serviceEntries)
  const describe = (event: FlowEvent): Flow =>
    describeFlow(event, { node: NODE.name, tables, schema, enforcement: 'default', bootMicros: () => 0, serviceNames })
  const requests = new RequestObserver()
  const describeEvent = (event: L7Event): Flow =>
    describeRequest(event, { node: NODE.name, tables, redaction: DEFAULT_REDACTION, serviceNames })
  const server = await serveApi(
    socket,
    agentRoutes({
      node: NODE.name,
      nodeAddresses: ['172.30.0.2'],
      version: '1.2.3',
      startedAtMs: 0,
      tables,
      datapath: { schema, maps: maps as unknown as KernelDatapathMaps, programs },
      further: [],
      endpoints,
      names,
      reconcilers,
      policyStatus,
      serviceStatus,
      services: { node: NODE, tables, kernel: servicesInKernel, datapath: node.datapath, sockets: true },
      attempted: signal => node.engine.attempted(signal),
      readyAfterMs: () => state.readyAfterMs,
      policyEnforcement: 'default',
      sight: {
        packets: observer,
        describePacket: describe,
        requests,
        describeRequest: describeEvent,
        complete: flow => flow,
      },
    }),
  )
  t.after(async () => {
    await server.close()
    await node.close()
    fs.rmSync(folder, { recursive: true })
  })
  /** An event as the kernel writes it, from one address to another. */
  const happen = (values: Partial<FlowEvent>): void => {
    const view = new DataView(new ArrayBuffer(schema.flowEvent.size))
    const zero = schema.flowEvent.codec.decode(view, 0)
    schema.flowEvent.codec.encode({ ...zero, family: 4, protocol: 6, ...values }, view, 0)
    ring.records.push(new Uint8Array(view.buffer))
  }
  return { node, client: new AgentClient(socket), socket, state, happen, requests, spec }
}

async function ask(socket: string, method: string, url: string, body?: unknown) {
  const request = http.request({ socketPath: socket, method, path: url })
  request.end(body === undefined ? undefined : JSON.stringify(body))
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  const answer = JSON.parse((await response.toArray()).join('')) as { error?: { code: string; message: string } }
  return { status: response.statusCode, ...answer.error }
}

test('status: what the agent holds, what is wrong, and whether it is ready', async t => {
  const { node, client, state } = await started(t)
  assert.equal((await client.status()).ready, false)
  node.declare({ 'web.yaml': fileOf(pod('web')), 'bad.yaml': 'kind: [' })
  await node.add({ namespace: 'default', name: 'web' }, 'c1')
  state.readyAfterMs = 12
  const { counts, reconcilers, problems, ready, readyAfterMs, node: name, version } = await client.status()
  assert.deepEqual(
    { name, version, ready, readyAfterMs },
    { name: 'node1', version: '1.2.3', ready: true, readyAfterMs: 12 },
  )
  assert.deepEqual(counts, {
    pods: 1,
    endpoints: 1,
    policies: 0,
    identities: 4,
    addresses: 6,
    names: 0,
    'policy-maps': 1,
  })
  assert.deepEqual(
    reconcilers.map(({ name: each, done, pending, failed }) => [each, done, pending, failed.length]),
    [
      ['policy-maps', 1, 0, 0],
      ['addresses', 6, 0, 0],
      ['endpoint-entries', 2, 0, 0],
      ['pod-namespaces', 1, 0, 0],
      ['endpoint-devices', 1, 0, 0],
      ['service-entries', 0, 0, 0],
      ['rule-sets', 0, 0, 0],
    ],
  )
  assert.deepEqual(
    problems.map(({ severity }) => severity),
    ['error'],
  )
  assert.match(problems[0]?.text ?? '', /^bad\.yaml:1:\d+: /)
})

const service = (name: string, spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { ports: [{ port: 80 }], ...spec },
})

test('services: how they stand, one in full, and the words for one that is not there', async t => {
  const { node, client, socket } = await started(t)
  node.declare({
    'web.yaml': fileOf(service('web', { clusterIP: '10.96.0.10' }), service('db', { clusterIP: 'None' })),
    'bad.yaml': fileOf(service('bad', { ports: [{ port: 0 }] })),
  })
  await client.settled()
  const rows = await client.services()
  assert.deepEqual(
    rows.map(({ namespace, name, state, origin }) => [namespace, name, state === 'refused', origin.file]),
    [
      ['default', 'bad', true, 'bad.yaml'],
      ['default', 'db', false, 'web.yaml'],
      ['default', 'web', false, 'web.yaml'],
    ],
  )
  const detail = await client.service('default', 'web')
  assert.deepEqual([detail.clusterIps, detail.declared?.internalTrafficPolicy], [['10.96.0.10'], 'Cluster'])
  const missing = await ask(socket, 'GET', '/v1/services/default/other')
  assert.deepEqual(missing, { status: 404, code: 'NO_SERVICE', message: 'there is no service default/other' })
  assert.equal((await client.status()).services.services, 2)
})

test('why: what an address is, and what cannot be asked', async t => {
  const { node, client, socket } = await started(t)
  node.declare({ 'db.yaml': fileOf(service('db', { clusterIP: 'None' }), pod('client')) })
  await client.settled()
  const { near } = await client.explainService({ target: 'default/db', from: 'client' })
  assert.deepEqual(near, [{ kind: 'headless', service: 'default/db' }])
  const { match, kernel } = await client.explainService({ target: '10.96.0.99:80', source: '10.244.0.2:1' })
  assert.deepEqual([match, kernel], [undefined, undefined])
  for (const [query, message] of [
    ['', /no IP:PORT/],
    ['target=10.96.0.10:80&from=nobody', /^there is no pod default\/nobody/],
    ['target=10.96.0.10:80&source=x', /^"x" is no IP:PORT/],
  ] as const) {
    const answer = await ask(socket, 'GET', `/v1/services/why?${query}`)
    assert.deepEqual([answer.status, answer.code], [400, 'BAD_QUESTION'])
    assert.match(answer.message ?? '', message)
  }
})

test('settled: answered when what was declared before is in the maps', async t => {
  const { node, client } = await started(t)
  node.declare({ 'web.yaml': fileOf(pod('web')) })
  await node.add({ namespace: 'default', name: 'web' }, 'c1')
  node.declare({ 'web.yaml': fileOf(pod('web'), policy('deny', {})) })
  await client.settled()
  const [map] = node.datapath.maps.policy_maps.keys()
  assert.equal(node.datapath.policyMap(map ?? 0)?.count(), 1)
})

test('tables: all of them, and one as text', async t => {
  const { node, client, socket } = await started(t)
  node.declare({ 'web.yaml': fileOf(pod('web', { labels: { app: 'web' } })) })
  await node.settle()
  const tables = await client.tables()
  assert.deepEqual(
    tables.find(({ name }) => name === 'pods'),
    { name: 'pods', rows: 1, initialized: true },
  )
  const { columns, rows } = await client.table('pods')
  assert.equal(rows[0]?.[columns.indexOf('LABELS')], 'app=web')
  const { status, code, message } = await ask(socket, 'GET', '/v1/tables/nothing')
  assert.deepEqual([status, code], [404, 'NO_TABLE'])
  assert.match(message ?? '', /^there is no table nothing; there are addresses, /)
})

test('endpoints: made and deleted; a request that makes no sense says which field', async t => {
  const { node, client, socket } = await started(t)
  node.declare({ 'web.yaml': fileOf(pod('web')) })
  const request = {
    containerId: 'a/b',
    netns: '/proc/self/ns/net',
    interface: 'eth0',
    pod: { namespace: 'default', name: 'web' },
  }
  assert.deepEqual((await client.addEndpoint(request)).addresses, ['10.244.0.2', 'fd00:10:244::2'])
  assert.equal(node.tables.endpoints.size, 1)
  await client.deleteEndpoint('a/b')
  await client.deleteEndpoint('a/b')
  assert.equal(node.tables.endpoints.size, 0)
  const faults: readonly [body: unknown, field: RegExp][] = [
    [undefined, /^body: /],
    [{ ...request, containerId: '' }, /^containerId: /],
    [{ ...request, netns: 'relative' }, /^netns: /],
    [{ ...request, interface: 'much-too-long-a-name' }, /^interface: /],
    [{ ...request, interface: '../eth0' }, /^interface: /],
    [{ ...request, interface: '..' }, /^interface: /],
    [{ ...request, pod: { name: 'web' } }, /^pod\.namespace: /],
    [{ ...request, surplus: 1 }, /surplus/],
  ]
  for (const [body, field] of faults) {
    const { status, code, message } = await ask(socket, 'POST', '/v1/endpoints', body)
    assert.deepEqual([status, code], [400, 'BAD_REQUEST'], JSON.stringify(body))
    assert.match(message ?? '', field)
  }
  assert.equal((await ask(socket, 'POST', '/v1/endpoints', { ...request, netns: '/dev/null' })).code, 'NO_NAMESPACE')
})

test('maps, programs and counters', async t => {
  const { node, client } = await started(t)
  node.declare({ 'web.yaml': fileOf(pod('web')) })
  await node.add({ namespace: 'default', name: 'web' }, 'c1')
  const maps = new Map((await client.maps()).map(map => [map.name, map]))
  assert.deepEqual(
    [maps.get('endpoints')?.entries, maps.get('ipcache')?.entries, maps.get('policy_maps')?.entries],
    [2, 6, 1],
  )
  assert.equal(maps.get('runtime')?.entries, null, 'an array is always full')
  assert.deepEqual(await client.programs(), [
    { name: 'from_pod', id: 7, tag: 'abc', translatedBytes: 100, jitedBytes: 50, attached: 1 },
  ])
  assert.deepEqual(await client.drops(), [])
})

test('flows: the newest, those that are wanted, and new ones as they come', async t => {
  const { client, happen, socket } = await started(t)
  const flowsOf = async (query: Readonly<Record<string, string>>): Promise<number[]> => {
    const ports: number[] = []
    for await (const { destination } of client.flows<Flow>(query)) ports.push(destination.port ?? 0)
    return ports
  }
  for (let port = 1; port <= 30; port++) happen({ destination_port: port, verdict: port % 10 === 0 ? 2 : 1 })
  assert.deepEqual(await flowsOf({ last: '3' }), [28, 29, 30])
  assert.equal((await flowsOf({})).length, 20)
  assert.deepEqual(await flowsOf({ last: '0' }), [])
  assert.deepEqual(await flowsOf({ last: '2', verdict: 'DROPPED' }), [20, 30])
  for (const last of ['many', '-1', '1.5', ''])
    assert.equal((await ask(socket, 'GET', `/v1/flows?last=${last}`)).code, 'BAD_REQUEST', last)

  const stop = new AbortController()
  const following = client.flows<Flow>({ follow: '1', last: '1' }, stop.signal)
  assert.equal((await following.next()).value?.destination.port, 30)
  const next = following.next()
  happen({ destination_port: 31 })
  await client.flows({ last: '1' }).next() // reads the ring, as the agent does again and again
  assert.equal((await next).value?.destination.port, 31)
  stop.abort()
  assert.equal((await following.next()).done, true)
})

test('flows: requests stand among packets in the order of their times, and are filtered like them', async t => {
  const { client, happen, requests, socket } = await started(t)
  const ofSecond = (second: number) => ({ timeMicros: second * 1e6, latencyNs: 1000 })
  happen({ time_ns: 1_000_000_000n, destination_port: 1 })
  requests.take(l7Event(ofSecond(2)))
  happen({ time_ns: 3_000_000_000n, destination_port: 3 })
  requests.take({ missed: 7 })
  requests.take(l7Event({ ...ofSecond(4), verdict: 'DROPPED' }))
  const typesOf = async (query: Readonly<Record<string, string>>): Promise<string[]> => {
    const types: string[] = []
    for await (const { type, time } of client.flows<Flow>(query)) types.push(`${type} ${time.slice(17, 19)}`)
    return types
  }
  assert.deepEqual(await typesOf({}), ['L3_L4 01', 'L7 02', 'L3_L4 03', 'L7 04'])
  assert.deepEqual(await typesOf({ last: '2', type: 'l7', 'http-method': 'get' }), ['L7 02', 'L7 04'])
  assert.deepEqual(await typesOf({ verdict: 'DROPPED', protocol: 'http' }), ['L7 04'])
  assert.equal((await ask(socket, 'GET', '/v1/flows?http-path=(')).code, 'BAD_FILTER')
  assert.deepEqual((await client.status()).requests, {
    received: 2,
    lost: 7,
    counts: [
      { protocol: 'http', verdict: 'DROPPED', count: 1 },
      { protocol: 'http', verdict: 'FORWARDED', count: 1 },
    ],
  })

  const stop = new AbortController()
  const following = client.flows<Flow>({ follow: '1', last: '1' }, stop.signal)
  assert.equal((await following.next()).value?.type, 'L7')
  const next = following.next()
  requests.take(l7Event(ofSecond(5)))
  assert.equal((await next).value?.time.slice(17, 19), '05')
  stop.abort()
  assert.equal((await following.next()).done, true)
})
