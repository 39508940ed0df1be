// Tests of identities.ts: an identity range that has no number left. Who has an identity
// keeps it, who would need a new one is told, and the agent goes on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalIdentityAllocator, labelSet, RESERVED } from '../labels/index.ts'
import { addressProblems, IdentityHolder } from './identities.ts'

const claim = (prefix: string, app: string) => ({
  prefix,
  owner: `pod default/${app}`,
  isHost: false,
  endpoint: undefined,
  labels: labelSet([{ source: 'k8s', key: 'app', value: app }]),
})

const planOf = (...claims: ReturnType<typeof claim>[]) => ({
  claims: new Map(claims.map(each => [each.prefix, each])),
  conflicts: [],
})

test('the one that no number is left for stays unknown, and the others are undisturbed', () => {
  const ranges = { cluster: { first: 256, last: 257 }, local: { first: 1 << 24, last: (1 << 24) + 1 } }
  const holder = new IdentityHolder(new LocalIdentityAllocator({ now: () => 0, ranges }))
  const [a, b, c] = [claim('10.0.0.1/32', 'a'), claim('10.0.0.2/32', 'b'), claim('10.0.0.3/32', 'c')]
  holder.assign(planOf(a, b)).release()
  const { addresses, unnumbered, release } = holder.assign(planOf(a, b, c))
  release()
  assert.deepEqual(
    addresses.map(({ prefix, identity }) => [prefix, identity]),
    [
      ['10.0.0.1/32', 256],
      ['10.0.0.2/32', 257],
      ['10.0.0.3/32', RESERVED.unknown],
    ],
  )
  const [problem, ...others] = addressProblems([], unnumbered)
  assert.deepEqual(others, [])
  assert.equal(problem?.object, 'pod default/c')
  assert.match(
    problem?.message ?? '',
    /^address 10\.0\.0\.3\/32 of pod default\/c counts as nobody's.*no cluster identity number is free/,
  )
})
