// Which identities the DNS server may give, and when it is told of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutsideIdentity } from '../dns/index.ts'
import { cidr } from '../ip/index.ts'
import { cidrLabel, LocalIdentityAllocator, nameLabel, reservedLabels, withLabels } from '../labels/index.ts'
import { PolicyRepository, readPolicy } from '../policy/index.ts'
import { manifestObject } from '../policy/testing/manifest-object.ts'
import { createTables } from '../tables/index.ts'
import { volatileMemory } from './memory.ts'
import { outsideIdentitiesOf } from './outside-identities.ts'
import { PolicyController } from './policies.ts'

const WORLD = reservedLabels('world-ipv4')
const BLOCK = withLabels(WORLD, [cidrLabel(cidr('192.0.2.0/24'))])

test('identities of names, each with that of the same place without names', () => {
  const named = (labels: typeof WORLD, ...selectors: string[]) => withLabels(labels, selectors.map(nameLabel))
  const told = outsideIdentitiesOf([
    { number: 9, labels: WORLD },
    { number: 101, labels: BLOCK },
    { number: 102, labels: named(WORLD, 'b.example', '*.example') },
    { number: 103, labels: named(BLOCK, '*.example') },
    // Nobody stands at its place without names, or it is nobody of the world.
    { number: 104, labels: named(reservedLabels('world-ipv6'), '*.example') },
    { number: 105, labels: named(reservedLabels('remote-node'), '*.example') },
  ])
  assert.deepEqual(told, [
    { number: 102, base: 9, selectors: ['*.example', 'b.example'] },
    { number: 103, base: 101, selectors: ['*.example'] },
  ])
})

test('nobody is told of an identity before policy maps know it, nor while one may lose it', async () => {
  const { signal } = new AbortController()
  const tables = createTables()
  const steps: string[] = []
  const selectorsOf = (told: readonly OutsideIdentity[]) =>
    [...new Set(told.flatMap(({ selectors }) => selectors))].join(' ')
  const inForce = async () => void steps.push('maps')
  let nowMs = 0
  const controller = new PolicyController({
    tables,
    repository: new PolicyRepository(),
    allocator: new LocalIdentityAllocator({ now: () => nowMs }),
    memory: volatileMemory(),
    ownNode: { name: 'node1', addresses: ['10.0.0.1'] },
    clock: { nowMs: () => nowMs, setTimer: () => () => undefined },
    inForce: { policyMaps: inForce, addresses: async () => undefined, address: async () => undefined },
    audience: {
      restrict: told => void steps.push(`at most ${selectorsOf(told)}`),
      publish: told => void steps.push(`now ${selectorsOf(told)}`),
    },
  })
  const metadata = { name: 'names', namespace: 'shop' }
  const spec = { endpointSelector: {}, egress: [{ toFQDNs: [{ matchName: 'a.example' }] }] }
  const kind = 'CiliumNetworkPolicy'
  const rules = readPolicy(manifestObject({ apiVersion: 'cilium.io/v2', kind, metadata, spec }))?.value
  assert.ok(rules)
  const origin = { file: '', line: 0 }
  tables.database.write(tx => tx.put(tables.policies, { ...metadata, kind, rules, origin }))
  await controller.step(signal)
  assert.deepEqual(steps.splice(0), ['at most a.example', 'maps', 'now a.example'])
  tables.database.write(tx => tx.delete(tables.policies, `${kind}/shop/names`))
  await controller.step(signal)
  nowMs = 60_000
  steps.length = 0
  await controller.step(signal)
  assert.equal(steps[0], 'at most ', 'before any map')
  assert.equal(steps.at(-1), 'now ')
})
