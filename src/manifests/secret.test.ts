// Secrets as they are read, and that no message tells what is in them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests, readSecret } from './index.ts'

const read = (fields: string) => {
  const text = `apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ntype: Opaque\n${fields}`
  const [object] = parseManifests(text, 's.yaml').objects
  assert.ok(object)
  const { value, problems } = readSecret(object)
  const items = Array.from(value?.items ?? [], ([name, bytes]) => [name, new TextDecoder().decode(bytes)])
  return { value, items, problems: problems.map(({ path, message }) => `${path}: ${message}`) }
}

test('data in base64, and texts, which come before it', () => {
  const { value, items } = read('data: {a: aGVsbG8=, b: "aGVs\\n bG8K"}\nstringData: {a: "plain ä", c: ""}')
  assert.deepEqual([value?.namespace, value?.name], ['shop', 's'])
  assert.deepEqual(items, [
    ['a', 'plain ä'],
    ['b', 'hello\n'],
    ['c', ''],
  ])
  assert.deepEqual(read('').items, [])
})

test('what is wrong, without what is in it', () => {
  const { value, problems } = read('data: {a: hidden, b: 123456, "c d": aGVsbG8=}\nstringData: {e: [hidden]}')
  assert.equal(value, undefined)
  assert.deepEqual(problems, [
    'data.a: must be a text in base64',
    'data.b: must be a text in base64',
    `data["c d"]: must have a name of letters, digits, '-', '_' and '.'`,
    'stringData.e: must be a text',
  ])
  assert.deepEqual(read('data: hidden').problems, ['data: must be a map of names to texts'])
})
