// What the store keeps, what it says of a change, and what it makes of files that a
// crash has left.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import type { L7RuleSet } from '../policy/index.ts'
import { RuleSetStore } from './rule-set-store.ts'

const set = (number: number, name = 'example.com.'): L7RuleSet => ({
  number,
  rules: { parser: 'dns', rules: [{ rule: 'r', field: 'f', name }] },
})

function open(t: TestContext, folder?: string) {
  const place = folder ?? fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-rules-'))
  if (!folder) t.after(() => fs.rmSync(place, { recursive: true }))
  const broken: string[] = []
  return { folder: place, broken, store: new RuleSetStore(place, file => broken.push(path.basename(file))) }
}

const numbers = (store: RuleSetStore) => store.all().map(({ number }) => number)

test('only what is different is a change', t => {
  const { store } = open(t)
  assert.deepEqual(store.change([set(1), set(2)], [7]), { whole: false, add: [set(1), set(2)], remove: [] })
  assert.deepEqual(store.change([set(1), set(3)], [2]), { whole: false, add: [set(3)], remove: [2] })
  assert.equal(store.revision, 2)
  store.change([set(1)], [])
  assert.equal(store.revision, 2)
})

test('another content under a number is a removal too', t => {
  const { store } = open(t)
  store.change([set(1)], [])
  assert.deepEqual(store.change([set(1, 'other.')], []), { whole: false, add: [set(1, 'other.')], remove: [1] })
})

test('the whole replaces what is not in it', t => {
  const { store } = open(t)
  store.change([set(1), set(2)], [])
  assert.deepEqual(store.replace([set(2), set(3)]), { whole: false, add: [set(3)], remove: [1] })
})

test('the next process has them, and another generation', t => {
  const { store, folder } = open(t)
  store.change([set(1), set(12)], [])
  store.change([], [1])
  const next = open(t, folder)
  assert.deepEqual(next.store.all(), [set(12)])
  assert.notEqual(next.store.generation, store.generation)
})

test('what a crash has left is removed and told', t => {
  const { store, folder } = open(t)
  store.change([set(1)], [])
  fs.writeFileSync(path.join(folder, '2.json'), '{"number":2,')
  fs.writeFileSync(path.join(folder, '3.json.new'), '')
  fs.copyFileSync(path.join(folder, '1.json'), path.join(folder, '4.json'))
  fs.writeFileSync(path.join(folder, '5.json'), '{"number":5,"rules":{}}')
  const next = open(t, folder)
  assert.deepEqual(next.broken.sort(), ['2.json', '3.json.new', '4.json', '5.json'])
  assert.deepEqual(numbers(next.store), [1])
  assert.deepEqual(fs.readdirSync(folder), ['1.json'])
})
