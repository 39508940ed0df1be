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

/** HAProxy's line of a request, with changes by place. */
const httpLine = (more: Readonly<Record<number, unknown>> = {}, end = ']}'): string => {
  const judged = ['--', '-', '12', '0', 1700000000000000, '1476395013', '1476395008', '10.0.1.5', 40000, '10.0.2.7', 80]
  const request = ['250', '-', 'GET:/a\\"#', 'shop', 'HTTP/1.1', 200, '-']
  const fields = [...judged, '1001', '1002', '7', '8', '5', ...request].map((field, place) => more[place] ?? field)
  return `${JSON.stringify({ http: fields }).slice(0, -2)}${end}`
}

const takenFrom = (...lines: readonly string[]): RequestObserver => {
  const observer = new RequestObserver()
  observer.takeLines(Buffer.from(lines.map(line => `${line}\n`).join('')))
  return observer
}

test('a line is the same event whether it is read at once or when somebody asks', () => {
  const taken = takenFrom(httpLine(), httpLine({ 18: 'GET:/b#' }))
  const read = new RequestObserver()
  for (const target of ['GET:/a\\"#', 'GET:/b#']) read.take(JSON.parse(httpLine({ 18: target })))
  assert.deepEqual([...taken.newestFirst()], [...read.newestFirst()])
  assert.deepEqual(taken.counts(), [{ protocol: 'http', verdict: 'FORWARDED', count: 2 }])
})

test('every line is counted by what it says, whether it is read or not', () => {
  const lines = {
    FORWARDED: [httpLine(), httpLine({ 2: '0', 3: '7' }), httpLine({ 0: 'SD' })],
    DROPPED: [httpLine({ 2: '-1' }), httpLine({ 3: '-' }), httpLine({ 3: '-1' }), httpLine({ 2: '' })],
    ERROR: [httpLine({ 1: 'path' }), httpLine({ 0: 'SC' }), httpLine({ 0: 'PR', 1: '-', 2: '-' })],
  }
  for (const [verdict, told] of Object.entries(lines))
    for (const line of told) assert.deepEqual(takenFrom(line).counts(), [{ protocol: 'http', verdict, count: 1 }], line)
  const mixed = takenFrom(...Object.values(lines).flat(), JSON.stringify({ missed: 4 }), JSON.stringify(l7Event()))
  assert.deepEqual([mixed.received, mixed.lost], [11, 4])
})

test('what is cut off, or no line of ours, is lost and does not end the others', () => {
  const cut = takenFrom(
    httpLine({}, ''),
    httpLine({}, ']'),
    '{"http":["--","-","1"',
    '',
    'noise',
    '{"http":[]}',
    httpLine(),
  )
  assert.deepEqual([cut.received, cut.lost, [...cut.newestFirst()].length], [1, 6, 1])
  // It begins and ends as one, and is none: found out when it is read.
  const none = takenFrom('{"http":["--","-","1","2",]}', httpLine())
  assert.deepEqual([...none.newestFirst()].length, 1)
})
