// What a pass of the controller acts on: taken at one moment, with pods that are gone
// while their containers still run.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTables, type Endpoint, type Pod } from '../tables/index.ts'
import { endpointRow, podRow } from '../tables/testing/rows.ts'
import { FactReader } from './facts.ts'
import { type Memory, volatileMemory } from './memory.ts'

const origin = { file: 'pods.yaml', line: 1 }
const pod = (app: string): Pod => podRow('web', { labels: { app }, origin })
const ENDPOINT: Endpoint = endpointRow(1, 'web', { ifindex: 7, addresses: ['10.0.0.7'] })

function started(memory: Memory = volatileMemory()) {
  const tables = createTables()
  const reader = new FactReader(tables, { name: 'node1', addresses: ['172.30.0.2'] }, memory)
  const apps = () => reader.read().endpoints.map(({ pod: { labels } }) => labels['app'])
  return { memory, tables, reader, apps }
}

test('facts stay as they were when the tables change', () => {
  const { tables, reader } = started()
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web'))
    tx.put(tables.namespaces, { name: 'shop', labels: { team: 'red' }, audit: true, origin })
  })
  const facts = reader.read()
  tables.database.write(tx => {
    tx.put(tables.pods, pod('other'))
    tx.delete(tables.namespaces, 'shop')
  })
  assert.deepEqual(
    facts.pods.map(({ labels }) => labels),
    [{ app: 'web' }],
  )
  assert.deepEqual(facts.namespaceLabels('shop'), { team: 'red' })
  assert.equal(facts.isAudited('shop'), true)
  assert.deepEqual(reader.read().namespaceLabels('shop'), {})
  assert.equal(reader.read().isAudited('shop'), false)
})

test('an endpoint is what its pod declares, and when the pod is gone what it declared last, also after a restart', () => {
  const { memory, tables, apps } = started()
  tables.database.write(tx => tx.put(tables.endpoints, ENDPOINT))
  assert.deepEqual(apps(), [], 'its pod was never seen')
  tables.database.write(tx => tx.put(tables.pods, pod('web')))
  assert.deepEqual(apps(), ['web'])
  tables.database.write(tx => tx.put(tables.pods, pod('other')))
  assert.deepEqual(apps(), ['other'])
  tables.database.write(tx => tx.delete(tables.pods, 'shop/web'))
  assert.deepEqual(apps(), ['other'])
  const next = started(memory)
  next.tables.database.write(tx => tx.put(next.tables.endpoints, ENDPOINT))
  assert.deepEqual(next.apps(), ['other'])
  next.tables.database.write(tx => tx.put(next.tables.pods, pod('again')))
  assert.deepEqual(next.apps(), ['again'])
})

test('what a pod declared is forgotten with its endpoint', () => {
  const { memory, tables, reader, apps } = started()
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web'))
    tx.put(tables.endpoints, ENDPOINT)
  })
  reader.read()
  tables.database.write(tx => {
    tx.delete(tables.pods, 'shop/web')
    tx.delete(tables.endpoints, 'c1')
  })
  reader.read()
  assert.equal(memory.entries('endpoint-pod').size, 0)
  tables.database.write(tx => tx.put(tables.endpoints, ENDPOINT))
  assert.deepEqual(apps(), [])
})

test('nothing is remembered anew while nothing changes', t => {
  const { memory, tables, reader } = started()
  tables.database.write(tx => {
    tx.put(tables.pods, pod('web'))
    tx.put(tables.endpoints, ENDPOINT)
  })
  const set = t.mock.method(memory, 'set')
  reader.read()
  reader.read()
  tables.database.write(tx => tx.put(tables.pods, { ...pod('web'), origin: { file: 'pods.yaml', line: 1 } }))
  reader.read()
  assert.equal(set.mock.callCount(), 1)
  const next = started(memory)
  next.tables.database.write(tx => {
    tx.put(next.tables.pods, pod('web'))
    tx.put(next.tables.endpoints, ENDPOINT)
  })
  next.reader.read()
  assert.equal(set.mock.callCount(), 1)
})
