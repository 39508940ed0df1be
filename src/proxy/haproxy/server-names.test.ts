// What HAProxy is told of names of servers; test/proxy/tls.test.ts has it judge by them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROXY_ANSWER } from '../../http/index.ts'
import { serverNameEntries } from './server-names.ts'

const entries = (rule: string, ...names: string[]) =>
  serverNameEntries({
    number: 5,
    rules: { parser: 'tls', rules: names.map(serverName => ({ rule, field: '', serverName })) },
  }).map(({ map, key, value }) => `${map} ${key.replace(String(PROXY_ANSWER + 5), 'N')} ${value}`)

test('names are keys, and patterns stand under the labels that they end in', () => {
  const names = ['www.example.com', 'WWW.example.com', '*.example.com', '**.example.com', 'a-*.b.*b*.x', '*', 'x.*']
  assert.deepEqual(entries('r', ...names), [
    'server-names N=www.example.com. 1',
    'server-names N* 6',
    'server-names N~example.com.#1 3:0:*',
    'server-names N~example.com.#2 4:1:',
    'server-names N~x.#1 5:0:*b*,b,a-*',
    'server-names N~.#1 7:0:*,x',
  ])
})

test('who only wants to see connections wants to see those without a name', () =>
  assert.deepEqual(entries('visibility', '*'), ['server-names N* 1', 'server-names N! 1']))

test('other rules are not for it', () =>
  assert.deepEqual(serverNameEntries({ number: 5, rules: { parser: 'dns', rules: [] } }), []))
