// What became of a request, by HAProxy's word on how it ended and by what rules said.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROXY_ANSWER } from '../http/index.ts'
import { eventOfHttpRecord } from './http-record.ts'

const SET = String(PROXY_ANSWER + 1)

const record = (ended: string, ingressVerdict: string, status: number): unknown[] => {
  const judged = [ended, '-', '0', ingressVerdict, 1_000_000, String(PROXY_ANSWER), SET, '10.0.0.1', 40_000]
  const parties = ['10.0.0.2', 8080, '1001', '1002', '0', '7', '0']
  return [...judged, ...parties, '-', '-', 'POST:/orders#', 'shop', 'HTTP/2.0', status, '-']
}

for (const { about, ended, verdict, status, want } of [
  { about: 'denied', ended: 'PR', verdict: '-1', status: 403, want: ['DROPPED', undefined] },
  { about: 'denied, and its body did not come', ended: 'cR', verdict: '-1', status: 408, want: ['DROPPED', undefined] },
  { about: 'denied, and cut by its client', ended: 'CR', verdict: '-1', status: 400, want: ['DROPPED', undefined] },
  {
    about: 'not read to its end',
    ended: 'cR',
    verdict: '-',
    status: 408,
    want: ['ERROR', 'the request did not come in time'],
  },
] as const)
  test(`a request that is ${about}`, () => {
    const event = eventOfHttpRecord(record(ended, verdict, status), 'http')
    assert.deepEqual([event?.verdict, event?.reason], want)
  })
