// What is kept of names and messages is bounded, whatever comes.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { TaughtName } from '../../dns/index.ts'
import { Admission } from '../admission.ts'
import { noCounts } from './counts.ts'
import { framed, MessageFrames } from './frames.ts'
import { KnownNames } from './known-names.ts'
import { TaughtQueue, type Waiter } from './taught-queue.ts'

const SECOND = 1e6

const taught = (name: string, addresses: readonly string[], ttlSeconds = 60, timeMicros = 0): TaughtName => ({
  name,
  addresses: addresses.map(address => ({ address, ttlSeconds })),
  client: '10.0.0.1',
  server: '10.0.0.2',
  timeMicros,
})

const waiter = (): Waiter => ({ isOver: false, end: () => undefined })

describe('known names', () => {
  it('are known for as long as the agent keeps them, and renewed where an answer lasts longer', () => {
    const known = new KnownNames()
    known.add(taught('a.', ['1', '2']))
    const look = (addresses: string[], ttlSeconds: number, atSeconds: number) =>
      known.look(taught('a.', addresses, ttlSeconds, atSeconds * SECOND))
    assert.equal(look(['1'], 30, 10), 'known')
    assert.equal(look(['1', '2'], 60, 10), 'renew')
    assert.equal(look(['1', '3'], 30, 10), 'news')
    assert.equal(look(['1'], 30, 59.5), 'news')
    assert.equal(known.look(taught('b.', ['1'])), 'news')
    known.add(taught('a.', ['1'], 60, 30 * SECOND))
    assert.equal(look(['1'], 20, 65), 'known')
    assert.equal(look(['2'], 20, 65), 'news')
    known.add(taught('z.', ['1'], 0))
    assert.equal(known.look(taught('z.', ['1'], 0)), 'news')
  })

  it('forget the oldest first', () => {
    const known = new KnownNames(4)
    for (const name of ['a.', 'b.', 'c.']) known.add(taught(name, ['1', '2']))
    known.add(taught('b.', ['1', '2']))
    known.add(taught('d.', ['1']))
    const look = (name: string) => known.look(taught(name, ['1'], 30))
    assert.deepEqual(['a.', 'b.', 'c.', 'd.'].map(look), ['news', 'known', 'news', 'known'])
  })
})

describe('names to be told', () => {
  it('are told once each, those first that somebody waits for', () => {
    const queue = new TaughtQueue(noCounts())
    queue.add(taught('lazy.', ['1']))
    queue.add(taught('both.', ['1']))
    queue.add(taught('both.', ['2'], 5), waiter())
    const taken = queue.take()
    assert.deepEqual(
      taken.map(({ taught: { name }, waiters }) => [name, waiters.size]),
      [
        ['both.', 1],
        ['lazy.', 0],
      ],
    )
    assert.deepEqual(taken[0]?.taught.addresses, [
      { address: '1', ttlSeconds: 60 },
      { address: '2', ttlSeconds: 5 },
    ])
    assert.equal(queue.size, 0)
  })

  it('are bounded but for those that somebody waits for', () => {
    const counts = noCounts()
    const queue = new TaughtQueue(counts, 3)
    for (let i = 0; i < 5; i++) queue.add(taught(`lazy${i}.`, ['1']))
    const waiting = [waiter(), waiter(), waiter(), waiter()]
    for (const [i, each] of waiting.entries()) queue.add(taught(`held${i}.`, ['1']), each)
    assert.deepEqual([queue.size, counts.untaught], [4, 5])
    for (const [i, each] of waiting.entries()) queue.forget(`held${i}.`, each)
    assert.deepEqual([queue.size, counts.untaught], [3, 6])
  })

  it('are put back without those who wait no longer', () => {
    const queue = new TaughtQueue(noCounts())
    queue.add(taught('a.', ['1']), { isOver: true, end: () => undefined })
    queue.putBack(queue.take())
    assert.equal(queue.take()[0]?.waiters.size, 0)
  })

  it('are taken in portions', () => {
    const queue = new TaughtQueue(noCounts())
    for (let i = 0; i < 250; i++) queue.add(taught(`a${i}.`, ['1']))
    assert.deepEqual([queue.take().length, queue.take().length], [200, 50])
  })
})

describe('admission', () => {
  it('leaves room for others', () => {
    const admission = new Admission(3, 2)
    assert.deepEqual(
      ['a', 'a', 'a', 'b', 'b'].map(client => admission.enter(client)),
      [true, true, false, true, false],
    )
    admission.leave('a')
    assert.deepEqual([admission.enter('b'), admission.open], [true, 3])
  })
})

describe('messages in a stream', () => {
  it('come out as they went in, however the stream is cut', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 })
    fc.assert(
      fc.property(messages, fc.array(fc.nat(400)), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(framed))
        const frames = new MessageFrames()
        const ends = [...new Set([...cuts, stream.length])].filter(end => end <= stream.length).sort((a, b) => a - b)
        const out = ends.flatMap((end, i) =>
          frames.push(stream.subarray(ends[i - 1] ?? 0, end)).map(bytes => Buffer.from(bytes)),
        )
        assert.deepEqual(
          out,
          messages.map(bytes => Buffer.from(bytes)),
        )
      }),
    )
  })
})
