// Swapping policy maps in, over maps in memory: what is written and what is left alone,
// a map that is too large, a kernel that refuses, and when a swap counts as done.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { MapFullError } from '../bpf/index.ts'
import { MemoryDatapath, policyElement } from '../maps/index.ts'
import type { NumberedEntry, PolicyMap } from '../tables/index.ts'
import { PolicyTooLargeError, policyMapOperations } from './policy-maps.ts'

const object = readFileSync(new URL('../../build/pod.o', import.meta.url))
const { signal } = new AbortController()

const entry = (identity: number): NumberedEntry => ({
  direction: 'ingress',
  identity,
  protocol: 6,
  port: 80,
  portPrefixLength: 16,
  verdict: 'allow',
  precedence: 5,
  rule: 16,
  key: 'NetworkPolicy/shop/web/ingress[0]',
})

const origin = { file: 'web.yaml', line: 1 }
const ISOLATED = { ingress: [{ kind: 'NetworkPolicy', namespace: 'shop', name: 'web', origin }], egress: [] }

const row = (id: number, ...identities: readonly number[]): PolicyMap => ({
  id,
  subject: `k8s:app=${id}`,
  entries: identities.map(entry),
  contentKey: identities.join(),
  isolatedBy: ISOLATED,
})

/** Maps in memory; what the kernel is asked for, and what it says to that. */
function started(options: { readonly entries?: number; readonly datapath?: MemoryDatapath } = {}) {
  const { datapath = new MemoryDatapath(object) } = options
  const { policy_maps } = datapath.maps
  const log: string[] = []
  const kernel = {
    refuses: (_ids: readonly number[]): boolean => false,
    /** Ends of the grace periods that calls wait for; undefined: none does. */
    graceEnds: undefined as (() => void)[] | undefined,
  }
  const opened = new Set<number>()
  const operations = policyMapOperations({
    outer: {
      get: id => policy_maps.get(id),
      keys: () => policy_maps.keys(),
      async updateBatchAsync(given) {
        const swaps = [...given]
        const ids = swaps.map(([id]) => id)
        log.push(`swap ${ids.join()}`)
        if (kernel.refuses(ids)) throw new Error(`no swap of ${ids.join()}`)
        for (const [, { id }] of swaps) assert.ok(opened.has(id), 'an inner map was closed too early')
        policy_maps.updateBatch(swaps)
        if (kernel.graceEnds) await new Promise<void>(resolve => kernel.graceEnds?.push(resolve))
        return swaps.length
      },
      async deleteBatchAsync(given) {
        const ids = [...given]
        log.push(`delete ${ids.join()}`)
        return policy_maps.deleteBatch(ids)
      },
    },
    createInner(elements) {
      const { entries } = options
      if (entries !== undefined && elements.length > entries) throw new MapFullError('policy', entries, 28)
      const { id } = datapath.createPolicyMap(elements)
      opened.add(id)
      return { id, close: () => void opened.delete(id) }
    },
    read: id => datapath.policyMap(id)?.lookupBatch(),
    encode: one => policyElement(datapath.schema, { ...one, l7: undefined }, one.rule),
    onChanged: () => void log.push('changed'),
  })
  return {
    datapath,
    policy_maps,
    operations,
    kernel,
    opened,
    /** What was asked for since the last call. */
    take: () => log.splice(0),
    /** Identities that the map of an id has entries for. */
    identitiesOf: (id: number) =>
      datapath
        .policyMap(id)
        ?.lookupBatch()
        .map(([key]) => key.identity)
        .sort((a, b) => a - b),
  }
}

const namesOf = (failures: ReadonlyMap<PolicyMap, Error> | void) => [...(failures?.keys() ?? [])].map(({ id }) => id)

test('the maps of a round are exchanged in one call, and told of once', async () => {
  const { operations, take, identitiesOf, opened } = started()
  assert.deepEqual(namesOf(await operations.update([row(1, 256), row(2, 256, 257)], signal)), [])
  assert.deepEqual(take(), ['swap 1,2', 'changed'])
  assert.deepEqual([identitiesOf(1), identitiesOf(2)], [[256], [256, 257]])
  await operations.update([row(1, 300)], signal)
  assert.deepEqual(take(), ['swap 1', 'changed'])
  assert.deepEqual(identitiesOf(1), [300])
  assert.equal(opened.size, 0)
})

test('policies with the same entries share one inner map', async () => {
  const { operations, policy_maps } = started()
  await operations.update([row(1, 256), row(2, 256), row(3)], signal)
  assert.equal(policy_maps.get(1), policy_maps.get(2))
  assert.notEqual(policy_maps.get(1), policy_maps.get(3))
})

test('what the kernel has already is not written again', async () => {
  const { operations, take, policy_maps } = started()
  await operations.update([row(1, 256), row(2, 257)], signal)
  take()
  await operations.update([{ ...row(1, 256), subject: 'k8s:app=renamed' }, row(2, 257)], signal)
  assert.deepEqual(take(), [])
  policy_maps.delete(2)
  await operations.update([row(1, 256), row(2, 257)], signal)
  assert.deepEqual(take(), ['swap 2', 'changed'], 'what somebody removed is written again')
})

test('nor is what an earlier run left, but where an entry differs', async () => {
  const { datapath, operations } = started()
  await operations.update([row(1, 256), row(2, 257), row(3, 258), row(4, 259)], signal)
  const next = started({ datapath })
  const otherRule = { ...row(2, 257), entries: [{ ...entry(257), rule: 17 }] }
  await next.operations.update([row(1, 256), otherRule, row(3, 300), row(4, 259, 260)], signal)
  assert.deepEqual(next.take(), ['swap 2,3,4', 'changed'])
  assert.deepEqual([1, 3, 4].map(next.identitiesOf), [[256], [300], [259, 260]])
})

test('a policy that is too large denies everything, says whose it is, and disturbs nobody else', async () => {
  const { operations, identitiesOf, opened } = started({ entries: 2 })
  await operations.update([row(1, 256)], signal)
  const large = row(1, 256, 257, 258)
  const failures = await operations.update([large, row(2, 256)], signal)
  assert.deepEqual([identitiesOf(1), identitiesOf(2)], [[], [256]])
  const error = failures?.get(large)
  assert.ok(error instanceof PolicyTooLargeError)
  assert.equal(
    error.message,
    'policy map 1 needs 3 entries and has room for 2: all traffic of its endpoints (k8s:app=1) is denied; ' +
      'select fewer peers or ports in NetworkPolicy shop/web',
  )
  assert.deepEqual(namesOf(failures), [1])
  assert.deepEqual(namesOf(await operations.update([row(1, 256, 257)], signal)), [])
  assert.deepEqual(identitiesOf(1), [256, 257])
  assert.equal(opened.size, 0)
})

test('one that the kernel refuses does not hold up the others, and is written when it is tried again', async () => {
  const { operations, kernel, take, identitiesOf, opened } = started()
  await operations.update([row(1, 256), row(2, 256), row(3, 256)], signal)
  kernel.refuses = ids => ids.includes(2)
  const rows = [row(1, 300), row(2, 301), row(3, 302)]
  assert.deepEqual(namesOf(await operations.update(rows, signal)), [2])
  assert.deepEqual([identitiesOf(1), identitiesOf(2), identitiesOf(3)], [[300], [256], [302]])
  assert.equal(take().at(-1), 'changed')
  kernel.refuses = () => false
  assert.deepEqual(namesOf(await operations.update([row(2, 301)], signal)), [])
  assert.deepEqual(identitiesOf(2), [301])
  assert.equal(opened.size, 0)
})

test('a swap is done when it is in force; the maps stay open until the kernel has let go of the old ones', async () => {
  const { operations, kernel, identitiesOf, opened } = started()
  kernel.graceEnds = []
  await operations.update([row(1, 256)], signal)
  await operations.update([row(1, 257)], signal)
  assert.deepEqual(identitiesOf(1), [257])
  assert.equal(opened.size, 2)
  const third = operations.update([row(1, 258)], signal)
  for (let turn = 0; turn < 5; turn++) await eventLoopTurn()
  assert.deepEqual(identitiesOf(1), [257], 'no more than two wait for their grace period')
  kernel.graceEnds.shift()?.()
  await third
  assert.deepEqual(identitiesOf(1), [258])
  for (const end of kernel.graceEnds) end()
  await eventLoopTurn()
  assert.equal(opened.size, 0)
})

test('maps that nothing wants are removed, and no others', async () => {
  const { operations, take, policy_maps } = started()
  const rows = [row(1, 256), row(2, 257), row(3, 258)]
  await operations.update(rows, signal)
  take()
  await operations.delete([row(3, 258), row(9)], signal)
  assert.deepEqual(take(), ['delete 3,9', 'changed'])
  await operations.prune([row(2, 257)], signal)
  assert.deepEqual([...policy_maps.keys()], [2])
  take()
  await operations.prune([row(2, 257)], signal)
  assert.deepEqual(take(), [])
})
