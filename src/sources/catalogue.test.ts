// The admitted form of an object stands for what its author declares.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../manifests/index.ts'
import { ADMITTED_ANNOTATION, Catalogue } from './catalogue.ts'

const service = (version: string, isAdmitted = false): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'web',
      labels: { version },
      ...(isAdmitted && { annotations: { [ADMITTED_ANNOTATION]: version } }),
    },
  })

function declare(catalogue: Catalogue, file: string, text: string): void {
  catalogue.update(file, parseManifests(text, file))
}

const taken = (catalogue: Catalogue) => {
  const { put, deleted, problems = [] } = catalogue.take()
  const texts = put.map(({ metadata, origin }) => `${metadata.labels['version']} of ${origin.file}`)
  return [
    ...texts,
    ...deleted.map(({ metadata }) => `without ${metadata.name}`),
    ...problems.map(({ message }) => message),
  ]
}

test('whatever comes first, the admitted form is in force, and that is no conflict', () => {
  const catalogue = new Catalogue()
  declare(catalogue, 'user', service('1'))
  assert.deepEqual(taken(catalogue), ['1 of user'])
  declare(catalogue, 'cluster', service('1', true))
  assert.deepEqual(taken(catalogue), ['1 of cluster'])
  declare(catalogue, 'user', service('2'))
  assert.deepEqual(taken(catalogue), [], 'a change counts when it has been admitted')
  declare(catalogue, 'cluster', service('2', true))
  assert.deepEqual(taken(catalogue), ['2 of cluster'])
  catalogue.remove('user')
  assert.deepEqual(taken(catalogue), [])
  catalogue.remove('cluster')
  assert.deepEqual(taken(catalogue), ['without web'])
})

test('two authors of one object are a conflict nonetheless', () => {
  const catalogue = new Catalogue()
  declare(catalogue, 'cluster', service('1', true))
  declare(catalogue, 'user', service('1'))
  declare(catalogue, 'other', service('3'))
  const [first, problem] = taken(catalogue)
  assert.equal(first, '1 of cluster')
  assert.match(problem ?? '', /declared at user:1 already/)
})
