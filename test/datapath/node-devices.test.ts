// The programs on the node's devices: attached once, kept without us, exchanged under
// another process's links, taken off devices that are no longer wanted; and nothing of
// others is touched.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { type LoadedObject, loadObject, PinDirectory, parseObject, queryTcx } from '../../src/bpf/index.ts'
import { followNodeDevices } from '../../src/controllers/index.ts'
import {
  addAddress,
  addClsact,
  allFilters,
  createLink,
  deleteAddress,
  deleteLink,
  replaceFilter,
  withNamespace,
} from '../../src/net/index.ts'
import { nodeDeviceOperations, type XdpMode } from '../../src/reconcilers/index.ts'
import { createTables, type NodeDevice } from '../../src/tables/index.ts'
import { temporaryBpffs } from '../bpf/support.ts'
import { freshNamespace } from '../net/fixture.ts'
import { needsRoot } from './node.ts'

const OBJECT = parseObject(readFileSync(new URL('../../build/netdev.o', import.meta.url)))
const XDP = parseObject(readFileSync(new URL('../../build/xdp.o', import.meta.url)))
const ETH0: NodeDevice = { ifindex: 50, name: 'eth0', addresses: ['172.30.0.2'] }
const ETH1: NodeDevice = { ifindex: 51, name: 'eth1', addresses: [] }
const { signal } = new AbortController()

function fixture(t: TestContext) {
  const { namespace: node, netlink } = freshNamespace(t)
  for (const { ifindex, name } of [ETH0, ETH1])
    netlink.run(createLink({ kind: 'veth', name, index: ifindex, up: true, peer: { name: `${name}-far` } }))
  const bpffs = temporaryBpffs()
  t.after(() => bpffs[Symbol.dispose]())
  const pins = PinDirectory.open(bpffs.path, 1)
  const load = (object = OBJECT): LoadedObject => {
    const loaded = loadObject(object)
    t.after(() => loaded.close())
    return loaded
  }
  const fallbacks: string[] = []
  const operations = (object: LoadedObject, mechanism: 'tcx' | 'clsact' = 'tcx', mode?: XdpMode) =>
    nodeDeviceOperations({
      programs: { fromNetdev: object.program('from_netdev'), toNetdev: object.program('to_netdev') },
      pins,
      mechanism,
      ...(mode ? { xdp: { mode, program: load(XDP).program('xdp_netdev') } } : {}),
      node,
      onFallback: ({ name }) => fallbacks.push(name),
    })
  const attached = ({ ifindex }: NodeDevice): number[] =>
    withNamespace(node, () =>
      (['ingress', 'egress'] as const).flatMap(direction => queryTcx(ifindex, direction).map(p => p.programId)),
    )
  return { node, netlink, pins, load, operations, attached, fallbacks }
}

test('links: once, exchanged by the next process, pruned', { skip: needsRoot }, async t => {
  const { pins, load, operations, attached, netlink } = fixture(t)
  const first = load()
  const ids = ({ programs }: LoadedObject) => ['from_netdev', 'to_netdev'].map(name => programs.get(name)?.id)
  const before = operations(first)
  assert.equal((await before.update([ETH0, ETH1], signal))?.size, 0)
  assert.deepEqual([attached(ETH0), attached(ETH1)], [ids(first), ids(first)])
  await before.update([ETH0], signal)
  assert.deepEqual(attached(ETH0), ids(first), 'again is harmless')

  const second = load()
  const after = operations(second)
  await after.update([ETH0], signal)
  assert.deepEqual(attached(ETH0), ids(second), 'the links run the new program')
  await after.prune([ETH0], signal)
  assert.deepEqual([attached(ETH0), attached(ETH1)], [ids(second), []])
  netlink.run(deleteLink({ index: ETH0.ifindex }))
  assert.equal((await after.update([ETH0], signal))?.size, 0, 'a device that is gone is no failure')
  await after.delete([ETH0], signal)
  assert.deepEqual(pins.list(), [])
})

test('filters: beside those of others', { skip: needsRoot }, async t => {
  const { load, operations, netlink } = fixture(t)
  const object = load()
  const index = ETH0.ifindex
  const other = { index, direction: 'ingress', priority: 7 } as const
  netlink.run(addClsact(index), replaceFilter(other, object.program('to_netdev')))
  const priorities = () =>
    (['ingress', 'egress'] as const).map(direction =>
      netlink.list(allFilters({ index, direction })).map(filter => filter.priority),
    )
  const filters = operations(object, 'clsact')
  await filters.update([ETH0], signal)
  await filters.update([ETH0], signal)
  assert.deepEqual(priorities(), [[7, 43210], [43210]])
  await filters.prune([], signal)
  assert.deepEqual(priorities(), [[7], []])
})

test('XDP: native, generic, off', { skip: needsRoot }, async t => {
  const { load, operations, pins, fallbacks } = fixture(t)
  const object = load()
  const hooks = () => pins.list().filter(name => name.includes('xdp'))
  await operations(object, 'tcx', 'native').update([ETH0], signal)
  assert.deepEqual(hooks(), ['50_xdp_native'])
  await operations(object, 'tcx', 'generic').update([ETH0], signal)
  assert.deepEqual(hooks(), ['50_xdp_generic'])
  await operations(object).update([ETH0], signal)
  assert.deepEqual([hooks(), fallbacks], [[], []])
})

test('XDP: generic where the driver has none', { skip: needsRoot }, async t => {
  const { load, operations, pins, fallbacks, netlink } = fixture(t)
  netlink.run(createLink({ kind: 'bridge', name: 'bridge0', index: 60, up: true }))
  const device = { ifindex: 60, name: 'bridge0', addresses: [] }
  const native = operations(load(), 'tcx', 'native')
  assert.equal((await native.update([device], signal))?.size, 0)
  await native.update([device], signal)
  assert.deepEqual(fallbacks, ['bridge0'], 'tried once')
  assert.ok(pins.list().includes('60_xdp_generic'))
})

test('devices are followed as addresses and devices come and go, also after a look that failed', {
  skip: needsRoot,
}, async t => {
  const { node, netlink } = fixture(t)
  const { database, nodeDevices } = createTables()
  const problems: string[] = []
  const failures: string[] = []
  const following = followNodeDevices({
    database,
    table: nodeDevices,
    node,
    names: [],
    addresses: ['172.30.0.2'],
    onProblem: name => problems.push(name),
    onFailure: ({ message }) => failures.push(message),
  })
  t.after(() => following.close())
  assert.ok(nodeDevices.initialized)
  const names = () => nodeDevices.all().map(({ name }) => name)
  const until = async (wanted: string) => {
    const watcher = nodeDevices.watch()
    while (names().join() !== wanted) {
      await watcher.wait()
      watcher.take()
    }
    watcher.close()
  }
  const address = { address: '172.30.0.2', prefixLength: 24 }
  const keepAlive = setInterval(() => {}, 1000)
  t.mock.method(database, 'write', () => assert.fail('not now'), { times: 1 })
  netlink.run(addAddress({ index: ETH0.ifindex, ...address }))
  await until('eth0')
  netlink.run(deleteAddress({ index: ETH0.ifindex, ...address }), addAddress({ index: ETH1.ifindex, ...address }))
  await until('eth1')
  netlink.run(deleteLink({ index: ETH1.ifindex }))
  await until('')
  clearInterval(keepAlive)
  assert.deepEqual(problems, [])
  assert.deepEqual(failures, ['not now'])
})
