// Which secrets the proxy gets, and when.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SecretValueRow } from '../api/index.ts'
import { Secrets, TLS_SECRET_MISSING } from '../controllers/index.ts'
import { parseManifests } from '../manifests/index.ts'
import { type HeaderMatch, type L7RuleSet, readPolicy } from '../policy/index.ts'
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
      ruleSets: async () => ({ generation: '', ruleSets: [], failures: [] }),
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

test('of Secrets for TLS go the keys that rules name, checked; what is wrong is told at the rule', async () => {
  const secrets = new Secrets()
  const tables = createTables()
  let given: readonly SecretValueRow[] = []
  const delivery = new SecretDelivery({
    client: {
      ruleSets: async () => ({ generation: '', ruleSets: [], failures: [] }),
      changeRuleSets: async () => ({ generation: '', failures: [] }),
      replaceSecrets: async rows => void (given = rows),
    },
    secrets,
    onFailure: error => assert.fail(error),
    nowMs: () => Date.parse(AUTHORITY_ENDS) + 1,
  })
  const [object] = parseManifests(POLICY, 'web.yaml').objects
  const rules = object && readPolicy(object)?.value
  assert.ok(rules)
  const { kind, namespace, name, origin } = rules.ref
  tables.database.write(tx => tx.put(tables.policies, { kind, namespace, name, rules, origin }))
  const key = `${kind}/${namespace}/${name}/egress[0].toPorts[0]`
  const context = { secret: { namespace: 'shop', name: 'tls' }, certificate: 'tls.crt', privateKey: 'tls.key' }
  const sets = ['a.crt', 'b.crt'].map((trustedCa, i): L7RuleSet => {
    const originating = { ...context, trustedCa, needsTrustedCa: true as const }
    const rule = { rule: i === 0 ? key : `${key} of a policy that is gone`, field: '', headers: [] }
    return { number: i + 1, rules: { parser: 'http', rules: [rule], serverNames: [], originating } }
  })
  const deliver = async (items: Readonly<Record<string, string>>) => {
    const bytes = Object.entries(items).map(([item, text]) => [item, new TextEncoder().encode(text)] as const)
    secrets.put({ ...context.secret, items: new Map(bytes) })
    await delivery.proxyFor(() => tables).changeRuleSets({ add: sets, remove: [] }, new AbortController().signal)
    return tables.problems.all().map(({ id, object, file, line, message }) => {
      assert.ok(!message.includes('hidden'))
      return [id.startsWith(TLS_SECRET_MISSING), object, `${file}:${line}`, message.replace(/\d{4}-\S*/, 'T')]
    })
  }
  const at = (denies: boolean, text: string) => [
    denies,
    'CiliumNetworkPolicy shop/web',
    'web.yaml:8',
    `egress[0].toPorts[0].originatingTLS: Secret shop/tls: ${text}`,
  ]
  const denied = '; until it is in order, connections that this rule is about are denied'
  secrets.initialized()

  const whole = { 'a.crt': AUTHORITY, 'b.crt': AUTHORITY, unnamed: 'hidden' }
  const expired = 'the certificate in a.crt has expired: it held until T'
  assert.deepEqual(await deliver(whole), [at(false, expired)])
  assert.deepEqual(given, [{ ...context.secret, keys: { 'a.crt': AUTHORITY, 'b.crt': AUTHORITY } }])

  assert.deepEqual(await deliver({ ...whole, 'b.crt': 'hidden' }), [
    at(false, expired),
    at(true, `key b.crt holds no certificates in PEM${denied}`),
  ])
  assert.deepEqual(given, [], 'nobody gets a part of it')
  assert.deepEqual(await deliver({ 'b.crt': AUTHORITY }), [at(true, `key a.crt is not there${denied}`)])
})

const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {}
  egress:
  - toPorts:
    - {ports: [{port: "443", protocol: TCP}], rules: {http: [{}]}}`

/** A certificate that nobody has the key of. */
const AUTHORITY = `-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIUXtHhrWDysMVbOoC9SdruaTjopJ0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MB4XDTI2MTEyMzIyMTIwOVoXDTI2MTEyNjIy
MTIwOVowFDESMBAGA1UEAwwJYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEPPyOOWyoTOQEw2IuguuhUCWXSw8rZN08C4t48kl5LerWtbrFDALGix/3
KWV67AXnOd1JGw6oKAJ2Jj+t8TeuRaNTMFEwHQYDVR0OBBYEFNErsy5i1FRgRT5D
k0+rEtMzjtE9MB8GA1UdIwQYMBaAFNErsy5i1FRgRT5Dk0+rEtMzjtE9MA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgOorh0dvf3XPCUY/auUNi29bc
vfLr/v9z+f3hRFiGpJECIG0PGC/ltUcb8jdL14H82/vYWxvqOdSfqisjOa8ls4Cf
-----END CERTIFICATE-----
`
const AUTHORITY_ENDS = '2026-11-26T22:12:09Z'
