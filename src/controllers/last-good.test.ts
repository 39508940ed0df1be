// The last good version of a policy over restarts of the agent: a policy that is faulty
// when the next agent starts is in force as it was, until its text can be read again.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../manifests/index.ts'
import { createTables } from '../tables/index.ts'
import { IntentController } from './intent.ts'
import { type Memory, volatileMemory } from './memory.ts'

const GOOD = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
`
const KEY = 'NetworkPolicy/shop/deny'

/** An agent's start with a file's text, and what it does when the text changes. */
function start(memory: Memory, text: string) {
  const tables = createTables()
  const intent = new IntentController(tables, 'files', memory)
  let before = parseManifests('', 'deny.yaml').objects
  const read = (next: string) => {
    const { objects, problems, complete } = parseManifests(next, 'deny.yaml')
    // As a source does it: what a text that cannot be read held is not known to be gone.
    const deleted = complete
      ? before.filter(old => !objects.some(({ metadata }) => metadata.name === old.metadata.name))
      : []
    if (complete) before = objects
    if (objects.length > 0 || deleted.length > 0) intent.apply({ put: objects, deleted })
    intent.report(problems)
  }
  read(text)
  intent.initialized()
  return { tables, read, isInForce: () => tables.policies.get(KEY) !== undefined }
}

const faults = [
  { name: 'malformed YAML', text: 'kind: [' },
  { name: 'an invalid field', text: GOOD.replace('podSelector: {}', 'podSelector: {}, policyTypes: [Sideways]') },
]

for (const { name, text } of faults)
  test(`${name} at a restart leaves the policy of before in force`, () => {
    const memory = volatileMemory()
    assert.equal(start(memory, GOOD).isInForce(), true)
    const next = start(memory, text)
    assert.equal(next.isInForce(), true)
    assert.equal(next.tables.problems.size > 0, true)
    next.read(GOOD)
    assert.equal(next.isInForce(), true)
    next.read('')
    assert.equal(next.isInForce(), false)
  })

test('a policy that was restored goes when its file can be read and does not hold it', () => {
  const memory = volatileMemory()
  start(memory, GOOD)
  const next = start(memory, 'kind: [')
  next.read(GOOD.replace('name: deny', 'name: other'))
  assert.equal(next.isInForce(), false)
  assert.equal(start(memory, 'kind: [').isInForce(), false)
})

test('a policy stays while anything that may declare it cannot be read, and that is told', () => {
  const memory = volatileMemory()
  start(memory, GOOD)
  const tables = createTables()
  const intent = new IntentController(tables, 'files', memory)
  const unread = { severity: 'error', message: 'cannot be listed: EIO', file: '/policies', line: 1, column: 1 } as const
  const warnings = () => tables.problems.all().filter(({ id }) => id === `restored ${KEY}`)
  intent.report([unread])
  intent.initialized()
  assert.notEqual(tables.policies.get(KEY), undefined)
  assert.deepEqual(
    warnings().map(({ object }) => object),
    ['NetworkPolicy shop/deny'],
  )
  intent.apply({ put: parseManifests(GOOD, 'deny.yaml').objects, deleted: [] })
  intent.report([])
  assert.notEqual(tables.policies.get(KEY), undefined)
  assert.deepEqual(warnings(), [])
})

test('a policy that is gone at a restart does not come back', () => {
  const memory = volatileMemory()
  start(memory, GOOD)
  assert.equal(start(memory, '').isInForce(), false)
  assert.equal(start(memory, 'kind: [').isInForce(), false)
})

const GROUP = `apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: partners}
spec: {externalCIDRs: [198.51.100.0/24]}
`

test('a CIDR group that becomes faulty stays as it was, also over a restart, until its text can be read again', () => {
  const memory = volatileMemory()
  const first = start(memory, GROUP)
  const cidrs = ({ tables }: typeof first) => tables.cidrGroups.get('partners')?.cidrs
  assert.deepEqual(cidrs(first), ['198.51.100.0/24'])
  const faulty = GROUP.replace('/24', '/33')
  first.read(faulty)
  assert.deepEqual(cidrs(first), ['198.51.100.0/24'])
  assert.match(first.tables.problems.all()[0]?.message ?? '', /^spec\.externalCIDRs\[0\]/)
  const next = start(memory, faulty)
  assert.deepEqual(cidrs(next), ['198.51.100.0/24'])
  next.read(GROUP.replace('198', '203'))
  assert.deepEqual(cidrs(next), ['203.51.100.0/24'])
  assert.equal(next.tables.problems.size, 0)
  next.read('')
  assert.equal(cidrs(next), undefined)
  assert.equal(cidrs(start(memory, 'kind: [')), undefined)
})
