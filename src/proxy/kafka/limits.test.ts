// What one client may take of the server, and for how long, so that the others have theirs.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'node:test'
import { Admission } from '../admission.ts'
import { admit } from './admit.ts'
import { HELD_BYTES } from './requests.ts'
import { answer, Bench, frame, metadata, produceHead } from './testing/bench.ts'

const LATE_MS = 60_000
const whole = frame(produceHead(1, 'orders', 1, HELD_BYTES - 1024), Buffer.alloc(HELD_BYTES - 1024))
const half = whole.subarray(0, -1024)

const socketOf = (remoteAddress: string): net.Socket =>
  Object.defineProperty(new net.Socket(), 'remoteAddress', { value: remoteAddress })

describe('limits of the Kafka server', () => {
  it('take from one client only so many connections at a time', async () => {
    const open = new Admission(3, 2)
    const [first, ...more] = ['a', 'a', 'a', 'b', 'b'].map(socketOf)
    assert.ok(first)
    assert.deepEqual(
      [first, ...more].map(socket => [admit(socket, open), socket.destroyed]),
      [
        [true, false],
        [true, false],
        [false, true],
        [true, false],
        [false, true],
      ],
    )
    first.destroy()
    await once(first, 'close')
    assert.deepEqual([admit(socketOf('b'), open), open.open], [true, 3])
  })

  it('leave room for other clients, whatever one of them holds', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const first = new Bench('10.0.0.1')
    const greedy = [first, ...Array.from({ length: 1_040 }, () => new Bench('10.0.0.1', first.held))]
    for (const bench of greedy) bench.client.write(half)
    await first.send('client')
    assert.equal(first.isClosed, false)
    const other = new Bench('10.0.0.3', first.held)
    await other.send('client', whole)
    assert.ok(other.takeToBroker().equals(whole))
    assert.equal(other.isClosed, false)
    const cut = greedy.filter(bench => bench.isClosed)
    assert.ok(cut.length > 700, `${cut.length} are cut`)
    assert.match(cut[0]?.events[0]?.reason ?? '', /too much is held/)
    t.mock.timers.tick(LATE_MS)
    await first.send('broker')
    assert.equal(first.held.bytes, 0)
  })

  it('end a connection whose request does not come to its end in time', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const bench = new Bench()
    await bench.send('client', metadata(1, 'orders'), half.subarray(0, -10))
    t.mock.timers.tick(LATE_MS - 1)
    // Some more of it is not enough.
    await bench.send('client', half.subarray(-10))
    assert.equal(bench.isClosed, false)
    t.mock.timers.tick(1)
    await bench.send('broker')
    assert.equal(bench.isClosed, true)
    const late = bench.events.find(event => event.verdict === 'ERROR')
    assert.match(late?.reason ?? '', /60 s/)
    assert.equal(bench.held.bytes, 0)
  })

  it('let wait who has said all, and who has more to say of what passes already', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const bench = new Bench()
    const request = metadata(1, 'orders')
    await bench.send('client', request.subarray(0, 9), request.subarray(9))
    t.mock.timers.tick(2 * LATE_MS)
    await bench.send('broker', answer(1))
    assert.deepEqual(bench.takeToClient(), answer(1))
    const long = frame(produceHead(2, 'orders', 1, 3 * HELD_BYTES), Buffer.alloc(3 * HELD_BYTES))
    await bench.send('client', long.subarray(0, 2 * HELD_BYTES))
    t.mock.timers.tick(2 * LATE_MS)
    await bench.send('client', long.subarray(2 * HELD_BYTES))
    assert.ok(bench.takeToBroker().equals(Buffer.concat([request, long])))
    assert.equal(bench.isClosed, false)
  })
})
