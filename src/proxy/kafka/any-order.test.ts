// Any requests in pieces of any size, and any bytes from either side.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { answer, Bench, idOf, metadata, produce } from './testing/bench.ts'

describe('a Kafka connection, whatever comes', () => {
  it('passes exactly what is allowed and answers everything in order, however it comes', async () => {
    const request = fc.record({ topic: fc.constantFrom('orders', 'secret'), acks: fc.constantFrom(0, 1) })
    const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 12 }), sizes, sizes, async (requests, asked, answered) => {
        const bench = new Bench()
        const whole = requests.map(({ topic, acks }, id) => ({ id, topic, acks, bytes: produce(id, topic, acks) }))
        const allowed = whole.filter(({ topic }) => topic === 'orders')
        await bench.send('client', ...pieces(Buffer.concat(whole.map(({ bytes }) => bytes)), asked))
        assert.deepEqual(bench.takeToBroker(), Buffer.concat(allowed.map(({ bytes }) => bytes)))
        const answers = allowed.filter(({ acks }) => acks === 1).map(({ id }) => answer(id))
        await bench.send('broker', ...pieces(Buffer.concat(answers), answered))
        const ids = idsOf(bench.takeToClient())
        assert.deepEqual(
          ids,
          whole.filter(({ acks }) => acks === 1).map(({ id }) => id),
        )
        assert.equal(bench.events.length, whole.length)
        assert.equal(bench.held.bytes, 0)
      }),
      { numRuns: 60 },
    )
  })

  it('outlives any bytes of either side', async () => {
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.constant(metadata(1, 'orders')), fc.constant(answer(1)))
    const end = fc.constantFrom('client' as const, 'broker' as const)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(end, bytes), { maxLength: 8 }), async sent => {
        const bench = new Bench()
        for (const [from, chunk] of sent) if (!bench.isClosed) await bench.send(from, chunk)
        assert.ok(!bench.takeToBroker().includes('secret'))
      }),
      { numRuns: 200 },
    )
  })
})

function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    cut.push(bytes.subarray(at, at + size))
    at += size
  }
  return cut
}

function idsOf(frames: Buffer): number[] {
  const ids: number[] = []
  for (let at = 0; at < frames.length; at += 4 + frames.readInt32BE(at)) ids.push(idOf(frames, at))
  return ids
}
