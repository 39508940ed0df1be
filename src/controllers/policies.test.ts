// Which endpoints have entries in the kernel, and with whose identity: pods that are
// gone from the API while their containers end, addresses that somebody else has. And
// the steps of a change; test/scenarios/transitions.test.ts tells what packets meet then.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { LocalIdentityAllocator, RESERVED } from '../labels/index.ts'
import { parseManifests } from '../manifests/index.ts'
import { PolicyRepository, readPolicy } from '../policy/index.ts'
import { ManualClock } from '../state/index.ts'
import { createTables, type Endpoint, type Pod, type Policy, type Tables } from '../tables/index.ts'
import { endpointRow, podRow } from '../tables/testing/rows.ts'
import { volatileMemory } from './memory.ts'
import { PolicyController, type PolicyControllerOptions } from './policies.ts'

const { signal } = new AbortController()
const origin = { file: '', line: 0 }
const pod = (name: string, app: string): Pod => podRow(name, { labels: { app } })
const endpoint = (id: number, podName: string, address: string): Endpoint =>
  endpointRow(id, podName, { containerId: `container${id}`, addresses: [address] })

function started(options: Partial<PolicyControllerOptions> = {}) {
  const tables = createTables()
  const controller = new PolicyController({
    tables,
    repository: new PolicyRepository(),
    allocator: new LocalIdentityAllocator({ now: () => 0 }),
    memory: volatileMemory(),
    ownNode: { name: 'node1', addresses: ['10.0.0.1'] },
    ...options,
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

function policy(spec: string): Policy {
  const text = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: all, namespace: shop}, spec: ${spec}}`
  const [object] = parseManifests(text, 'all.yaml').objects
  const rules = object && readPolicy(object)?.value
  assert.ok(rules)
  return { kind: 'NetworkPolicy', namespace: 'shop', name: 'all', rules, origin }
}

const openDirections = (tables: Tables): string[] =>
  tables.policyMaps.all().map(({ entries }) =>
    entries
      .filter(({ identity, verdict }) => identity === 0 && verdict === 'allow')
      .map(({ direction }) => direction)
      .join(),
  )

/** Two pods, and what the tables say each time that a step waits for the kernel. */
async function withSteps(look: (tables: Tables) => unknown) {
  const seen: unknown[] = []
  const made: { tables?: Tables } = {}
  const record = async (step: string): Promise<void> => void (made.tables && seen.push([step, look(made.tables)]))
  const parts = started({
    inForce: { policyMaps: () => record('maps'), addresses: () => record('addresses'), address: async () => undefined },
  })
  const { tables, controller } = parts
  tables.database.write(tx => {
    for (const [id, name] of [
      [1, 'web'],
      [2, 'client'],
    ] as const) {
      tx.put(tables.pods, pod(name, name))
      tx.put(tables.endpoints, endpoint(id, name, `10.0.0.${6 + id}`))
    }
  })
  await controller.step(signal)
  made.tables = tables
  return { ...parts, seen }
}

test('a policy that turns from ingress to egress denies both on the way', async () => {
  const { tables, controller, seen } = await withSteps(openDirections)
  tables.database.write(tx => tx.put(tables.policies, policy('{podSelector: {}}')))
  await controller.step(signal)
  seen.splice(0)
  tables.database.write(tx => tx.put(tables.policies, policy('{podSelector: {}, policyTypes: [Egress]}')))
  await controller.step(signal)
  assert.deepEqual(seen, [
    ['maps', ['', '']],
    ['addresses', ['', '']],
  ])
  assert.deepEqual(openDirections(tables), ['ingress', 'ingress'])
})

test('what only closes is in force at the first step', async () => {
  const { tables, controller, seen } = await withSteps(openDirections)
  tables.database.write(tx => tx.put(tables.policies, policy('{podSelector: {}, policyTypes: [Ingress, Egress]}')))
  await controller.step(signal)
  // Before, identities learn of what it names: nothing, but that is not known beforehand.
  const open = ['ingress,egress', 'ingress,egress']
  assert.deepEqual(seen.slice(0, 3), [
    ['maps', open],
    ['addresses', open],
    ['maps', ['', '']],
  ])
})

test('identities tell apart what a policy names before it is in force, and forget it after', async () => {
  const { tables, controller, seen } = await withSteps(all => [
    all.addresses.get('198.51.100.0/24') !== undefined,
    all.policyMaps.all().map(({ isolatedBy }) => isolatedBy.ingress.length),
  ])
  tables.database.write(tx =>
    tx.put(tables.policies, policy('{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]}')),
  )
  await controller.step(signal)
  assert.deepEqual(seen.splice(0), [
    ['maps', [false, [0, 0]]],
    ['addresses', [true, [0, 0]]],
    ['maps', [true, [1, 1]]],
    ['addresses', [true, [1, 1]]],
  ])
  tables.database.write(tx => tx.delete(tables.policies, 'NetworkPolicy/shop/all'))
  await controller.step(signal)
  assert.deepEqual(seen.splice(0), [
    ['maps', [true, [0, 0]]],
    ['addresses', [true, [0, 0]]],
    ['maps', [true, [0, 0]]],
    ['addresses', [false, [0, 0]]],
  ])
})

function requests(method: string): Policy {
  const rules = `[{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: ${method}}]}}]`
  const text = `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: all, namespace: shop}, spec: {endpointSelector: {}, ingress: [{toPorts: ${rules}}]}}`
  const [object] = parseManifests(text, 'all.yaml').objects
  const read = object && readPolicy(object)?.value
  assert.ok(read)
  return { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'all', rules: read, origin }
}

/** Numbers of the sets that there are, and of those that the maps name. */
const ruleSets = (tables: Tables): unknown => ({
  sets: tables.l7RuleSets.all().map(({ number }) => number),
  named: [...new Set(tables.policyMaps.all().flatMap(({ entries }) => entries.flatMap(({ l7 }) => l7?.number ?? [])))],
})

test('a rule set is with the proxy before a policy map names it, and stays for a moment after', async () => {
  const seen: unknown[] = []
  const clock = new ManualClock()
  const made: { tables?: Tables } = {}
  const { tables, controller } = started({
    clock,
    inForce: {
      ruleSets: async () => void seen.push(made.tables && ruleSets(made.tables)),
      policyMaps: async () => undefined,
      addresses: async () => undefined,
      address: async () => undefined,
    },
  })
  made.tables = tables
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web', 'web'))
    tx.put(tables.endpoints, endpoint(1, 'web', '10.0.0.7'))
    tx.put(tables.policies, requests('GET'))
  })
  await controller.step(signal)
  tables.database.write(tx => tx.put(tables.policies, requests('PUT')))
  await controller.step(signal)
  assert.deepEqual(seen, [
    { sets: [1], named: [] },
    { sets: [1, 2], named: [1] },
  ])
  await controller.step(signal)
  assert.equal(seen.length, 2, 'nobody waits where no set is new')
  assert.deepEqual(ruleSets(tables), { sets: [1, 2], named: [2] })
  await clock.advance(60_000)
  await controller.step(signal)
  assert.deepEqual(ruleSets(tables), { sets: [2], named: [2] })
})

test('policies do not wait long for a proxy that does not answer', async () => {
  const clock = new ManualClock()
  const { tables, controller } = started({
    clock,
    inForce: {
      ruleSets: wait => new Promise((_, reject) => wait.addEventListener('abort', () => reject(new Error('aborted')))),
      policyMaps: async () => undefined,
      addresses: async () => undefined,
      address: async () => undefined,
    },
  })
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web', 'web'))
    tx.put(tables.endpoints, endpoint(1, 'web', '10.0.0.7'))
    tx.put(tables.policies, requests('GET'))
  })
  const done = controller.step(signal)
  await eventLoopTurn()
  assert.deepEqual(ruleSets(tables), { sets: [1], named: [] })
  await clock.advance(1000)
  await done
  assert.deepEqual(ruleSets(tables), { sets: [1], named: [1] })
})

test('rules of two protocols about one port are told of, until one of them is gone', async () => {
  const { tables, controller } = started()
  const rules = '[{ports: [{port: "80", protocol: TCP}], rules: {kafka: [{}]}}]'
  const text = `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: more, namespace: shop}, spec: {endpointSelector: {}, ingress: [{toPorts: ${rules}}]}}`
  const [object] = parseManifests(text, 'more.yaml').objects
  const read = object && readPolicy(object)?.value
  assert.ok(read)
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web', 'web'))
    tx.put(tables.endpoints, endpoint(1, 'web', '10.0.0.7'))
    tx.put(tables.policies, requests('GET'))
    tx.put(tables.policies, { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'more', rules: read, origin })
  })
  await controller.step(signal)
  const told = () => tables.problems.all().map(({ object: name, message }) => `${name} ${message}`)
  assert.equal(told().length, 2)
  assert.match(
    told().join('\n'),
    /shop\/more ingress\[0\]\.toPorts\[0\]: has rules of another protocol than CiliumNetworkPolicy shop\/all/,
  )
  assert.equal(tables.rules.get('3')?.key, 'l7-conflict')
  tables.database.write(tx => tx.delete(tables.policies, 'CiliumNetworkPolicy/shop/more'))
  await controller.step(signal)
  assert.deepEqual(told(), [])
})

test('an endpoint that is deleted while a change is on its way does not come back', async () => {
  const parts = await withSteps(tables => {
    if (tables.endpoints.get('container1')) tables.database.write(tx => tx.delete(tables.endpoints, 'container1'))
    return tables.endpointEntries.all().map(({ endpoint: id }) => id)
  })
  const { tables, controller, seen } = parts
  tables.database.write(tx => tx.put(tables.pods, pod('client', 'other')))
  await controller.step(signal)
  assert.deepEqual(seen.at(-1), ['addresses', [2]])
})

test('who waits until the controller has caught up waits for all that was declared then', async () => {
  const stop = new AbortController()
  const gate = Promise.withResolvers<void>()
  const { tables, controller } = started({
    inForce: { policyMaps: () => gate.promise, addresses: async () => undefined, address: async () => undefined },
  })
  const marks = inputsOf(tables).map(table => table.registerInitializer('test'))
  const running = controller.run(stop.signal)
  let isCaughtUp = false
  const waiting = controller.caughtUp().then(() => {
    isCaughtUp = true
    return isCaughtUp
  })
  tables.database.write(() => {
    for (const mark of marks) mark()
  })
  for (let turn = 0; turn < 5; turn++) await eventLoopTurn()
  assert.equal(isCaughtUp, false)
  assert.equal(tables.policyMaps.initialized, false)
  gate.resolve()
  await waiting
  assert.equal(tables.policyMaps.initialized, true)
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web', 'web'))
    tx.put(tables.endpoints, endpoint(1, 'web', '10.0.0.7'))
  })
  await controller.caughtUp()
  assert.equal(tables.endpointEntries.size, 1)
  stop.abort()
  await running
  tables.database.write(tx => tx.delete(tables.pods, 'shop/web'))
  await assert.rejects(controller.caughtUp(), { name: 'WaitError', code: 'stopped' })
})

test('an end in the middle of a change is no failure', async () => {
  const stop = new AbortController()
  const { tables, controller } = started({
    inForce: {
      policyMaps: async () => {
        stop.abort()
        throw new Error('given up')
      },
      addresses: async () => undefined,
      address: async () => undefined,
    },
  })
  for (const table of inputsOf(tables)) table.registerInitializer('test')()
  await controller.run(stop.signal)
  assert.equal(tables.policyMaps.initialized, false)
})

function inputsOf(tables: Tables) {
  const { pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, endpoints } = tables
  return [pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, endpoints]
}
