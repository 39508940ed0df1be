// What the agent and the DNS server accept of each other.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { namesAnswer, taughtNames } from './index.ts'

const TAUGHT = {
  name: 'www.example.com.',
  addresses: [{ address: '192.0.2.1', ttlSeconds: 30 }],
  client: '10.244.0.7',
  server: '10.244.0.2',
  timeMicros: 1_700_000_000_000_000,
}

describe('teaching names', () => {
  it('takes names with their addresses, and nothing else', () => {
    assert.deepEqual(taughtNames.parse({ names: [TAUGHT] }), { names: [TAUGHT] })
    for (const wrong of [{ addresses: [] }, { client: undefined }, { extra: 1 }, { timeMicros: 1.5 }])
      assert.ok(!taughtNames.safeParse({ names: [{ ...TAUGHT, ...wrong }] }).success, JSON.stringify(wrong))
  })

  it('may ask for the selectors alone, and is answered with them where they are others', () => {
    assert.deepEqual(taughtNames.parse({ names: [], selectorsRevision: 'a' }), { names: [], selectorsRevision: 'a' })
    const answer = { selectorsRevision: 'b', selectors: ['*.example.com'] }
    assert.deepEqual(namesAnswer.parse(answer), answer)
    assert.ok(!namesAnswer.safeParse({ selectors: [] }).success)
  })
})
