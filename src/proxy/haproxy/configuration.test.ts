// What the configuration promises whatever HAProxy makes of it; test/proxy runs it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { haproxyConfiguration } from './configuration.ts'
import { maxConnectionsFor } from './shares.ts'

const OPTIONS = {
  sockets: { http: { ipv4: 3, ipv6: 4 }, tls: { ipv4: 5, ipv6: 6 } },
  runtimeSocket: '/run/a b/x.sock',
  maps: '/maps',
  files: '/files',
  maxConnections: 100,
}

test('every inherited socket is taken', () => {
  const text = haproxyConfiguration(OPTIONS)
  for (const descriptor of [3, 4, 5, 6]) assert.match(text, new RegExp(`bind fd@${descriptor}\\n`))
})

test('logs are made only where somebody takes them', () => {
  assert.doesNotMatch(haproxyConfiguration(OPTIONS), /log-format|^ring/m)
  assert.match(haproxyConfiguration({ ...OPTIONS, logSocket: '/log.sock' }), /server supervisor "unix@\/log.sock"/)
})

test('paths are one word', () => {
  assert.match(haproxyConfiguration(OPTIONS), /stats socket "\/run\/a b\/x\.sock" mode 600/)
})

test('connections follow from descriptors', () => {
  assert.equal(maxConnectionsFor(20_000), 9_900)
  assert.equal(maxConnectionsFor(100), 1)
})

test('no number is compared with a negative one, which HAProxy 2.6 takes for the largest', () => {
  assert.doesNotMatch(haproxyConfiguration(OPTIONS), /-m int \w+ -/)
})
