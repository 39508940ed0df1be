// Which changes of services are changes of policies: those of services that a policy names,
// where policies see a difference.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalIdentityAllocator } from '../labels/index.ts'
import { parseManifests } from '../manifests/index.ts'
import { PolicyRepository } from '../policy/index.ts'
import { createTables, type Tables } from '../tables/index.ts'
import { endpointRow, podRow } from '../tables/testing/rows.ts'
import { volatileMemory } from './memory.ts'
import { PolicyController } from './policies.ts'
import { readIntent } from './read-intent.ts'

const service = (name: string, spec: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: ${name}}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}], ${spec}}}`
const slice = (of: string, addresses: string): string =>
  `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: shop, name: ${of}-1, labels: {kubernetes.io/service-name: ${of}}}, addressType: IPv4, ports: [{port: 80}], endpoints: [${addresses}]}`
const policy = (name: string, to: string): string =>
  `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {namespace: shop, name: ${name}}, spec: {endpointSelector: {matchLabels: {app: web}}, egress: [${to}]}}`
const NAMED = policy('named', '{toServices: [{k8sService: {serviceName: far, namespace: shop}}]}')

function declare(tables: Tables, ...manifests: readonly string[]): void {
  const { objects } = parseManifests(manifests.join('\n---\n'), 'all.yaml')
  tables.database.write(tx => {
    for (const object of objects) {
      const { value, problems } = readIntent(object)
      assert.deepEqual(problems, [])
      if (value?.table === 'services') tx.put(tables.services, value.row)
      if (value?.table === 'endpointSlices') tx.put(tables.endpointSlices, value.row)
      if (value?.table === 'policies') tx.put(tables.policies, value.row)
    }
  })
}

/** A controller that runs for one pod, and how many passes it has made. */
async function running(
  work: (world: {
    readonly tables: Tables
    readonly passes: (...manifests: readonly string[]) => Promise<number>
    readonly allowed: () => string[]
  }) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const tables = createTables()
  let count = 0
  const controller = new PolicyController({
    tables,
    repository: new PolicyRepository(),
    allocator: new LocalIdentityAllocator({ now: () => 0 }),
    memory: volatileMemory(),
    ownNode: { name: 'node1', addresses: ['10.0.0.1'] },
    inForce: { policyMaps: async () => void count++, addresses: async () => undefined, address: async () => undefined },
  })
  const { pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, endpoints } = tables
  const inputs = [pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, endpoints]
  for (const table of inputs) table.registerInitializer('test')()
  tables.database.write(tx => {
    tx.put(tables.pods, podRow('web', { labels: { app: 'web' } }))
    tx.put(tables.endpoints, endpointRow(1, 'web', { containerId: 'c', addresses: ['10.0.0.7'] }))
  })
  const run = controller.run(stop.signal)
  await controller.caughtUp()
  const passes = async (...manifests: readonly string[]): Promise<number> => {
    const before = count
    declare(tables, ...manifests)
    await controller.caughtUp()
    return count - before
  }
  const allowed = (): string[] => {
    const numbers = tables.policyMaps.all().flatMap(({ entries }) => entries.map(({ identity }) => identity))
    return tables.addresses
      .all()
      .filter(({ identity }) => numbers.includes(identity))
      .map(({ prefix }) => prefix)
  }
  await work({ tables, passes, allowed })
  stop.abort()
  await run
}

test('services that no policy names change without a pass over the policies', async () => {
  await running(async ({ passes }) => {
    assert.equal(await passes(service('far', 'type: ClusterIP'), slice('far', '{addresses: [192.0.2.1]}')), 0)
    assert.ok((await passes(NAMED)) > 0)
    assert.equal(await passes(service('near', 'selector: {app: db}'), slice('near', '{addresses: [10.0.0.9]}')), 0)
    assert.equal(await passes(service('other', 'type: ClusterIP'), slice('other', '{addresses: [192.0.2.2]}')), 0)
  })
})

test('one that a policy names is followed, where policies see a difference', async () => {
  await running(async ({ tables, passes, allowed }) => {
    await passes(service('far', 'type: ClusterIP'), slice('far', '{addresses: [192.0.2.1]}'))
    await passes(NAMED)
    assert.deepEqual(allowed(), ['192.0.2.1/32'])
    const unready = '{addresses: [192.0.2.1], conditions: {ready: false}}'
    assert.equal(await passes(slice('far', unready)), 0)
    assert.ok((await passes(slice('far', `${unready}, {addresses: [192.0.2.2]}`))) > 0)
    assert.deepEqual(allowed(), ['192.0.2.1/32', '192.0.2.2/32'])
    tables.database.write(tx => tx.delete(tables.endpointSlices, 'shop/far-1'))
    await passes()
    assert.deepEqual(allowed(), [])
    tables.database.write(tx => tx.delete(tables.services, 'shop/far'))
    await passes()
    assert.deepEqual(
      tables.problems.all().map(({ message }) => message),
      ['egress[0]: refers to service shop/far, which is not there; it stands for nobody'],
    )
    await passes(service('far', 'type: ClusterIP'), slice('far', '{addresses: [192.0.2.3]}'))
    assert.deepEqual([allowed(), tables.problems.size], [['192.0.2.3/32'], 0])
  })
})

test('a policy that comes to name services finds those that are there', async () => {
  await running(async ({ tables, passes, allowed }) => {
    await passes(NAMED)
    tables.database.write(tx => tx.delete(tables.policies, 'CiliumNetworkPolicy/shop/named'))
    await passes(service('far', 'type: ClusterIP'), slice('far', '{addresses: [192.0.2.1]}'))
    await passes(NAMED)
    assert.deepEqual(allowed(), ['192.0.2.1/32'])
  })
})
