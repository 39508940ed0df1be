// What `policy reach` computes from manifests is what `sandbox probe` measures by real
// connections, cell by cell, for random policies, in both families. Another seed for
// every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { outputOf } from './command-line.ts'
import { clusterManifests, POD_KEYS, PORTS, policySet } from './random-policies.ts'
import { NEEDS_ROOT, startCluster, type TestCluster } from './support.ts'
import { type Cell, cellTexts, type Family, type Tables, tablesByFunction } from './tables.ts'

const NAME = 'e2e-reach'
const SETS = 15
/** The others ask the same functions without a process for each. */
const SETS_BY_COMMAND = 3
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

test(`${SETS} random sets of policies, computed and measured, seed ${seed}`, { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  await cluster.enforce('cluster', ...clusterManifests())
  await cluster.untilReady(...POD_KEYS)
  const denied: number[] = []
  for (const [index, policies] of fc.sample(policySet, { numRuns: SETS, seed }).entries())
    await t.test(`set ${index}`, async () => {
      await cluster.enforce('policies', ...policies)
      const tables = index < SETS_BY_COMMAND ? tablesByCommand : tablesByFunction
      for (const [computed, measured] of await Promise.all([tables(cluster, PORTS, 4), tables(cluster, PORTS, 6)])) {
        const cells = cellTexts(computed)
        assert.ok(cells.length > 0)
        assert.deepEqual(cellTexts(measured), cells, JSON.stringify(policies, undefined, 1))
        denied.push(cells.filter(cell => cell.endsWith('denied')).length / cells.length)
      }
    })
  t.diagnostic(`seed ${seed}: part that is denied, by set and family: ${denied.map(part => part.toFixed(2)).join(' ')}`)
  assert.ok(
    denied.some(part => part > 0 && part < 1),
    'policies that deny nothing or everything prove little',
  )
})

async function tablesByCommand({ paths }: TestCluster, ports: string, family: Family): Promise<Tables> {
  const table = ['--ports', ports, '--family', String(family), '-o', 'json']
  const [computed, measured] = await Promise.all([
    outputOf('policy', 'reach', '-f', paths.objects, ...table),
    outputOf('sandbox', 'probe', '--name', NAME, ...table),
  ])
  return [JSON.parse(computed) as Cell[], JSON.parse(measured) as Cell[]]
}
