// Lines with their lengths, however they are cut.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { L7Event } from '../tables/index.ts'
import { haproxyRecords } from './haproxy-records.ts'

const format = haproxyRecords(line => (line === 'noise' ? undefined : ({ reason: line } as L7Event)))
const frame = (text: string) => `${Buffer.byteLength(text)} ${text}`

test('every cut leaves whole lines and a rest', () => {
  const bytes = Buffer.from(['one', 'zwölf', 'a b', ''].map(frame).join(''))
  for (let cut = 0; cut <= bytes.length; cut++) {
    const first = format.measure(bytes.subarray(0, cut))
    const second = format.measure(bytes.subarray(first.end))
    assert.equal(first.records + second.records, 4)
    assert.equal(first.end + second.end, bytes.length)
  }
})

test('each line becomes an event, and what is none is counted', () => {
  const bytes = Buffer.from(['zwölf\n', 'noise', 'noise'].map(frame).join(''))
  assert.equal(format.lines(bytes).toString(), '{"reason":"zwölf"}\n{"missed":2}\n')
})

test('a stream without lengths is refused', () => {
  for (const text of ['{"a":1}\n', '12345678 x', 'x 1', '12345678901'])
    assert.throws(() => format.measure(Buffer.from(text)), /without its length/)
})
