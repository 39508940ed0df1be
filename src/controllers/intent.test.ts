// From objects to intent rows, and what is wrong with them to `problems`: each problem
// stands there for as long as it is one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ManifestObject, type Problem, parseManifests, problemOf } from '../manifests/index.ts'
import { createTables } from '../tables/index.ts'
import { IntentController } from './intent.ts'
import { volatileMemory } from './memory.ts'

const CONTAINERS = 'containers: [{name: web, image: nginx}]'
const pod = (labels: string, more = ''): ManifestObject => {
  const text = `apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: ${labels}}\nspec: {${CONTAINERS}${more}}\n`
  const { objects } = parseManifests(text, 'web.yaml')
  return objects[0] ?? assert.fail(text)
}

function started() {
  const tables = createTables()
  const intent = new IntentController(tables, 'files', volatileMemory())
  const put = (object: ManifestObject): void => intent.apply({ put: [object], deleted: [] })
  const messages = (): string[] =>
    tables.problems
      .all()
      .map(({ message }) => message)
      .sort()
  return { tables, intent, put, messages }
}

test('what is wrong with an object goes with its correction; the last good row stays until then', () => {
  const { tables, put, messages } = started()
  put(pod('{app: web}'))
  assert.deepEqual(messages(), [])
  put(pod('{app: other}', ', hostNetwork: 7'))
  assert.equal(messages().length, 1)
  assert.deepEqual(tables.pods.get('shop/web')?.labels, { app: 'web' })
  put(pod('{app: other}'))
  assert.deepEqual(messages(), [])
  assert.deepEqual(tables.pods.get('shop/web')?.labels, { app: 'other' })
})

test('what the source reports of an object stays until the source takes it back', () => {
  const { intent, put, messages } = started()
  const again: Problem = problemOf(pod('{}'), 'error', [], 'is declared elsewhere too')
  put(pod('{}'))
  intent.report([again])
  put(pod('{app: web}'))
  assert.deepEqual(messages(), ['is declared elsewhere too'])
  intent.apply({ put: [], deleted: [pod('{}')] })
  assert.deepEqual(messages(), ['is declared elsewhere too'])
  intent.report([])
  assert.deepEqual(messages(), [])
})
