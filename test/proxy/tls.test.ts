// Connections of TLS through a real HAProxy under its real configuration: those whose
// server's name a rule means pass unopened, all others are reset.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { L7RuleSet } from '../../src/policy/index.ts'
import { clientHello, extension, record, serverNameExtension, vector } from './client-hello.ts'
import { CLIENT } from './http-network.ts'
import { needsRoot } from './http-proxy.ts'
import { TlsProxy, WHOLE_BYTES } from './tls-proxy.ts'

const set = (number: number, ...names: string[]): L7RuleSet => ({
  number,
  rules: {
    parser: 'tls',
    rules: names.map((serverName, i) => ({ rule: 'test', field: `serverNames[${i}]`, serverName })),
  },
})
const SETS = [
  set(1, 'www.example.com', '*.api.example.com', 'a*b*c.example.org'),
  set(2, '**.example.com'),
  set(3, '*'),
  set(4),
]
/** Of visibility alone: whatever is said is allowed. */
const SEEN: L7RuleSet = {
  number: 5,
  rules: { parser: 'tls', rules: [{ rule: 'visibility', field: '', serverName: '*' }] },
}

/** What it would refuse passes, for the record. */
const TRIED: L7RuleSet = { number: 20, rules: { ...set(20, 'www.example.com').rules, audit: true } }

const bytes = (...writes: Buffer[]) => ({
  op: 'bytes' as const,
  writes: writes.map(part => part.toString('base64')),
})
const named = (serverName: string) => ({ op: 'tls' as const, serverName, say: 'hello' })
const NAMELESS = { op: 'tls' as const, say: 'hello' }
const HELLO = clientHello(serverNameExtension('www.example.com'))

describe('connections by the names of their servers', needsRoot, () => {
  let proxy: TlsProxy
  before(async () => {
    proxy = await TlsProxy.start([...SETS, SEEN, TRIED])
  })
  after(async () => proxy?.[Symbol.asyncDispose]())

  type Case = [name: string, sets: [number | undefined, number | undefined]]
  const allowed: Case[] = [
    ['www.example.com', [1, 0]],
    ['WWW.Example.COM', [0, 1]],
    ['v1.api.example.com', [1, 2]],
    ['axbyc.example.org', [1, 0]],
    ['a.b.c.example.com', [2, 0]],
    ['anything', [3, 0]],
    ['other.example', [0, 5]],
    ['free.example', [0, 0]],
  ]
  const refused: Case[] = [
    ['example.com', [1, 0]],
    ['example.com', [2, 0]],
    ['xwww.example.com', [1, 0]],
    ['www.example.com.evil.org', [1, 0]],
    ['v1.v2.api.example.com', [1, 0]],
    ['api.example.com', [1, 0]],
    ['acb.example.org', [1, 0]],
    ['axbyc.example.org', [1, 2]],
    ['www.example.com', [4, 0]],
    ['www.example.com', [99, 0]],
    ['www.example.com', [undefined, undefined]],
    ['www.example.com', [1, undefined]],
  ]
  for (const family of [4, 6] as const)
    test(`what a rule means passes with its addresses, over IPv${family}`, async () => {
      await proxy.seen()
      for (const [name, sets] of allowed) {
        await proxy.judgeBy(...sets)
        const { ended, text } = await proxy.ask(named(name), family)
        const client = family === 4 ? `::ffff:${CLIENT[4]}` : CLIENT[6]
        assert.deepEqual([ended, text.toLowerCase()], ['answer', `${name.toLowerCase()} ${client} hello`], name)
      }
      assert.equal(await proxy.seen(), allowed.length)
      for (const [name, sets] of refused) {
        await proxy.judgeBy(...sets)
        assert.equal((await proxy.ask(named(name), family)).ended, 'reset', `${name} by ${sets.join()}`)
      }
      assert.equal(await proxy.seen(), 0, 'the server knows nothing of what is refused')
      const count = allowed.length + refused.length
      assert.equal((await proxy.events(count)).length, count, 'an event each')
    })

  test('what only rules that are tried out would refuse passes, and is told', async () => {
    await proxy.events(0)
    for (const [name, egress, ingress, ended] of [
      ['www.example.com', 20, 0, 'answer'],
      ['example.com', 20, 0, 'answer'],
      ['example.com', 2, 20, 'reset'],
    ] as const) {
      await proxy.judgeBy(egress, ingress)
      assert.equal((await proxy.ask(named(name))).ended, ended, `${name} by ${egress} and ${ingress}`)
    }
    assert.deepEqual(
      // Several threads tell of them.
      (await proxy.events(3)).map(({ verdict, deniedBy }) => `${verdict} ${deniedBy}`).sort(),
      ['AUDIT egress', 'DROPPED egress', 'FORWARDED undefined'],
    )
    await proxy.seen()
  })

  test('each verdict is an event, at once', async () => {
    await proxy.events(0)
    await proxy.judgeBy(1, 3)
    await proxy.ask(named('V1.api.example.com'))
    await proxy.ask(named('example.com'))
    await proxy.ask(NAMELESS)
    await proxy.ask(bytes(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')))
    const events = await proxy.events(4)
    assert.ok(events.every(({ service }) => service === 9))
    assert.deepEqual(
      events.map(({ verdict, content, deniedBy, egress, ingress, opener, reason }) => [
        verdict,
        content.parser === 'tls' && content.serverName,
        deniedBy,
        [egress.set, egress.rule, egress.policyRule],
        [ingress.set, ingress.rule, ingress.policyRule],
        [opener.address, opener.identity],
        reason !== undefined,
      ]),
      [
        ['FORWARDED', 'v1.api.example.com', undefined, [1, 1, 7], [3, 0, 8], [CLIENT[4], 1001], false],
        ['DROPPED', 'example.com', 'egress', [1, undefined, 7], [3, 0, 8], [CLIENT[4], 1001], false],
        ['DROPPED', '', 'egress', [1, undefined, 7], [3, undefined, 8], [CLIENT[4], 1001], false],
        ['ERROR', '', undefined, [1, undefined, 7], [3, undefined, 8], [CLIENT[4], 1001], true],
      ],
    )
  })

  test('a name that is not said is no name, but for whoever only wants to see', async () => {
    await proxy.judgeBy(3, 0)
    assert.equal((await proxy.ask(NAMELESS)).ended, 'reset')
    await proxy.judgeBy(5, 0)
    assert.match((await proxy.ask(NAMELESS)).text, /^none .* hello$/)
    await proxy.judgeBy(5, 3)
    assert.equal((await proxy.ask(NAMELESS)).ended, 'reset')
  })

  test('a ClientHello in many segments is one', async () => {
    await proxy.judgeBy(1, 0)
    const whole = record(HELLO)
    assert.equal((await proxy.ask(bytes(...Array.from(whole, byte => Buffer.of(byte))))).ended, 'answer')
    assert.equal((await proxy.ask(bytes(whole.subarray(0, 3), whole.subarray(3)))).ended, 'answer')
  })

  test('what is no whole ClientHello, or can be read in two ways, is reset', async () => {
    await proxy.judgeBy(1, 0)
    await proxy.seen()
    const grease = extension(0x0a0a, Buffer.alloc(0))
    assert.equal(
      (await proxy.ask(bytes(record(clientHello(grease, serverNameExtension('www.example.com')))))).ended,
      'answer',
    )
    assert.equal(await proxy.seen(), 1)
    const name = serverNameExtension('www.example.com')
    const cases: Record<string, Buffer[]> = {
      HTTP: [Buffer.from('GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n')],
      'SSL 2': [Buffer.from('802e0100020015', 'hex'), Buffer.alloc(41)],
      noise: [Buffer.from(Array.from({ length: 400 }, (_, i) => (i * 151 + 77) & 0xff))],
      'an alert': [record(Buffer.of(2, 40), 21)],
      'another handshake message': [record(Buffer.concat([Buffer.of(2), HELLO.subarray(1)]))],
      'an empty record': [record(Buffer.alloc(0))],
      'two records': [record(HELLO.subarray(0, 60)), record(HELLO.subarray(60))],
      'more in its record': [record(Buffer.concat([HELLO, HELLO]))],
      'longer than its record': [record(HELLO.subarray(0, -1)), Buffer.alloc(1)],
      'too long to wait for': [record(clientHello(name, extension(21, Buffer.alloc(16_200))))],
      'two names': [record(clientHello(serverNameExtension('www.example.com', 'other.org')))],
      'two extensions': [record(clientHello(name, serverNameExtension('other.org')))],
      'an empty list': [record(clientHello(extension(0, vector(2))))],
      'an empty name': [record(clientHello(serverNameExtension('')))],
      'another kind of name': [
        record(clientHello(extension(0, vector(2, Buffer.of(1), vector(2, 'www.example.com'))))),
      ],
      'a name cut off': [
        record(clientHello(extension(0, vector(2, Buffer.of(0), vector(2, 'www.example.com').subarray(0, 9))))),
      ],
      'a name with a zero': [record(clientHello(serverNameExtension('www.example.com\0')))],
      'a name with a dot more': [record(clientHello(serverNameExtension('www.example.com.')))],
      'a name of other letters': [record(clientHello(serverNameExtension('www.example.com#')))],
      'a part, and the end': [record(HELLO).subarray(0, 70)],
    }
    for (const [what, writes] of Object.entries(cases))
      assert.equal((await proxy.ask({ ...bytes(...writes), thenEnd: what.endsWith('the end') })).ended, 'reset', what)
    assert.equal(await proxy.seen(), 0)
  })

  test('who says nothing, or not enough, is not waited for', async () => {
    await proxy.judgeBy(1, 0)
    const waited = await Promise.all([proxy.ask(bytes()), proxy.ask(bytes(record(HELLO).subarray(0, 50)))])
    assert.deepEqual(
      waited.map(({ ended }) => ended),
      ['reset', 'reset'],
    )
  })

  test('a set that comes while it runs', async () => {
    await proxy.add(set(6, 'late.example.com', ...Array.from({ length: 1000 }, (_, i) => `*.zone${i}.example`)))
    await proxy.judgeBy(6, 0)
    assert.equal((await proxy.ask(named('late.example.com'))).ended, 'answer')
    assert.equal((await proxy.ask(named('a.zone999.example'))).ended, 'answer')
    assert.equal((await proxy.ask(named('a.zone1000.example'))).ended, 'reset')
  })

  test('an answer comes whole, though the server ends first and the client is slow', async () => {
    await proxy.judgeBy(1, 0)
    const { ended, bytes: received } = await proxy.ask({ ...named('www.example.com'), say: 'whole', slowMs: 500 })
    assert.deepEqual([ended, received], ['end', WHOLE_BYTES])
  })
})
