// What people see of names: their order, and what each column says of an address.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import type { KnownName } from '../api/index.ts'
import { namesText } from './fqdn-command.ts'

const known = (name: string, address: string, more: Partial<KnownName> = {}): KnownName => ({
  name,
  address,
  secondsLeft: 12,
  state: 'valid',
  client: '10.244.0.2',
  server: '10.96.0.10',
  selectors: [],
  ...more,
})

test('names in order, with what rules make of their addresses', () => {
  const rows = [
    known('b.example', '192.0.2.10', { secondsLeft: 0, state: 'in-use' }),
    known('a.example', '192.0.2.10', { selectors: ['a.example', '*.example'], identity: 16777216 }),
    known('a.example', '192.0.2.9', { owner: 'pod shop/web', identity: 256 }),
  ]
  assert.deepEqual(stripVTControlCharacters(namesText(rows)).split('\n'), [
    'NAME        ADDRESS      TTL LEFT   SELECTORS             IDENTITY   ASKED BY     ANSWERED BY',
    'a.example   192.0.2.9    12 s       (pod shop/web)        256        10.244.0.2   10.96.0.10',
    'a.example   192.0.2.10   12 s       a.example *.example   16777216   10.244.0.2   10.96.0.10',
    'b.example   192.0.2.10   in use                                      10.244.0.2   10.96.0.10',
  ])
  assert.match(namesText([]), /^no name is known/)
})
