// The examples of test/data/examples: policies of every feature, each with the table of
// what they mean, judged from the files as a user would write them.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { formatProblem, parseManifests } from '../manifests/index.ts'
import { readCluster } from './cluster/cluster-manifests.ts'
import { isExpectations, readExpectations } from './expect/read-expectations.ts'
import { failureLines } from './expect/report.ts'
import { runExpectations } from './expect/run-expectations.ts'

const FOLDER = new URL('../../test/data/examples/', import.meta.url)
/** Pods that all examples are about. */
const CLUSTER = 'cluster.yaml'

const read = (file: string) => parseManifests(readFileSync(new URL(file, FOLDER), 'utf8'), file)

for (const file of readdirSync(FOLDER).filter(name => name !== CLUSTER))
  test(`examples: ${file}`, () => {
    const files = [read(CLUSTER), read(file)]
    const objects = files.flatMap(({ objects }) => objects)
    const { cluster, problems } = readCluster(objects.filter(object => !isExpectations(object)))
    const errors = [...files.flatMap(({ problems }) => problems), ...problems].filter(
      ({ severity }) => severity === 'error',
    )
    assert.deepEqual(errors.map(formatProblem), [])
    const found = objects.filter(isExpectations).map(readExpectations)
    assert.deepEqual(
      found.flatMap(({ problems }) => problems.map(formatProblem)),
      [],
    )
    const expectations = found.flatMap(({ expectations }) => expectations)
    assert.ok(expectations.length > 0, 'the example has no table')
    const wrong = runExpectations(cluster, expectations).filter(({ passed }) => !passed)
    assert.deepEqual(
      wrong.flatMap(result => [result.expectation.name, ...failureLines(result, 20)]),
      [],
    )
  })
