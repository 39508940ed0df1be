// TLS contexts with processes that only wait: who has which slot, what the kernel is told
// and when, who makes room, and who is ended.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { L7RuleSet, TlsContext } from '../policy/index.ts'
import { TlsContexts } from './tls-contexts.ts'

const context = (name: string): TlsContext => ({
  secret: { namespace: 'shop', name },
  certificate: 'tls.crt',
  privateKey: 'tls.key',
  trustedCa: 'ca.crt',
})
const set = (number: number, name: string): L7RuleSet => ({
  number,
  rules: { parser: 'http', rules: [], serverNames: [], terminating: context(name) },
})
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await sleep(5)
}
const LOG = { info: () => undefined, error: () => undefined, warn: () => undefined, debug: () => undefined }

function start(t: TestContext, slots: number, patienceMs = 600_000) {
  const stored: L7RuleSet[] = []
  const digests = new Map<string, string | undefined>()
  const map = new Map<number, number>()
  const open = new Set<number>()
  const connections = new Map<number, number>()
  const stop = new AbortController()
  const contexts = new TlsContexts({
    ruleSets: () => stored,
    materialsOf({ terminating }) {
      const name = terminating?.secret.name ?? ''
      const digest = digests.has(name) ? digests.get(name) : '1'
      return digest === undefined ? { problem: `no ${name}` } : { texts: {}, files: {}, digest }
    },
    open(slot, _materials, has) {
      open.add(slot)
      return {
        sockets: [],
        launcher: {
          name: `https-${slot + 1}`,
          parsers: ['http'],
          isFor: has,
          sockets: [],
          launch: async () => ({
            process: spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'pipe'] }),
            serving: Promise.resolve([]),
            apply: async () => [],
            counts: () => ({}),
            use: async () => ({ open: connections.get(slot) ?? 0, ever: 0 }),
          }),
        },
        [Symbol.dispose]: () => void open.delete(slot),
      }
    },
    map,
    slots,
    log: LOG,
    signal: stop.signal,
    patienceMs,
    lookMs: 10,
  })
  const running = contexts.run()
  t.after(async () => {
    stop.abort()
    await running
    assert.deepEqual([[...map], [...open]], [[], []], 'nothing is left at the end')
  })
  return {
    contexts,
    digests,
    map,
    open,
    connections,
    /** These sets and no others. */
    have: async (...sets: L7RuleSet[]): Promise<void> => {
      stored.splice(0, stored.length, ...sets)
      contexts.follow()
      await contexts.settled(AbortSignal.timeout(10_000))
    },
  }
}

test('sets of one context have one slot, others another', async t => {
  const { have, map, contexts } = start(t, 3)
  await have(set(1, 'a'), set(2, 'a'), set(3, 'b'))
  assert.deepEqual(
    [...map],
    [
      [1, 0],
      [2, 0],
      [3, 1],
    ],
  )
  await have(set(2, 'a'), set(4, 'a'), set(3, 'b'))
  assert.deepEqual(
    [...map].sort(([a], [b]) => a - b),
    [
      [2, 0],
      [3, 1],
      [4, 0],
    ],
  )
  assert.deepEqual(contexts.failures, [])
})

test('there are as many as there are slots; one that is on its way out makes room', async t => {
  const { have, map, contexts, connections } = start(t, 2)
  await have(set(1, 'a'), set(2, 'b'), set(3, 'c'))
  assert.deepEqual([...map.keys()], [1, 2])
  assert.deepEqual(contexts.failures, [
    { number: 3, error: 'there are 2 other TLS contexts, and no more can be kept: let rules name the same Secrets' },
  ])
  connections.set(0, 5)
  await have(set(2, 'b'), set(3, 'c'))
  assert.deepEqual([map.get(2), map.get(3), map.has(1)], [1, 0, false])
  assert.deepEqual(contexts.failures, [])
})

test('where all slots are taken, a Secret that changes costs the connections of before', async t => {
  const { have, map, digests, connections, contexts } = start(t, 1)
  await have(set(1, 'a'))
  connections.set(0, 1)
  digests.set('a', '2')
  await have(set(1, 'a'))
  assert.deepEqual([[...map], contexts.failures, contexts.servers.length], [[[1, 0]], [], 1])
})

test('one whose Secret has changed keeps its connections, and ends with them', async t => {
  const { have, map, open, digests, connections, contexts } = start(t, 3)
  await have(set(1, 'a'))
  connections.set(0, 1)
  digests.set('a', '2')
  await have(set(1, 'a'))
  assert.deepEqual([...map], [[1, 1]])
  assert.deepEqual(
    contexts.status.map(({ name, drains, tls }) => [name, drains, tls]),
    [
      ['https-1', true, 'terminating by shop/a'],
      ['https-2', undefined, 'terminating by shop/a'],
    ],
  )
  digests.set('a', '1')
  await have(set(1, 'a'))
  assert.deepEqual([...map], [[1, 0]], 'the Secret is as it was')
  connections.set(0, 1)
  await until(() => !open.has(1))
  digests.set('a', '2')
  await have(set(1, 'a'))
  connections.set(0, 0)
  await until(() => !open.has(0))
})

test('its patience has an end', async t => {
  const { have, open, digests, connections } = start(t, 2, 50)
  await have(set(1, 'a'))
  connections.set(0, 1)
  digests.set('a', '2')
  await have(set(1, 'a'))
  await until(() => !open.has(0))
})

test('without its Secret nobody is led to it, at once', async t => {
  const { have, map, digests, contexts } = start(t, 2)
  await have(set(1, 'a'), set(2, 'b'))
  digests.set('a', undefined)
  const done = have(set(1, 'a'), set(2, 'b'))
  assert.deepEqual([...map.keys()], [2])
  await done
  assert.deepEqual(contexts.failures, [{ number: 1, error: 'no a' }])
  digests.set('a', '1')
  await have(set(1, 'a'), set(2, 'b'))
  assert.deepEqual([map.get(1), contexts.failures], [0, []])
})
