// Which secrets the proxy gets, and when.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SecretValueRow } from '../api/index.ts'
import { Secrets } from '../controllers/index.ts'
import type { HeaderMatch, L7RuleSet } from '../policy/index.ts'
import { createTables } from '../tables/index.ts'
import { SecretDelivery } from './secret-delivery.ts'

const set = (number: number, ...names: string[]): L7RuleSet => {
  const headers = names.map(
    (name): HeaderMatch => ({ name: 'x-token', secret: { namespace: 'shop', name }, mismatch: 'deny' }),
  )
  return { number, rules: { parser: 'http', rules: [{ rule: 'r', field: 'f', headers }], serverNames: [] } }
}

test('those that rules name go before the rules, others never; what is missing is a problem', async () => {
  const secrets = new Secrets()
  const tables = createTables()
  const calls: string[] = []
  const told = (rows: readonly SecretValueRow[]) => rows.map(({ name, value }) => `${name}=${value}`).join(' ')
  const delivery = new SecretDelivery({
    client: {
      ruleSets: async () => ({ generation: '', ruleSets: [] }),
      changeRuleSets: async ({ add }) => {
        calls.push(`sets ${add.map(({ number }) => number).join(' ')}`)
        return { generation: '', failures: [] }
      },
      replaceSecrets: async rows => void calls.push(`secrets ${told(rows)}`),
    },
    secrets,
    onFailure: error => assert.fail(error),
  })
  const proxy = delivery.proxyFor(() => tables)
  const bring = (...add: L7RuleSet[]) => proxy.changeRuleSets({ add, remove: [] }, new AbortController().signal)
  const problems = () => tables.problems.all().map(({ object, message }) => `${object}: ${message.split(':')[0]}`)
  const put = (name: string, text: string) =>
    secrets.put({ namespace: 'shop', name, items: new Map([['x', new TextEncoder().encode(text)]]) })

  put('a', '1')
  put('unused', 'hidden')
  await bring(set(1, 'a'))
  assert.deepEqual(calls.splice(0), ['sets 1'], 'not all secrets are here yet: the proxy keeps what it has')
  secrets.initialized()
  await bring(set(1, 'a', 'b'))
  assert.deepEqual(calls.splice(0), ['secrets a=1', 'sets 1'])
  assert.deepEqual(problems(), ['Secret shop/b: is not there'])
  put('b', '2')
  await bring(set(1, 'a', 'b'))
  await bring(set(1, 'a', 'b'))
  assert.deepEqual(calls.splice(0), ['secrets a=1 b=2', 'sets 1', 'sets 1'])
  assert.deepEqual(problems(), [])
  delivery.refresh()
  await bring(set(1, 'a', 'b'))
  assert.deepEqual(calls, ['secrets a=1 b=2', 'sets 1'])
})
