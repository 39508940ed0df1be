// Which requests the rules of a set allow.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KafkaRule } from '../policy/index.ts'
import { KAFKA_API_KEYS } from '../policy/kinds/cilium/kafka-keys.ts'
import type { Scope, Topics } from './api.ts'
import { KAFKA_APIS } from './catalogue.ts'
import { matchKafka } from './match.ts'

type Given = Partial<KafkaRule>
const subject = (apiKey: number, topics: Topics, scope: Scope = 'topics', clientId?: string) => ({
  header: { apiKey, apiVersion: 3, clientId },
  api: { scope },
  topics,
})
const GROUP = subject(11, [], 'client')
const CASES: readonly { name: string; rules: readonly Given[]; subject: ReturnType<typeof subject>; want: boolean }[] =
  [
    { name: 'no rules allow nothing', rules: [], subject: subject(0, ['a']), want: false },
    { name: 'a rule with nothing allows everything', rules: [{}], subject: subject(30, [], 'cluster'), want: true },
    { name: 'the topic', rules: [{ topic: 'a' }], subject: subject(0, ['a']), want: true },
    { name: 'another topic', rules: [{ topic: 'a' }], subject: subject(0, ['b']), want: false },
    { name: 'a topic that begins alike', rules: [{ topic: 'a' }], subject: subject(0, ['ab']), want: false },
    { name: 'two topics, one allowed', rules: [{ topic: 'a' }], subject: subject(0, ['a', 'b']), want: false },
    {
      name: 'two topics, each by a rule',
      rules: [{ topic: 'a' }, { topic: 'b' }],
      subject: subject(0, ['a', 'b']),
      want: true,
    },
    {
      name: 'two topics, one by a rule for another key',
      rules: [{ topic: 'a' }, { topic: 'b', apiKeys: [1] }],
      subject: subject(0, ['a', 'b']),
      want: false,
    },
    { name: 'all topics by a rule for one', rules: [{ topic: 'a' }], subject: subject(3, undefined), want: false },
    { name: 'all topics by a rule for the key', rules: [{ apiKeys: [3] }], subject: subject(3, undefined), want: true },
    { name: 'no topic by a rule for one', rules: [{ topic: 'a' }], subject: subject(3, []), want: true },
    { name: 'a group by a rule for a topic', rules: [{ topic: 'a' }], subject: GROUP, want: true },
    { name: 'a group by a rule for other keys', rules: [{ topic: 'a', apiKeys: [0] }], subject: GROUP, want: false },
    {
      name: 'the cluster by a rule for a topic',
      rules: [{ topic: 'a' }],
      subject: subject(30, [], 'cluster'),
      want: false,
    },
    { name: 'the key', rules: [{ apiKeys: [0, 3] }], subject: subject(3, ['a']), want: true },
    { name: 'another key', rules: [{ apiKeys: [0, 3] }], subject: subject(1, ['a']), want: false },
    { name: 'the version', rules: [{ apiVersion: 3 }], subject: subject(1, ['a']), want: true },
    { name: 'another version', rules: [{ apiVersion: 4 }], subject: subject(1, ['a']), want: false },
    { name: 'the client', rules: [{ clientId: 'c' }], subject: subject(1, ['a'], 'topics', 'c'), want: true },
    { name: 'another client', rules: [{ clientId: 'c' }], subject: subject(1, ['a'], 'topics', 'C'), want: false },
    { name: 'a client without a name', rules: [{ clientId: 'c' }], subject: subject(1, ['a']), want: false },
  ]

for (const { name, rules, subject: given, want } of CASES)
  test(`${name}: ${want ? 'allowed' : 'denied'}`, () => {
    const complete = rules.map((rule, index) => ({
      rule: `r/${index}`,
      field: '',
      ...rule,
    }))
    assert.equal(matchKafka(complete, given).allowed, want)
  })

test('says of each topic which rule allows it', () => {
  const rules = [{ topic: 'a' }, { topic: 'b' }].map(rule => ({ rule: 'r', field: '', ...rule }))
  assert.deepEqual(matchKafka(rules, subject(0, ['b', 'c', 'b'])), {
    allowed: false,
    topics: [{ topic: 'b', rule: 1 }, { topic: 'c' }],
  })
})

test('what policies can name is let through under the same number', () => {
  for (const [name, number] of KAFKA_API_KEYS) assert.equal(KAFKA_APIS.get(number)?.name, name)
})
