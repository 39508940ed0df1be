// By which rules a question is allowed: those of both directions, or none.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ip } from '../../ip/index.ts'
import type { L7RuleSet } from '../../policy/index.ts'
import type { Connection, KnownFlow } from '../known-flows.ts'
import { Judge } from './judge.ts'

const end = (address: string, port: number) => ({ address: ip(address).bytes, port })
const CONNECTION: Connection = { transport: 'UDP', client: end('10.0.0.1', 1), server: end('10.0.0.2', 53) }

const set = (number: number, ...names: string[]): L7RuleSet => ({
  number,
  rules: { parser: 'dns', rules: names.map((name, i) => ({ rule: 'r', field: String(i), name })) },
})

function judgeOf(sets: readonly [number, number] | undefined): Judge {
  const flow: KnownFlow | undefined = sets && { identities: [300, 400], sets, rules: [5, 6], service: 0 }
  const judge = new Judge({ find: () => flow })
  const tried = { number: 4, rules: { ...set(4, 'c.').rules, audit: true as const } }
  judge.apply({ whole: true, add: [set(1, 'a.', 'b.'), set(2, 'b.'), set(3), tried], remove: [] })
  return judge
}

describe('questions', () => {
  const cases = [
    { sets: [0, 0], name: 'z.', allowed: true },
    { sets: [1, 0], name: 'a.', allowed: true, rule: 0 },
    { sets: [1, 0], name: 'z.', deniedBy: 'egress' },
    { sets: [1, 2], name: 'b.', allowed: true, rule: 1 },
    { sets: [1, 2], name: 'a.', rule: 0, deniedBy: 'ingress' },
    { sets: [3, 0], name: 'a.', deniedBy: 'egress' },
    { sets: [9, 0], name: 'a.', deniedBy: 'egress', reason: 'rule set 9 is not known here' },
    { sets: [1, 0], name: undefined, deniedBy: 'egress' },
    { sets: [4, 0], name: 'c.', allowed: true, rule: 0 },
    { sets: [4, 0], name: 'a.', allowed: true, deniedBy: 'egress' },
    { sets: [4, 0], name: undefined, allowed: true, deniedBy: 'egress' },
    { sets: [1, 4], name: 'a.', allowed: true, rule: 0, deniedBy: 'ingress' },
    { sets: [4, 2], name: 'a.', deniedBy: 'ingress' },
    { sets: [0, 0], name: undefined, allowed: true },
    { sets: undefined, name: 'a.', reason: 'the datapath knows no such connection' },
  ] as const
  for (const { sets, name, ...want } of cases)
    it(`for ${name} by ${sets?.join(' and ')}`, () => {
      const { isAllowed, egress, deniedBy, reason } = judgeOf(sets).judge(CONNECTION, name)
      const { rule } = egress
      assert.deepEqual(
        {
          ...(isAllowed && { allowed: true }),
          ...(rule !== undefined && { rule }),
          ...(deniedBy && { deniedBy }),
          ...(reason && { reason }),
        },
        want,
      )
    })

  it('are judged by what was applied last', () => {
    const judge = judgeOf([2, 0])
    assert.deepEqual(
      judge.apply({ whole: false, add: [{ number: 4, rules: { parser: 'kafka', rules: [] } }], remove: [1] }),
      [{ number: 4, error: 'its rules are for kafka' }],
    )
    assert.ok(judge.judge(CONNECTION, 'b.').isAllowed)
    judge.apply({ whole: true, add: [set(1)], remove: [] })
    assert.ok(!judge.judge(CONNECTION, 'b.').isAllowed)
  })
})
