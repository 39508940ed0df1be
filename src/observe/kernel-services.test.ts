// What the maps hold of a frontend against what is wanted, on maps in memory with the
// layouts of the compiled datapath.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ip } from '../ip/index.ts'
import { type Frontend, MemoryDatapath, orderedFlowKey, type Tuple, toAddress } from '../maps/index.ts'
import type { FoundFrontend, KernelView, ServiceClient } from '../services/index.ts'
import {
  backend,
  clusterIp,
  declaredService,
  knownPod,
  knownService,
  resolvedPort,
} from '../services/testing/worlds.ts'
import { type AskedFrontend, kernelView } from './kernel-services.ts'

const object = readFileSync(new URL('../../build/pod.o', import.meta.url))
const SECOND_NS = 1_000_000_000n
const NOW_NS = 1000n * SECOND_NS

const asked = { address: '10.96.0.10', port: 80, protocol: 6 }
const client: ServiceClient = { kind: 'pod', pod: knownPod('client', '10.0.0.9') }
const port = resolvedPort({
  frontends: [clusterIp('10.96.0.10')],
  affinitySeconds: 60,
  backends: [
    backend('10.0.0.3', 'web-1'),
    backend('10.0.0.4', 'web-2'),
    backend('10.0.0.5', 'web-3', { ready: false, notForCluster: 'not ready', notForOutside: 'not ready' }),
  ],
})
const found: FoundFrontend = {
  service: knownService(declaredService('web'), [port]),
  port,
  frontend: clusterIp('10.96.0.10'),
}

const tuple = (source: string, sourcePort: number, destination: string, destinationPort: number): Tuple => ({
  source: toAddress(ip(source)),
  destination: toAddress(ip(destination)),
  source_port: sourcePort,
  destination_port: destinationPort,
  protocol: 6,
})

/** A kernel with the frontend and its two backends, ids 3 and 4, in slots 10 and 11. */
function kernel(more: Partial<Frontend> = {}) {
  const datapath = new MemoryDatapath(object)
  const { maps } = datapath
  for (const [id, address] of [
    [3, '10.0.0.3'],
    [4, '10.0.0.4'],
  ] as const)
    maps.backends.set(id, { address: toAddress(ip(address)), port: 8080, protocol: 6, service: 1 })
  const page = datapath.createSlotPage()
  page.set(10, 3)
  page.set(11, 4)
  page.set(12, 77)
  maps.slot_pages.set(0, page)
  for (const id of [3, 4]) maps.affinity_backends.set({ service: 7, backend: id }, 3)
  const range = { first: 10, count: 2 }
  maps.frontends.set(
    { address: toAddress(ip(asked.address)), port: asked.port, protocol: asked.protocol },
    { backends: [range, range], service: 7, affinity_seconds: 60, without: Uint8Array.of(0, 0), flags: 0, ...more },
  )
  const view = (question: Partial<AskedFrontend> = {}): KernelView | undefined =>
    kernelView(datapath, { asked, found, number: 7, nowNs: NOW_NS, nodeCookie: 0x2an, ...question })
  return { maps, view, datapath }
}

test('a kernel that has what is wanted', () => {
  const { view } = kernel()
  assert.deepEqual(view(), {
    state: 'same',
    differences: [],
    content: {
      service: 7,
      algorithm: 'random',
      affinitySeconds: 60,
      isForOutside: false,
      isForNodeOnly: false,
      hasSourceRanges: false,
      isDirectReturn: false,
      without: { cluster: 'reject', outside: 'reject' },
      backends: {
        cluster: [
          { id: 3, address: '10.0.0.3:8080', slots: 1 },
          { id: 4, address: '10.0.0.4:8080', slots: 1 },
        ],
        outside: [
          { id: 3, address: '10.0.0.3:8080', slots: 1 },
          { id: 4, address: '10.0.0.4:8080', slots: 1 },
        ],
      },
    },
  })
})

test('everything that a kernel has otherwise', () => {
  const { DROP } = new MemoryDatapath(object).schema.withoutBackend.number
  const { HASHED, OUTSIDE } = new MemoryDatapath(object).schema.frontendFlags.number
  const { view } = kernel({
    service: 8,
    affinity_seconds: 0,
    flags: HASHED | OUTSIDE,
    backends: [
      { first: 11, count: 2 },
      { first: 0, count: 0 },
    ],
    without: Uint8Array.of(DROP, DROP),
  })
  const differences = (view()?.differences ?? []).map(({ what, wanted, held }) => `${what}: ${wanted}, ${held}`)
  assert.deepEqual(differences, [
    'number: 7, 8',
    'algorithm: random, maglev',
    'affinity seconds: 60, 0',
    'for clients outside: no, yes',
    'backends for clients of the cluster: 10.0.0.3:8080, not there',
    'backends for clients of the cluster: not there, id 77, of no backend',
  ])
})

test('source ranges and backends for affinity that are missing in their maps', () => {
  const { SOURCE_RANGES, OUTSIDE } = new MemoryDatapath(object).schema.frontendFlags.number
  const { maps, view } = kernel({ flags: SOURCE_RANGES | OUTSIDE })
  const frontend = { ...clusterIp('10.96.0.10'), kind: 'LoadBalancer', reach: 'everybody' } as const
  const guarded = { ...port, sourceRanges: ['192.0.2.0/24', '198.51.100.0/24', '2001:db8::/32'], frontends: [frontend] }
  maps.source_ranges.set({ prefix_length: 32 + 96 + 24, service: 7, address: ip('192.0.2.0').bytes }, 1)
  maps.affinity_backends.set({ service: 7, backend: 4 }, 1)
  const differences = view({ found: { ...found, port: guarded, frontend } })?.differences ?? []
  assert.deepEqual(
    differences.map(({ what, wanted, held }) => `${what}: ${wanted}, ${held}`),
    ['source ranges: 198.51.100.0/24, not there', 'affinity of clients outside: 10.0.0.4:8080, not there'],
  )
})

test('nothing where nothing is wanted, a frontend that should not be there, one that is missing', () => {
  const { view } = kernel()
  const elsewhere = { ...asked, port: 81 }
  assert.equal(kernelView(kernel().datapath, { asked: elsewhere, nowNs: 0n }), undefined)
  assert.deepEqual(view({ asked: elsewhere }), { state: 'absent', differences: [] })
  const surplus = kernelView(kernel().datapath, { asked, nowNs: 0n })
  assert.deepEqual(surplus?.differences, [{ what: 'frontend', wanted: 'none', held: 'one of service port number 7' }])
})

test('the backend that a client had last', async t => {
  const cases = [
    { name: 'lately, and it may still be had', usedSecondsAgo: 5, kinds: 1, isInForce: true },
    { name: 'long ago', usedSecondsAgo: 61, kinds: 1, isInForce: false },
    { name: 'not given to new clients any more', usedSecondsAgo: 5, kinds: 0, isInForce: false },
    { name: 'given to clients outside alone', usedSecondsAgo: 5, kinds: 2, isInForce: false },
  ]
  for (const { name, usedSecondsAgo, kinds, isInForce } of cases)
    await t.test(name, () => {
      const { maps, view } = kernel()
      const used_ns = NOW_NS - BigInt(usedSecondsAgo) * SECOND_NS
      maps.affinities.set({ client: toAddress(ip('10.0.0.9')), service: 7 }, { used_ns, backend: 4 })
      maps.affinity_backends.set({ service: 7, backend: 4 }, kinds)
      const want = { client: '10.0.0.9', backend: '10.0.0.4:8080', usedSecondsAgo, isInForce }
      assert.deepEqual(view({ client })?.affinity, want)
      assert.equal(view({ client: { kind: 'outside', address: '192.0.2.1' } })?.affinity, undefined)
      assert.equal(view()?.affinity, undefined)
    })
})

test('processes of the node are remembered by its namespace', () => {
  const { maps, view } = kernel()
  maps.affinities.set({ client: toAddress(ip('100::2a00:0:0:0')), service: 7 }, { used_ns: NOW_NS, backend: 3 })
  assert.equal(view({ client: { kind: 'host' } })?.affinity?.backend, '10.0.0.3:8080')
  assert.equal(view({ client })?.affinity, undefined)
})

test('the translation of an open connection: by the packet, in a socket, none', () => {
  const { maps, view } = kernel()
  const source = { address: '10.0.0.9', port: 40_000 }
  assert.deepEqual(view({ source })?.connection, { kind: 'none', source: '10.0.0.9:40000' })

  const { key } = orderedFlowKey(tuple('10.0.0.9', 40_000, '10.0.0.4', 8080))
  maps.flows.set(key, { ...emptyFlow, service: 7, expires_ns: NOW_NS + 30n * SECOND_NS })
  assert.deepEqual(view({ source })?.connection, {
    kind: 'socket',
    source: '10.0.0.9:40000',
    sourceAfter: '10.0.0.9:40000',
    backend: '10.0.0.4:8080',
    isKnown: true,
    secondsLeft: 30,
  })

  maps.translations.set(tuple('10.0.0.9', 40_000, '10.96.0.10', 80), {
    ...emptyTranslation,
    target: tuple('172.30.0.2', 50_000, '10.1.0.3', 8080),
    backend: 99,
    expires_ns: NOW_NS - 1n,
  })
  assert.deepEqual(view({ source })?.connection, {
    kind: 'packet',
    source: '10.0.0.9:40000',
    sourceAfter: '172.30.0.2:50000',
    backend: '10.1.0.3:8080',
    isKnown: false,
    secondsLeft: 0,
  })
})

const { flows, translations } = new MemoryDatapath(object).maps
const zeroOf = <Key, Value>(map: {
  setRaw(key: Uint8Array, value: Uint8Array): void
  entries(): Iterable<[Key, Value]>
  readonly keySize: number
  readonly valueSize: number
}): Value => {
  map.setRaw(new Uint8Array(map.keySize), new Uint8Array(map.valueSize))
  const [element] = [...map.entries()]
  assert.ok(element)
  return element[1]
}
const emptyFlow = zeroOf(flows)
const emptyTranslation = zeroOf(translations)
