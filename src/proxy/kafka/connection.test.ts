// One connection through the proxy, with what each side sends and gets.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HELD_BYTES } from './requests.ts'
import { answer, Bench, flowOf, frame, head, idOf, metadata, produce, produceHead, text } from './testing/bench.ts'

describe('a Kafka connection', () => {
  it('lets pass what is allowed, byte for byte, also in pieces', async () => {
    const bench = new Bench()
    const request = Buffer.concat([metadata(1, 'orders'), produce(2, 'orders')])
    for (const byte of request) await bench.send('client', Buffer.from([byte]))
    assert.deepEqual(bench.takeToBroker(), request)
    const answers = Buffer.concat([answer(1), answer(2)])
    for (const byte of answers) await bench.send('broker', Buffer.from([byte]))
    assert.deepEqual(bench.takeToClient(), answers)
    const told = bench.events.map(event => [
      event.verdict,
      (event.content as { topic?: string }).topic,
      event.egress.rule,
    ])
    assert.deepEqual(told, [
      ['FORWARDED', 'orders', 0],
      ['FORWARDED', 'orders', 0],
    ])
    assert.ok(bench.events.every(event => (event.latencyNs ?? 0) > 0))
  })

  it('answers what is denied itself, in the order of the requests', async () => {
    const bench = new Bench()
    await bench.send('client', Buffer.concat([metadata(1, 'orders'), produce(2, 'secret'), metadata(3, 'orders')]))
    assert.deepEqual(bench.takeToBroker(), Buffer.concat([metadata(1, 'orders'), metadata(3, 'orders')]))
    assert.equal(bench.takeToClient().length, 0)
    await bench.send('broker', answer(1), answer(3))
    const got = bench.takeToClient()
    const second = answer(1).length
    assert.deepEqual([idOf(got), idOf(got, second)], [1, 2])
    assert.deepEqual(got.subarray(got.length - answer(3).length), answer(3))
    const denied = bench.events.find(event => event.verdict === 'DROPPED')
    assert.equal(denied?.deniedBy, 'egress')
    assert.deepEqual(denied.content, {
      parser: 'kafka',
      apiKey: 0,
      apiVersion: 2,
      correlationId: 2,
      clientId: 'c',
      topic: 'secret',
      errorCode: 29,
    })
    assert.equal(bench.isClosed, false)
  })

  it('lets pass, for the record, what only rules that are tried out deny', async () => {
    const bench = new Bench()
    const told = async (egress: number, ingress: number): Promise<unknown[]> => {
      bench.flow = flowOf(egress, ingress)
      bench.events.length = 0
      await bench.send('client', metadata(1, 'orders'), produce(2, 'secret'))
      await bench.send('broker', ...(egress === 19 ? [answer(1), answer(2)] : [answer(1)]))
      return bench.events.map(({ verdict, deniedBy, egress }) => [verdict, deniedBy, egress.rule])
    }
    assert.deepEqual(await told(19, 0), [
      ['FORWARDED', undefined, 0],
      ['AUDIT', 'egress', undefined],
    ])
    assert.deepEqual(bench.takeToBroker(), Buffer.concat([metadata(1, 'orders'), produce(2, 'secret')]))
    assert.deepEqual(await told(7, 19), [
      ['DROPPED', 'egress', undefined],
      ['FORWARDED', undefined, 0],
    ])
    assert.deepEqual(bench.takeToBroker(), metadata(1, 'orders'))
  })

  it('tells of topics those that a client may know, and of the others that it may not', async () => {
    const bench = new Bench()
    const topic = (name: string, error: number) => Buffer.concat([Buffer.from([0, error]), text(name), Buffer.alloc(5)])
    const cluster = Buffer.alloc(8)
    await bench.send('client', frame(head(3, 1, 1), [0, 0, 0, 2], text('secret'), text('orders')))
    assert.deepEqual(bench.takeToBroker(), metadata(1, 'orders'))
    await bench.send('broker', frame([0, 0, 0, 1], cluster, [0, 0, 0, 1], topic('orders', 0)))
    const both = frame([0, 0, 0, 1], cluster, [0, 0, 0, 2], topic('orders', 0), topic('secret', 29))
    assert.deepEqual(bench.takeToClient(), both)

    const all = frame(head(3, 1, 2), [255, 255, 255, 255])
    await bench.send('client', all)
    assert.deepEqual(bench.takeToBroker(), all)
    await bench.send('broker', frame([0, 0, 0, 2], cluster, [0, 0, 0, 2], topic('secret', 0), topic('orders', 0)))
    assert.deepEqual(bench.takeToClient(), frame([0, 0, 0, 2], cluster, [0, 0, 0, 1], topic('orders', 0)))
    assert.deepEqual(
      bench.events.map(event => [event.verdict, (event.content as { topic?: string }).topic]),
      [
        ['DROPPED', 'secret'],
        ['FORWARDED', 'orders'],
        ['FORWARDED', undefined],
      ],
    )
  })

  it('drops a denied Produce that wants no answer, and goes on', async () => {
    const bench = new Bench()
    await bench.send('client', Buffer.concat([produce(1, 'secret', 0), produce(2, 'orders', 0), metadata(3, 'orders')]))
    assert.deepEqual(bench.takeToBroker(), Buffer.concat([produce(2, 'orders', 0), metadata(3, 'orders')]))
    await bench.send('broker', answer(3))
    assert.deepEqual(bench.takeToClient(), answer(3))
  })

  it('judges each request by the rules of its moment', async () => {
    const bench = new Bench()
    await bench.send('client', produce(1, 'secret'))
    assert.equal(bench.takeToBroker().length, 0)
    bench.flow = flowOf(0, 0)
    await bench.send('client', produce(2, 'secret'))
    assert.deepEqual(bench.takeToBroker(), produce(2, 'secret'))
    for (const flow of [flowOf(0, 7), flowOf(9, 0), undefined]) {
      bench.flow = flow
      await bench.send('client', produce(3, 'secret'))
      assert.equal(bench.takeToBroker().length, 0)
    }
    assert.deepEqual(
      bench.events.map(event => [event.verdict, event.deniedBy, event.reason]),
      [
        ['DROPPED', 'egress', undefined],
        ['DROPPED', 'ingress', undefined],
        ['DROPPED', 'egress', 'rule set 9 is not known here'],
        ['DROPPED', undefined, 'the kernel does not know the connection'],
      ],
    )
  })

  for (const [what, bytes, reason] of [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), /cannot be of/],
    ['a version that is not let through', frame(head(0, 13, 1)), /version 13 of produce/],
    ['a request that is not well-formed', frame(head(3, 1, 1), [0, 0, 0, 9]), /a list is longer/],
  ] as const) {
    it(`ends for ${what}, with an event`, async () => {
      const bench = new Bench()
      await bench.send('client', bytes)
      assert.equal(bench.takeToBroker().length, 0)
      assert.equal(bench.isClosed, true)
      assert.equal(bench.events[0]?.verdict, 'ERROR')
      assert.match(bench.events[0].reason ?? '', reason)
    })

    if (/version/.test(what)) continue
    it(`passes ${what} on where there are no rules, until there are`, async () => {
      const bench = new Bench()
      bench.flow = flowOf(0, 0)
      await bench.send('client', bytes)
      await bench.send('client', Buffer.from('more'))
      assert.deepEqual(bench.takeToBroker(), Buffer.concat([bytes, Buffer.from('more')]))
      await bench.send('broker', Buffer.from('anything'))
      assert.equal(bench.takeToClient().toString(), 'anything')
      bench.flow = flowOf(7, 0)
      await bench.send('client', Buffer.from('more'))
      assert.equal(bench.takeToBroker().length, 0)
      assert.equal(bench.isClosed, true)
    })
  }

  for (const flow of [flowOf(0, 0), flowOf(8, 8)])
    it(`passes versions that are not understood where nothing is denied: by ${flow.sets.join()}`, async () => {
      const bench = new Bench()
      bench.flow = flow
      const newer = frame(head(0, 13, 1), [9, 9, 9])
      await bench.send('client', newer, metadata(2, 'secret'))
      assert.deepEqual(bench.takeToBroker(), Buffer.concat([newer, metadata(2, 'secret')]))
      // The first may have wanted no answer.
      await bench.send('broker', answer(2))
      assert.deepEqual(bench.takeToClient(), answer(2))
      await bench.send('client', newer)
      await bench.send('broker', answer(1))
      assert.deepEqual(bench.takeToClient(), answer(1))
      bench.takeToBroker()
      bench.flow = flowOf(7, 0)
      await bench.send('client', newer)
      assert.equal(bench.takeToBroker().length, 0)
      assert.equal(bench.isClosed, true)
      assert.equal(bench.held.bytes, 0)
    })

  it('holds no more of a client than there is room for, and gives back what it held', async () => {
    const bench = new Bench()
    const request = metadata(1, 'orders')
    await bench.send('client', request.subarray(0, request.length - 1))
    assert.equal(bench.held.bytes, request.length - 5)
    assert.ok(bench.held.take('10.0.0.1', (64 << 20) - bench.held.bytes))
    await bench.send('client', request.subarray(request.length - 1))
    assert.equal(bench.isClosed, true)
    assert.match(bench.events[0]?.reason ?? '', /too much is held/)
    assert.equal(bench.held.bytes, (64 << 20) - (request.length - 5))
  })

  it('says of a newer ApiVersions which version it has, and cuts the broker’s versions down', async () => {
    const bench = new Bench()
    await bench.send('client', frame(head(18, 9, 1), [1, 2, 3]))
    assert.equal(bench.takeToBroker().length, 0)
    assert.equal(bench.takeToClient().readInt16BE(8), 35)
    await bench.send('client', frame(head(18, 0, 2)))
    assert.deepEqual(bench.takeToBroker(), frame(head(18, 0, 2)))
    await bench.send('broker', frame([0, 0, 0, 2, 0, 0, 0, 0, 0, 2], [0, 1, 0, 4, 0, 17], [0, 99, 0, 0, 0, 1]))
    assert.deepEqual(bench.takeToClient(), frame([0, 0, 0, 2, 0, 0, 0, 0, 0, 1], [0, 1, 0, 4, 0, 12]))
  })

  it('passes a long Produce before it is there as a whole, but for its end', async () => {
    const bench = new Bench()
    const size = 3 * HELD_BYTES
    const start = produceHead(1, 'orders', 1, size)
    const whole = frame(start, Buffer.alloc(size, 7))
    const almost = whole.subarray(0, whole.length - 10)
    for (let at = 0; at < almost.length; at += 65_536) await bench.send('client', almost.subarray(at, at + 65_536))
    const passed = bench.takeToBroker()
    assert.ok(passed.length > 2 * HELD_BYTES, `${passed.length} bytes`)
    bench.flow = flowOf(9, 0)
    await bench.send('client', whole.subarray(almost.length))
    assert.equal(bench.takeToBroker().length, 0)
    assert.equal(bench.isClosed, true)
  })

  it('reads a long denied Produce to its end, keeps nothing of it, and answers', async () => {
    const bench = new Bench()
    const size = 3 * HELD_BYTES
    const whole = frame(produceHead(1, 'secret', 1, size), Buffer.alloc(size, 7))
    for (let at = 0; at < whole.length; at += 65_536) await bench.send('client', whole.subarray(at, at + 65_536))
    assert.equal(bench.takeToBroker().length, 0)
    assert.equal(idOf(bench.takeToClient()), 1)
    await bench.send('client', metadata(2, 'orders'))
    assert.deepEqual(bench.takeToBroker(), metadata(2, 'orders'))
  })

  it('ends when the broker answers what nobody asked', async () => {
    const bench = new Bench()
    await bench.send('client', metadata(1, 'orders'))
    await bench.send('broker', answer(2))
    assert.equal(bench.takeToClient().length, 0)
    assert.equal(bench.isClosed, true)
    assert.match(bench.events[0]?.reason ?? '', /not the next one/)
  })
})
