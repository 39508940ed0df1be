// Which endpoints have entries in the kernel, and with whose identity: pods that are
// gone from the API while their containers end, addresses that somebody else has.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalIdentityAllocator, RESERVED } from '../labels/index.ts'
import { PolicyRepository } from '../policy/index.ts'
import { createTables, type Endpoint, type Pod } from '../tables/index.ts'
import { volatileMemory } from './memory.ts'
import { PolicyController } from './policies.ts'

const { signal } = new AbortController()
const origin = { file: '', line: 0 }
const pod = (name: string, app: string): Pod => ({
  namespace: 'shop',
  name,
  labels: { app },
  serviceAccount: 'default',
  hostNetwork: false,
  addresses: [],
  ports: [],
  origin,
})
const endpoint = (id: number, podName: string, address: string): Endpoint => ({
  id,
  containerId: `container${id}`,
  podNamespace: 'shop',
  podName,
  networkNamespace: '/run/netns/x',
  networkNamespaceInode: 1,
  interface: 'eth0',
  hostInterface: `axo${id}`,
  ifindex: id,
  mac: '0a:00:00:00:00:01',
  addresses: [address],
})

function started() {
  const tables = createTables()
  const controller = new PolicyController({
    tables,
    repository: new PolicyRepository(),
    allocator: new LocalIdentityAllocator({ now: () => 0 }),
    memory: volatileMemory(),
    ownNode: { name: 'node1', addresses: ['10.0.0.1'] },
  })
  const identityOf = (address: string) => tables.endpointEntries.get(address)?.identity
  return { tables, controller, identityOf }
}

test('a pod that is gone from the API keeps its network until its containers have ended', async () => {
  const { tables, controller, identityOf } = started()
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web', 'web'))
    tx.put(tables.endpoints, endpoint(1, 'web', '10.0.0.7'))
  })
  await controller.step(signal)
  const before = identityOf('10.0.0.7')
  assert.notEqual(before, undefined)
  tables.database.write(tx => tx.delete(tables.pods, 'shop/web'))
  await controller.step(signal)
  assert.equal(identityOf('10.0.0.7'), before)
  assert.equal(tables.addresses.get('10.0.0.7/32')?.identity, before)
  tables.database.write(tx => tx.delete(tables.endpoints, 'container1'))
  await controller.step(signal)
  assert.equal(identityOf('10.0.0.7'), undefined)
  assert.equal(tables.addresses.get('10.0.0.7/32'), undefined)
})

test('an endpoint whose pod was never seen has no entry', async () => {
  const { tables, controller } = started()
  tables.database.write(tx => tx.put(tables.endpoints, endpoint(1, 'web', '10.0.0.7')))
  await controller.step(signal)
  assert.equal(tables.endpointEntries.size, 0)
})

test('a pod gets no entry for an address that a node has', async () => {
  const { tables, controller, identityOf } = started()
  tables.database.write(tx => {
    tx.put(tables.nodes, { name: 'node2', addresses: ['10.0.0.9'], origin })
    for (const [id, name, address] of [
      [1, 'web', '10.0.0.7'],
      [2, 'thief', '10.0.0.1'],
      [3, 'other', '10.0.0.9'],
    ] as const) {
      tx.put(tables.pods, pod(name, name))
      tx.put(tables.endpoints, endpoint(id, name, address))
    }
  })
  await controller.step(signal)
  assert.deepEqual([identityOf('10.0.0.1'), identityOf('10.0.0.9')], [undefined, undefined])
  assert.notEqual(identityOf('10.0.0.7'), undefined)
  assert.equal(tables.addresses.get('10.0.0.1/32')?.identity, RESERVED.host)
  assert.equal(tables.problems.by('object', 'pod shop/thief').length, 1)
})
