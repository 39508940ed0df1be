// A connection of TLS in HAProxy's short form; test/proxy/tls.test.ts has HAProxy write it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventOfTlsRecord } from './tls-record.ts'

const PLACES = { ended: 0, refusal: 1, egress: 2, ingress: 3, answer: 5, name: 16 }

const line = (more: Readonly<Record<number, string>>): unknown[] => {
  const fields = ['--', '-', '3', '0', 1700000000000000, '1476395013', '1476395008', '10.0.1.5', 40000]
  fields.push('10.0.2.7', 443, '1001', '1002', '7', '8', '5', 'www.example.com')
  return fields.map((field, place) => more[place] ?? field)
}
const verdict = (more: Readonly<Record<number, string>>) => {
  const event = eventOfTlsRecord(line(more))
  return [event?.verdict, event?.deniedBy, event?.reason]
}

test('what is in it', () =>
  assert.deepEqual(eventOfTlsRecord(line({})), {
    timeMicros: 1700000000000000,
    verdict: 'FORWARDED',
    transport: 'TCP',
    opener: { address: '10.0.1.5', port: 40000, identity: 1001 },
    responder: { address: '10.0.2.7', port: 443, identity: 1002 },
    service: 5,
    egress: { set: 5, rule: 2, policyRule: 7 },
    ingress: { set: 0, policyRule: 8 },
    content: { parser: 'tls', serverName: 'www.example.com' },
  }))

test('how it ended', () => {
  const { ended, refusal, egress, ingress, answer, name } = PLACES
  assert.deepEqual(verdict({ [egress]: '-1' }), ['DROPPED', 'egress', undefined])
  assert.deepEqual(verdict({ [ingress]: '-' }), ['DROPPED', 'ingress', undefined])
  assert.match(String(verdict({ [egress]: '-', [refusal]: 'form' })), /^ERROR,,.*ClientHello/)
  assert.match(String(verdict({ [egress]: '-', [refusal]: 'hello', [name]: '-' })), /^ERROR,,.*not well-formed/)
  assert.match(String(verdict({ [answer]: '0', [egress]: '-1' })), /^ERROR,,the kernel/)
  assert.match(String(verdict({ [ended]: 'SC' })), /^ERROR,,the server could not be reached/)
})

test('what is none', () => {
  for (const record of [undefined, [], line({}).slice(1), line({ 4: 'x' }), [...line({}), '']])
    assert.equal(eventOfTlsRecord(record), undefined)
})
