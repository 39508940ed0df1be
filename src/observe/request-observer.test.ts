// The stream of requests: counted, and kept within bounds.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RequestObserver } from './request-observer.ts'
import { httpContent, l7Event } from './testing/l7-events.ts'

test('what comes is counted by protocol and verdict; what is no event, or was missed, is lost', () => {
  const observer = new RequestObserver()
  const dns = { parser: 'dns', query: 'a.', queryTypes: ['A'] } as const
  for (const line of [
    l7Event(),
    l7Event({ verdict: 'DROPPED' }),
    l7Event(),
    l7Event({ content: dns }),
    { missed: 5 },
    { missed: -1 },
    'noise',
    null,
    { ...l7Event(), content: { parser: 'smtp' } },
    { ...l7Event(), opener: undefined },
  ])
    observer.take(line)
  assert.deepEqual(observer.counts(), [
    { protocol: 'dns', verdict: 'FORWARDED', count: 1 },
    { protocol: 'http', verdict: 'DROPPED', count: 1 },
    { protocol: 'http', verdict: 'FORWARDED', count: 2 },
  ])
  assert.deepEqual([observer.received, observer.lost], [4, 10])
})

test('the newest are kept, and no more of one than is promised', () => {
  const observer = new RequestObserver()
  const headers = Array.from({ length: 100 }, () => ({ name: 'x', value: 'v'.repeat(10_000) }))
  observer.take(l7Event({ content: httpContent({ path: `/${'p'.repeat(100_000)}`, headers }) }))
  for (let i = 1; i <= 4096; i++) {
    if (i === 4096) {
      const [oldest] = [...observer.newestFirst()].slice(-1)
      assert.ok(JSON.stringify(oldest).length < 10_000)
    }
    observer.take(l7Event({ timeMicros: i }))
  }
  const times = [...observer.newestFirst()].map(({ timeMicros }) => timeMicros)
  assert.deepEqual([times.length, times[0], times.at(-1)], [4096, 4096, 1])
})
