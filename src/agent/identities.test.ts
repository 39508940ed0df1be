// Identity numbers over restarts of the agent: the same labels keep their number, and
// whatever the journal holds, the next agent can start with it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Memory, volatileMemory } from '../controllers/index.ts'
import { type LabelSet, labelSet } from '../labels/index.ts'
import { rememberedIdentities } from './identities.ts'

const labelled = (app: string): LabelSet => labelSet([{ source: 'k8s', key: 'app', value: app }])
const MINUTE_MS = 60_000

/** An agent's start; its clock is the test's. */
function start(memory: Memory) {
  const clock = { nowMs: 0 }
  return { clock, identities: rememberedIdentities(memory, () => clock.nowMs) }
}

const remembered = (memory: Memory): Record<string, unknown> => Object.fromEntries(memory.entries('identity'))

test('a number means the same after a restart', () => {
  const memory = volatileMemory()
  const { identities } = start(memory)
  const [web, database] = [identities.allocate(labelled('web')), identities.allocate(labelled('database'))]
  const next = start(memory).identities
  assert.equal(next.lookup(web)?.key, labelled('web').key)
  assert.deepEqual([next.allocate(labelled('database')), next.allocate(labelled('web'))], [database, web])
})

test('labels that come back after their number has rested have one number in the journal', () => {
  const memory = volatileMemory()
  const { clock, identities } = start(memory)
  const first = identities.allocate(labelled('web'))
  identities.release(first)
  clock.nowMs += 11 * MINUTE_MS
  identities.allocate(labelled('other'))
  const second = identities.allocate(labelled('web'))
  assert.notEqual(second, first)
  assert.deepEqual(Object.values(remembered(memory)), [labelled('other').key, labelled('web').key])
  assert.equal(start(memory).identities.allocate(labelled('web')), second)
})

test('what nobody claims after a restart rests, and is then forgotten', () => {
  const memory = volatileMemory()
  const gone = start(memory).identities.allocate(labelled('gone'))
  const { clock, identities } = start(memory)
  identities.releaseUnclaimed()
  assert.equal(remembered(memory)[gone], labelled('gone').key, 'an agent that starts now must not give the number away')
  clock.nowMs += 11 * MINUTE_MS
  identities.allocate(labelled('other'))
  assert.equal(remembered(memory)[gone], undefined)
})

test('a journal with two numbers for the same labels keeps no agent from starting', () => {
  const memory = volatileMemory()
  memory.set('identity', '300', labelled('web').key)
  memory.set('identity', '301', labelled('web').key)
  assert.equal(start(memory).identities.allocate(labelled('web')), 301)
})
