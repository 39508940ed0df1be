// Lines between servers and followers: each once, none made up, and what is lost counted.

import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { EventLog } from './event-log.ts'

const feed = (log: EventLog, ...chunks: readonly string[]) =>
  log.take(
    Readable.from(
      chunks.map(text => Buffer.from(text)),
      { objectMode: true },
    ),
  )

/** What a follower gets that stops after so many items. */
async function taken(log: EventLog, items: number): Promise<string[]> {
  const stop = new AbortController()
  const got: string[] = []
  for await (const item of log.follow(stop.signal)) {
    got.push(item instanceof Buffer ? item.toString() : JSON.stringify(item))
    if (got.length === items) stop.abort()
  }
  return got
}

test('lines come whole, however they were cut', async () => {
  const log = new EventLog()
  await feed(log, '{"a"', ':1}\n{"b":2}\n{"c', '":3}\n', '{"unfinished')
  assert.deepEqual(await taken(log, 2), ['{"a":1}\n{"b":2}\n', '{"c":3}\n'])
  assert.deepEqual([log.counts.received, log.counts.lost, log.counts.waitingBytes], [3, 0, 0])
})

test('nobody there: the newest are kept, the others are counted', async () => {
  const log = new EventLog({ maxBytes: 20 })
  await feed(log, ...[1, 2, 3, 4].map(number => `{"n":${number}}\n`))
  assert.deepEqual(await taken(log, 3), ['{"missed":2}', '{"n":3}\n', '{"n":4}\n'])
  assert.equal(log.counts.lost, 2)
})

test('a later follower begins after what was taken', async () => {
  const log = new EventLog()
  await feed(log, '{"n":1}\n', '{"n":2}\n')
  assert.deepEqual(await taken(log, 1), ['{"n":1}\n'])
  const second = taken(log, 2)
  await feed(log, '{"n":3}\n')
  assert.deepEqual(await second, ['{"n":2}\n', '{"n":3}\n'])
})

test('two followers get everything each', async () => {
  const log = new EventLog()
  const both = [taken(log, 2), taken(log, 2)]
  await feed(log, '{"n":1}\n', '{"n":2}\n')
  assert.deepEqual(await Promise.all(both), [
    ['{"n":1}\n', '{"n":2}\n'],
    ['{"n":1}\n', '{"n":2}\n'],
  ])
})

test('the rate is that of the last seconds', async () => {
  let nowMs = 0
  const log = new EventLog({ nowMs: () => nowMs })
  nowMs = 2_000
  await feed(log, '{"n":1}\n')
  for (let i = 0; i < 100; i++) await feed(log, '{"n":1}\n')
  nowMs = 4_020
  assert.equal(log.counts.perSecond, 50)
})
