// Shapes against the compiled datapath: what fits, and each way of not fitting, by the words of its message.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { parseObject } from '../bpf/index.ts'
import { enumeration, layoutDifferences, readEnum, type StructShape, struct } from './layout.ts'

const { btf } = parseObject(readFileSync(new URL('../../build/pod.o', import.meta.url)))

const cases: { name: string; given: StructShape; want: string[] }[] = [
  {
    name: 'the right fields, padding left out',
    given: struct('policy_key', {
      prefix_length: 'number',
      identity: 'number',
      direction: 'number',
      protocol: 'number',
      port: 'number',
    }),
    want: [],
  },
  {
    name: 'a field that C renamed',
    given: struct('ipcache_entry', { identity: 'number', flag_bits: 'number' }),
    want: [
      'struct ipcache_entry has no field flag_bits',
      'struct ipcache_entry has a field flags that this program does not know',
    ],
  },
  {
    name: 'a field of another width',
    given: struct('packet_count', { packets: 'bigint', bytes: 'number' }),
    want: ['struct packet_count.bytes is a bigint, not a number'],
  },
  { name: 'no such struct', given: struct('no_such', {}), want: ['struct no_such is missing'] },
]
for (const { name, given, want } of cases)
  test(`struct: ${name}`, () => assert.deepEqual(layoutDifferences(btf, [given], []), want))

test('enum: names without their prefix, numbers of C', () => {
  const table = readEnum(btf, enumeration('traffic_direction', 'DIRECTION_', ['UNKNOWN', 'INGRESS', 'EGRESS']))
  assert.deepEqual(table.number, { UNKNOWN: 0, INGRESS: 1, EGRESS: 2 })
  assert.equal(table.name(2), 'EGRESS')
  assert.equal(table.name(7), undefined)
  assert.equal(table.text(7), '7')
})

test('enum: a constant on one side only is a difference, whichever side it is', () => {
  assert.deepEqual(layoutDifferences(btf, [], [enumeration('policy_verdict', 'POLICY_', ['ALLOW', 'MAYBE'])]), [
    'enum policy_verdict has no POLICY_MAYBE',
    'enum policy_verdict has a POLICY_DENY that this program does not know',
  ])
  assert.throws(() => readEnum(btf, enumeration('policy_verdict', 'POLICY_', ['ALLOW'])), { code: 'LAYOUT_MISMATCH' })
})
