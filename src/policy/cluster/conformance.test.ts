// Every cell of the published NetworkPolicy cases (test/data/README.md), judged by the
// engine from manifests as a user would write them.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { PROTOCOLS } from '../../labels/index.ts'
import { clusterAfter, type PublishedCases } from '../testing/published-cases.ts'
import { type ReachPort, reach } from './reach.ts'

const { topology, cases } = JSON.parse(
  readFileSync(new URL('../../../test/data/networkpolicy-cases.json', import.meta.url), 'utf8'),
) as PublishedCases

const ports: readonly ReachPort[] = topology.ports.flatMap(port =>
  topology.protocols.map(protocol => ({ port, protocol: PROTOCOLS[protocol] })),
)

test('all published cases, every cell', async t => {
  let cells = 0
  for (const [number, { description, tags, steps }] of cases.entries())
    await t.test(`${number}: ${description} (${tags.join(', ')})`, () => {
      for (const [i, step] of steps.entries()) {
        const listed = new Set((step.blocked ?? step.allowed ?? []).map(cell => cell.join(' ')))
        const ofListed = step.blocked ? 'denied' : 'allowed'
        const ofOthers = step.blocked ? 'allowed' : 'denied'
        const rows = [...reach(clusterAfter(step, topology), ports, { includeSelf: true })]
        const wrong = rows.flatMap(({ from, to, port, protocol, verdict }) => {
          const cell = `${from} ${to} ${port} ${protocol}`
          const want = listed.has(cell) ? ofListed : ofOthers
          return verdict === want ? [] : [`${cell}: ${verdict}, not ${want}`]
        })
        assert.deepEqual(wrong, [], `${description}, step ${i + 1}: ${wrong.length} of ${rows.length} cells are wrong`)
        assert.equal(rows.length, step.cells)
        cells += rows.length
      }
    })
  assert.equal(cases.length, 115)
  assert.equal(cells, 63_780)
})
