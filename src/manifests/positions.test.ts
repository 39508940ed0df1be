// Packed positions: each must be the very position that was read, whatever the text.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Path, Position } from './object.ts'
import { NO_ITEM, packPositions, unpackPosition } from './positions.ts'
import { parseYaml, type YamlPosition } from './yaml.ts'

/** Every path of a value, with its position as it was read. */
function* everyPosition(value: unknown, positioned: YamlPosition, path: Path = []): Generator<[Path, Position]> {
  yield [path, { line: positioned.line, column: positioned.column }]
  for (const [part, child] of positioned.children ?? [])
    yield* everyPosition((value as Record<string | number, unknown>)[part], child, [...path, part])
}

function checkAll(text: string): void {
  const { value, position } = parseYaml(text)
  const packed = packPositions(value, position)
  const last = { ...NO_ITEM }
  for (const [path, want] of everyPosition(value, position))
    assert.deepEqual(unpackPosition(packed, value, path, last), want, `${JSON.stringify(path)} of ${text}`)
}

test('every packed position is what was read', () => {
  const texts = {
    'fields whose names are numbers come first in an object': 'b: 1\n"10": {x: [1, 2]}\na:\n- 3\n- {y: 4}\n"2": 5\n',
    'what an alias stands for is above it': 'base: &base\n  inner: {x: 1}\nlist:\n- *base\n- *base\nafter: 2\n',
    'merged fields': 'base: &base {a: 1, b: [1, 2]}\nfirst:\n  <<: *base\n  b: 3\nlast: 4\n',
    'columns and lines beyond a byte': `${'\n'.repeat(70_000)}${' '.repeat(300)}a: {${' '.repeat(20_000)}b: 1}`,
    'a list longer than the arguments of a call': JSON.stringify(Array.from({ length: 9000 }, (_, i) => i)),
    'a text': 'only text',
  }
  for (const text of Object.values(texts)) checkAll(text)
})

test('every packed position of any JSON is what was read', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(3), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      if (!text.includes('__proto__')) checkAll(text)
    }),
    { numRuns: 300 },
  )
})

test('items of a long list are found from each other, in any order', () => {
  const list = Array.from({ length: 200 }, (_, i) => ({ names: Array.from({ length: 40 }, (_, j) => `${i}-${j}`) }))
  const { value, position } = parseYaml(JSON.stringify(list, undefined, 1))
  const packed = packPositions(value, position)
  const last = { ...NO_ITEM }
  const path = fc.tuple(fc.nat(210), fc.constant('names'), fc.nat(50))
  fc.assert(
    fc.property(fc.array(path), paths => {
      for (const one of paths)
        assert.deepEqual(unpackPosition(packed, value, one, last), unpackPosition(packed, value, one))
    }),
  )
})

test('a path that is not there stands where its nearest ancestor does', () => {
  const { value, position } = parseYaml('spec:\n  ports:\n  - port: 80\n')
  const at = (...path: Path) => unpackPosition(packPositions(value, position), value, path)
  assert.deepEqual(at('spec', 'ports', 0, 'name', 'x'), { line: 3, column: 5 })
  assert.deepEqual(at('spec', 'ports', 1), { line: 2, column: 3 })
  assert.deepEqual(at('spec', 'ports', '0'), { line: 2, column: 3 })
  assert.deepEqual(at('spec', 'toString'), { line: 1, column: 1 })
  assert.deepEqual(at('status'), { line: 1, column: 1 })
})

test('positions weigh a few bytes a field', () => {
  const { value, position } = parseYaml('metadata: {name: a, labels: {a: b, c: d}}\nspec: {ports: [{port: 80}]}\n')
  assert.ok(packPositions(value, position).length <= 3 * 10)
})
