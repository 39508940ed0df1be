// What is kept of answers, and what goes first where there is no room.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Answered, NameStore } from './name-store.ts'

const answered = (name: string, address: string, seenMs: number, untilMs = seenMs + 100): Answered => ({
  name,
  address,
  client: '10.244.0.2',
  server: '10.96.0.10',
  seenMs,
  untilMs,
})

const keysOf = (store: NameStore): string[] => store.rows().map(({ name, address }) => `${name} ${address}`)

test('a time to live grows and never shrinks', () => {
  const store = new NameStore({ addressesPerName: 10, addresses: 10 })
  assert.deepEqual(store.learn(answered('a', '192.0.2.1', 0, 100)), ['a 192.0.2.1'])
  store.learn(answered('a', '192.0.2.1', 10, 50))
  assert.equal(store.get('a 192.0.2.1')?.untilMs, 100)
  store.learn(answered('a', '192.0.2.1', 20, 200))
  assert.equal(store.get('a 192.0.2.1')?.untilMs, 200)
  assert.deepEqual(store.expired(199), [])
  assert.deepEqual(
    store.expired(200).map(({ name }) => name),
    ['a'],
  )
})

test('where there is no room, what was answered longest ago goes', () => {
  const store = new NameStore({ addressesPerName: 2, addresses: 3 })
  store.learn(answered('a', '192.0.2.1', 0))
  store.learn(answered('a', '192.0.2.2', 1))
  store.learn(answered('a', '192.0.2.1', 2))
  assert.deepEqual(store.learn(answered('a', '192.0.2.3', 3)), ['a 192.0.2.3', 'a 192.0.2.2'], 'of the name')
  store.learn(answered('b', '192.0.2.2', 4))
  assert.deepEqual(store.learn(answered('c', '192.0.2.2', 5)), ['c 192.0.2.2', 'a 192.0.2.1'], 'in all')
  assert.deepEqual(keysOf(store), ['a 192.0.2.3', 'b 192.0.2.2', 'c 192.0.2.2'])
})

test('what was answered anew neither goes nor counts as used alone', () => {
  const store = new NameStore({ addressesPerName: 2, addresses: 3 })
  store.learn(answered('a', '192.0.2.1', 0))
  const [expired] = store.expired(1000)
  assert.ok(expired)
  store.learn(answered('a', '192.0.2.1', 1000))
  store.keepInUse(expired)
  assert.equal(store.forget(expired), false)
  assert.equal(store.get('a 192.0.2.1')?.state, 'valid')
  const [again] = store.expired(2000)
  assert.ok(again)
  store.keepInUse(again)
  assert.equal(store.get('a 192.0.2.1')?.state, 'in-use')
  const [used] = store.expired(2000)
  assert.ok(used && store.forget(used))
  assert.deepEqual(store.rows(), [])
})

test('random answers never exceed the bounds, and keep the newest', () => {
  const bounds = { addressesPerName: 3, addresses: 7 }
  const pair = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), host: fc.integer({ min: 1, max: 5 }) })
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 60 }), pairs => {
      const store = new NameStore(bounds)
      let newest: string[] = []
      for (const [now, { name, host }] of pairs.entries()) {
        const key = `${name} 192.0.2.${host}`
        store.learn(answered(name, `192.0.2.${host}`, now))
        newest = newest.filter(other => other !== key)
        const own = newest.filter(other => other.startsWith(`${name} `))
        if (own.length >= bounds.addressesPerName) newest.splice(newest.indexOf(own[0] ?? ''), 1)
        if (newest.length >= bounds.addresses) newest.shift()
        newest.push(key)
      }
      assert.deepEqual(keysOf(store), newest)
    }),
  )
})
