// The DNS server of the proxy between real sockets: who asks and who answers see each
// other, and of questions that rules do not allow the server hears nothing.

import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { type Question, readAnswer, readEdns, readResponse } from '../../src/dns/index.ts'
import { message, optRecord } from '../../src/dns/testing/messages.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import { needsRoot } from '../net/fixture.ts'
import type { ClientAnswer } from './dns-client-program.ts'
import { DnsNode, OTHER_POD, POD, SERVER } from './dns-node.ts'

const RULES: L7RuleSet = {
  number: 7,
  rules: {
    parser: 'dns',
    rules: [
      { rule: 'r', field: 'a', name: 'a5.allowed.example.' },
      { rule: 'r', field: 'b', pattern: '*.open.example.' },
    ],
  },
}
const [NO_ERROR, SERVER_FAILURE, NAME_ERROR, REFUSED] = [0, 2, 3, 5]

type Read = {
  readonly id: number
  readonly name?: string
  readonly rcode: number
  readonly addresses: string[]
  readonly isCut?: boolean
}

function read({ answers }: ClientAnswer): Read[] {
  return answers.map(({ message: text }) => {
    const bytes = Buffer.from(text, 'base64')
    const question = readResponse(bytes)
    if ('problem' in question) return { id: bytes.readUInt16BE(0), rcode: (bytes[3] ?? 0) & 15, addresses: [] }
    const { records, rcode, truncated } = readAnswer(bytes, question)
    const addresses = records.flatMap(record => ('address' in record ? [record.address] : []))
    return { id: question.id, name: question.name, rcode, addresses, ...(truncated && { isCut: true }) }
  })
}

async function withRules(options?: Parameters<typeof DnsNode.start>[0]) {
  const node = await DnsNode.start(options)
  await node.apply([RULES])
  return node
}

/** Messages of any bytes, and questions with some of their bytes changed. */
function fuzz() {
  const good = message({ questions: [{ name: 'a1.open.example' }], additional: [optRecord()] })
  const changed = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }).map(changes => {
    const bytes = Uint8Array.from(good)
    for (const [at, byte] of changes) bytes[at] = byte
    return bytes
  })
  const any = fc.oneof(fc.uint8Array({ maxLength: 300 }), changed)
  return { samples: fc.sample(fc.array(any, { minLength: 20, maxLength: 60 }), 10) }
}

describe('DNS through the proxy', needsRoot, () => {
  let node: DnsNode
  before(async () => {
    node = await withRules()
  })
  after(() => node[Symbol.dispose]())
  beforeEach(() => {
    node.heard.length = 0
    node.events.length = 0
  })

  for (const transport of ['UDP', 'TCP'] as const)
    for (const family of [4, 6] as const)
      it(`over ${transport} and IPv${family}: what is allowed is answered, by the server that was asked`, async () => {
        const asked = { transport, family, set: 7 }
        const answer = await node.ask({ ...asked, names: ['a5.Allowed.example', 'x.open.example AAAA'] })
        assert.deepEqual(
          read(answer).sort((a, b) => a.id - b.id),
          [
            { id: 0, name: 'a5.allowed.example.', rcode: NO_ERROR, addresses: ['192.0.2.5'] },
            { id: 1, name: 'x.open.example.', rcode: NO_ERROR, addresses: ['2001:db8::1'] },
          ],
        )
        for (const { from } of answer.answers) assert.equal(from, `${SERVER[family]} 53`)
        for (const { address } of node.heard) assert.equal(address, POD[family], 'the server sees the pod')
        const denied = await node.ask({ ...asked, names: ['secret.example', 'x.y.open.example'] })
        assert.deepEqual(read(denied), [
          { id: 0, name: 'secret.example.', rcode: REFUSED, addresses: [] },
          { id: 1, name: 'x.y.open.example.', rcode: REFUSED, addresses: [] },
        ])
        assert.deepEqual(node.heard.map(({ name }) => name).sort(), ['a5.allowed.example.', 'x.open.example.'])
      })

  it('allows all without rules, and nothing by rules or on connections that are not known', async () => {
    const first = async (set: number | 'unknown', transport: 'TCP' | 'UDP') =>
      read(await node.ask({ transport, set, names: ['a9.any.example'] }))[0]?.rcode
    for (const transport of ['UDP', 'TCP'] as const) {
      assert.equal(await first(0, transport), NO_ERROR)
      assert.equal(await first(8, transport), REFUSED, 'a set that nobody told it of')
      assert.equal(await first('unknown', transport), REFUSED)
    }
    await node.apply([{ ...RULES, number: 9 }])
    assert.equal(read(await node.ask({ set: 9, names: ['a1.open.example'] }))[0]?.rcode, NO_ERROR)
    await node.apply([], [9])
    assert.equal(await first(9, 'UDP'), REFUSED, 'a set that was taken away')
  })

  it('judges each question of an open connection by the rules of the moment', async () => {
    const asking = node.ask({ transport: 'TCP', set: 7, port: 30_000, names: ['late.open.example'], wanted: 1 })
    await new Promise(resolve => setTimeout(resolve, 100))
    node.flow({ from: POD[4], port: 30_000, to: SERVER[4], transport: 'TCP' }, 8)
    assert.equal(read(await asking)[0]?.rcode, NO_ERROR, 'what was asked before is answered')
    node.flow({ from: POD[4], port: 30_001, to: SERVER[4], transport: 'UDP' }, 8)
    assert.equal(read(await node.ask({ port: 30_001, set: 8, names: ['a.open.example'] }))[0]?.rcode, REFUSED)
  })

  it('says that a name is not there instead, where it is told to: for resolvers that search on', async () => {
    using node = await withRules({ dns: { rejectWith: 'nameError' } })
    // As a resolver with a search list asks: the names of the list first.
    const search = ['api.open.example.ns.svc.cluster.local', 'api.open.example.svc.cluster.local', 'api.open.example']
    const rcodes = []
    for (const name of search) rcodes.push(read(await node.ask({ set: 7, names: [name] }))[0]?.rcode)
    assert.deepEqual(rcodes, [NAME_ERROR, NAME_ERROR, NO_ERROR])
  })

  it('answers EDNS with EDNS, also where it refuses', async () => {
    const { answers } = await node.ask({ set: 7, names: ['secret.example'], additional: [optRecord(0x8000)] })
    const bytes = Buffer.from(answers[0]?.message ?? '', 'base64')
    assert.equal(readEdns(bytes, readResponse(bytes) as Question)?.dnssecOk, true)
    await node.ask({ set: 7, names: ['a.open.example'], additional: [optRecord()] })
    assert.equal(node.heard[0]?.payloadBytes, 1232, 'no answer needs fragments')
  })

  it('refuses what it cannot read, and does not answer answers', async () => {
    const two = message({ id: 4, questions: [{ name: 'a.open.example' }, { name: 'secret.example' }] })
    const update = message({ id: 5, flags: 5 << 11, questions: [{ name: 'a.open.example' }] })
    const answer = message({ id: 6, flags: 0x8180, questions: [{ name: 'a.open.example' }] })
    for (const transport of ['UDP', 'TCP'] as const) {
      const told = read(await node.ask({ transport, set: 7, messages: [two, update], wanted: 2 }))
      assert.deepEqual(
        told.map(({ id, rcode }) => [id, rcode]),
        [
          [4, 1],
          [5, REFUSED],
        ],
      )
    }
    const short = await node.ask({
      set: 7,
      messages: [answer, new Uint8Array(3), new Uint8Array(5000)],
      names: ['x.open.example'],
    })
    assert.equal(read(short)[0]?.name, 'x.open.example.')
    assert.equal((await node.ask({ transport: 'TCP', set: 7, messages: [answer], wanted: 1 })).end, 'end')
    assert.ok(!node.heard.some(({ name }) => name === 'secret.example.'))
  })

  it('asks each question from a port and with an id of its own, and believes nobody else', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `a${i}.open.example`)
    assert.equal(read(await node.ask({ set: 7, names })).length, 40)
    assert.ok(new Set(node.heard.map(({ port }) => port)).size >= 38, 'ports')
    assert.ok(new Set(node.heard.map(({ id }) => id)).size >= 38, 'ids')
    const [forged] = read(await node.ask({ set: 7, names: ['badid.open.example'] }))
    assert.deepEqual(forged, { id: 0, name: 'badid.open.example.', rcode: NO_ERROR, addresses: ['192.0.2.1'] })
    await node.countsWhen('mismatched', 2)
    const { answers } = await node.ask({ set: 7, names: ['onlyforged.open.example'], timeoutMs: 300 })
    assert.deepEqual(answers, [])
  })

  it('passes answers on that are cut, refused without a question, or none', async () => {
    const ask = async (name: string, transport: 'UDP' | 'TCP' = 'UDP') =>
      read(await node.ask({ transport, set: 7, names: [name] }))[0]
    assert.equal((await ask('big.open.example'))?.isCut, true)
    assert.equal((await ask('big.open.example', 'TCP'))?.addresses.length, 200)
    assert.equal((await ask('nx.open.example'))?.rcode, NAME_ERROR)
    assert.deepEqual(await ask('bare.open.example'), { id: 0, rcode: 1, addresses: [] })
    const { end } = await node.ask({ transport: 'TCP', set: 7, names: ['silent.open.example'], timeoutMs: 300 })
    assert.equal(end, 'timeout')
  })

  it('answers all of many questions that come at once, also to who asks nothing more', async () => {
    const names = Array.from({ length: 500 }, (_, i) => (i % 5 ? `a${i % 100}.open.example` : 'secret.example'))
    const told = read(await node.ask({ transport: 'TCP', set: 7, names, isLast: true }))
    assert.deepEqual(new Set(told.map(({ id }) => id)).size, 500)
    assert.equal(told.filter(({ rcode }) => rcode === REFUSED).length, 100)
  })

  it('outlives whatever bytes it is sent', async () => {
    const { samples } = fuzz()
    for (const transport of ['UDP', 'TCP'] as const)
      for (const messages of samples)
        await node.ask({ transport, set: 7, messages, wanted: messages.length + 1, timeoutMs: 30 })
    for (const transport of ['UDP', 'TCP'] as const)
      assert.equal(read(await node.ask({ transport, set: 7, names: ['a1.open.example'] }))[0]?.rcode, NO_ERROR)
    assert.ok(node.isAlive)
  })

  it('answers over TCP in any order, and goes on when the server has closed', async () => {
    const order = read(
      await node.ask({ transport: 'TCP', set: 7, names: ['late.open.example', 'a2.open.example', 'secret.example'] }),
    )
    assert.deepEqual(new Set(order.map(({ id }) => id)), new Set([0, 1, 2]))
    assert.equal(order.at(-1)?.id, 0, 'the late one is not waited for')
    const names = ['close.open.example', 'late.open.example']
    const closed = read(await node.ask({ transport: 'TCP', set: 7, names }))
    assert.deepEqual(
      closed.map(({ rcode }) => rcode),
      [SERVER_FAILURE, SERVER_FAILURE],
    )
  })

  it('tells one event for each question', async () => {
    await node.ask({ set: 7, port: 31_000, names: ['cname.open.example'] })
    await node.ask({ set: 7, port: 31_001, names: ['secret.example AAAA'] })
    const [allowed, denied] = [await node.eventOf(31_000), await node.eventOf(31_001)]
    assert.equal(node.events.filter(({ opener }) => opener.port >= 31_000).length, 2)
    const direct = { service: 9, ingress: { set: 0, policyRule: 0 } }
    const ends = { responder: { address: SERVER[4], port: 53, identity: 400 }, ...direct }
    assert.deepEqual(
      { ...allowed, timeMicros: 0, latencyNs: 0 },
      {
        timeMicros: 0,
        verdict: 'FORWARDED',
        transport: 'UDP',
        opener: { address: POD[4], port: 31_000, identity: 300 },
        ...ends,
        egress: { set: 7, policyRule: 11, rule: 1 },
        latencyNs: 0,
        content: {
          parser: 'dns',
          query: 'cname.open.example.',
          queryTypes: ['A'],
          rcode: 0,
          addresses: ['192.0.2.9'],
          ttlSeconds: 30,
          cnames: ['edge.cdn.'],
        },
      },
    )
    assert.ok((allowed?.latencyNs ?? 0) > 0)
    assert.deepEqual(
      { ...denied, timeMicros: 0 },
      {
        timeMicros: 0,
        verdict: 'DROPPED',
        transport: 'UDP',
        opener: { address: POD[4], port: 31_001, identity: 300 },
        ...ends,
        egress: { set: 7, policyRule: 11 },
        deniedBy: 'egress',
        content: { parser: 'dns', query: 'secret.example.', queryTypes: ['AAAA'], rcode: REFUSED },
      },
    )
  })

  it('loses nothing but open questions when its process ends', async () => {
    using node = await withRules()
    await node.killChild()
    // Asked while nobody serves: the socket is still there, and keeps it.
    const waiting = node.ask({ set: 7, names: ['a3.open.example'], timeoutMs: 5_000 })
    await node.startChild()
    await node.apply([RULES])
    assert.equal(read(await waiting)[0]?.rcode, NO_ERROR, 'it waits for the rules, too')
    assert.equal(read(await node.ask({ transport: 'TCP', set: 7, names: ['a3.open.example'] }))[0]?.rcode, NO_ERROR)
  })

  it('bounds what one pod may have open, and leaves the rest to others', async () => {
    using node = await withRules()
    const names = Array.from({ length: 200 }, () => 'silent.open.example')
    for (let round = 0; round < 7; round++) await node.ask({ set: 7, names, wanted: 1, timeoutMs: 150 })
    const counts = await node.countsWhen('overLimit', 300)
    assert.equal(counts['openQuestions'], 1024)
    assert.equal(read(await node.ask({ from: OTHER_POD, set: 7, names: ['a1.open.example'] }))[0]?.rcode, NO_ERROR)
  })
})
