// Who has what several services claim.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Claim, claimProblem, compareClaims } from './index.ts'

const claim = (name: string, given: Partial<Claim> = {}): Claim => ({
  namespace: 'a',
  name,
  kind: 'ExternalIP',
  ...given,
})

const cases: readonly { name: string; given: readonly Claim[]; want: string }[] = [
  {
    name: 'the older object',
    given: [
      claim('young', { createdAt: '2026-01-02T00:00:00Z' }),
      claim('old', { createdAt: '2026-01-01T23:00:00-05:00' }),
      claim('older', { createdAt: '2026-01-01T23:00:00Z' }),
    ],
    want: 'older',
  },
  {
    name: 'one whose age is known before one whose is not',
    given: [claim('a'), claim('b', { createdAt: '2026-01-01T00:00:00Z' })],
    want: 'b',
  },
  { name: 'the first namespace', given: [claim('a', { namespace: 'b' }), claim('z')], want: 'z' },
  { name: 'the first name', given: [claim('b'), claim('a')], want: 'a' },
  {
    name: 'a cluster address before any age',
    given: [claim('a', { createdAt: '2020-01-01T00:00:00Z' }), claim('victim', { kind: 'ClusterIP' })],
    want: 'victim',
  },
]

for (const { name, given, want } of cases) {
  test(`a frontend belongs to ${name}`, () => {
    assert.equal(given.toSorted(compareClaims)[0]?.name, want)
    assert.equal(given.toReversed().sort(compareClaims)[0]?.name, want)
  })
}

test('who lost a claim is told of the field and the owner', () => {
  assert.deepEqual(claimProblem(claim('b'), claim('a'), '192.0.2.1:80/TCP'), {
    severity: 'error',
    path: 'spec.externalIPs',
    message: '192.0.2.1:80/TCP belongs to a/a already; this service is not reached there',
  })
})
