// Rules for what is said, from the fields of the Cilium kinds.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { L7Rules } from '../../model/l7.ts'
import { brief, SHOP, valid } from './testing/read-cilium.ts'

type Read = { readonly warnings?: number; readonly clusterwide?: true; readonly protocol?: string }

/** The rules of the only item of an egress rule, without where they stand. */
function read(fields: string, { protocol = 'TCP', ...options }: Read = {}): unknown {
  const text = `spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "80", protocol: ${protocol}}], ${fields}}]}]}`
  const [rule] = valid(text, options).specs.flatMap(({ rules }) => rules)
  return rule?.l7 && bare(rule.l7)
}

function bare({ parser, rules }: L7Rules): unknown {
  return [parser, ...rules.map(({ rule: _rule, field: _field, ...rest }) => rest)]
}

test('requests of HTTP', async t => {
  const cases: readonly (readonly [name: string, rule: string, want: object])[] = [
    ['every request', '{}', { headers: [] }],
    [
      'as written',
      '{method: GET|HEAD, path: "/a/.*", host: "a[.]b"}',
      { method: 'GET|HEAD', path: '/a/.*', host: 'a[.]b', headers: [] },
    ],
    ['an empty text is as good as none', '{method: "", path: "", host: ""}', { headers: [] }],
    [
      'headers, their names in lower case',
      '{headers: [X-Token, "X-Kind: a b: c", "X-Wide:   d"]}',
      {
        headers: [
          { name: 'x-token', mismatch: 'deny' },
          { name: 'x-kind', value: 'a b: c', mismatch: 'deny' },
          { name: 'x-wide', value: 'd', mismatch: 'deny' },
        ],
      },
    ],
    [
      'headerMatches with what is done where one is missing',
      '{headerMatches: [{name: X-A}, {name: B, value: v, mismatch: LOG}, {name: C, mismatch: ADD, value: w}, {name: D, mismatch: DELETE}, {name: E, value: x, mismatch: REPLACE}]}',
      {
        headers: [
          { name: 'x-a', mismatch: 'deny' },
          { name: 'b', value: 'v', mismatch: 'log' },
          { name: 'c', value: 'w', mismatch: 'add' },
          { name: 'd', mismatch: 'delete' },
          { name: 'e', value: 'x', mismatch: 'replace' },
        ],
      },
    ],
    [
      'secrets, of the own namespace unless said; the value stands in for one that is not there',
      '{headerMatches: [{name: a, secret: {name: s}}, {name: b, value: v, secret: {namespace: vault, name: s}}]}',
      {
        headers: [
          { name: 'a', secret: { namespace: 'shop', name: 's' }, mismatch: 'deny' },
          { name: 'b', value: 'v', secret: { namespace: 'vault', name: 's' }, mismatch: 'deny' },
        ],
      },
    ],
  ]
  for (const [name, rule, want] of cases)
    await t.test(name, () => assert.deepEqual(read(`rules: {http: [${rule}]}`), ['http', want]))
})

test('a clusterwide policy has its secrets in the namespace default', () => {
  assert.deepEqual(read('rules: {http: [{headerMatches: [{name: a, secret: {name: s}}]}]}', { clusterwide: true }), [
    'http',
    { headers: [{ name: 'a', secret: { namespace: 'default', name: 's' }, mismatch: 'deny' }] },
  ])
})

test('requests of Kafka: names of keys are numbers, roles the keys that they need', () => {
  assert.deepEqual(
    read(
      'rules: {kafka: [{}, {apiKey: Fetch, apiVersion: "0", clientID: c, topic: t.x}, {role: Produce, topic: t}, {role: consume}]}',
    ),
    [
      'kafka',
      {},
      { apiKeys: [1], apiVersion: 0, clientId: 'c', topic: 't.x' },
      { apiKeys: [0, 3, 18, 22, 17, 36], topic: 't' },
      { apiKeys: [1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 17, 36] },
    ],
  )
})

test('questions of DNS: in lower case, with the last dot', () => {
  assert.deepEqual(
    read(
      'rules: {dns: [{matchName: API.Example.com}, {matchName: a.}, {matchPattern: "*.B.example"}, {matchPattern: "*"}]}',
    ),
    ['dns', { name: 'api.example.com.' }, { name: 'a.' }, { pattern: '*.b.example.' }, { pattern: '*.' }],
  )
})

test('names of servers: in lower case, without the last dot', () => {
  assert.deepEqual(read('serverNames: [A.Example., "**.b.example"]'), [
    'tls',
    { serverName: 'a.example' },
    { serverName: '**.b.example' },
  ])
})

test('TLS at the proxy: with its Secret, in the own namespace unless said, and the usual keys of it', () => {
  const [rule] = valid(
    `spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}],
       terminatingTLS: {secret: {name: web}, privateKey: web.key}, originatingTLS: {secret: {namespace: vault, name: ca}, trustedCA: ca.pem},
       serverNames: [A.example], rules: {http: [{method: GET}]}}]}]}`,
  ).specs.flatMap(({ rules }) => rules)
  const usual = { certificate: 'tls.crt', privateKey: 'tls.key', trustedCa: 'ca.crt' }
  const at = (field: string) => ({ rule: 'CiliumNetworkPolicy/shop/web/egress[0].toPorts[0]', field })
  assert.deepEqual(rule?.l7, {
    parser: 'http',
    rules: [{ ...at('rules.http[0]'), method: 'GET', headers: [] }],
    serverNames: [{ ...at('serverNames[0]'), serverName: 'a.example' }],
    terminating: { secret: { namespace: 'shop', name: 'web' }, ...usual, privateKey: 'web.key' },
    originating: {
      secret: { namespace: 'vault', name: 'ca' },
      ...usual,
      trustedCa: 'ca.pem',
      needsTrustedCa: true,
    },
  })
  assert.deepEqual(Object.keys(rule?.l7Lines ?? {}).sort(), [
    'originatingTLS',
    'rules.http[0]',
    'serverNames[0]',
    'terminatingTLS',
  ])
})

test('TLS at the proxy alone is about every request, and over TCP', () => {
  for (const end of ['terminatingTLS', 'originatingTLS']) {
    const policy = valid(
      `spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "443"}], ${end}: {secret: {name: s}}}]}]}`,
      { warnings: 1 },
    )
    assert.deepEqual(brief(policy), [{ rule: 'egress[0].toPorts[0] allow', peers: 'any', ports: ['6 443-443'] }])
    const [rule] = policy.specs.flatMap(({ rules }) => rules)
    assert.deepEqual(rule?.l7 && bare(rule.l7), ['http', { headers: [] }])
    assert.equal(rule?.l7?.rules[0]?.field, end)
    assert.deepEqual(policy.unenforced ?? [], [])
    const { rules: left } = { rules: read(`${end}: {secret: {name: s}}, rules: {http: []}`, { warnings: 1 }) }
    assert.deepEqual(left, ['http', { headers: [] }], 'an empty list of rules does not lift it')
  }
})

test('an item that judges content is a rule of its own, named by its place, and so are its rules', () => {
  const item = (port: number, rest = ''): string => `{ports: [{port: "${port}", protocol: TCP}]${rest}}`
  const policy = valid(
    `spec: {endpointSelector: {}, egress: [{toEndpoints: [{}], toPorts: [${item(80)}, ${item(81, ', rules: {http: [{}, {method: GET}]}')}, ${item(82)}, ${item(83, ', serverNames: [a]')}]}]}`,
  )
  const peers = [SHOP]
  assert.deepEqual(brief(policy), [
    { rule: 'egress[0] allow', peers, ports: ['6 80-80', '6 82-82'] },
    { rule: 'egress[0].toPorts[1] allow', peers, ports: ['6 81-81'] },
    { rule: 'egress[0].toPorts[3] allow', peers, ports: ['6 83-83'] },
  ])
  const rules = policy.specs.flatMap(({ rules }) => rules)
  assert.deepEqual(
    rules.map(({ index }) => index),
    [0, 1, 2],
  )
  const key = 'CiliumNetworkPolicy/shop/web/egress[0]'
  assert.deepEqual(
    rules.map(({ key, l7 }) => [key, ...(l7?.rules ?? []).map(({ rule, field }) => `${rule} ${field}`)]),
    [
      [key],
      [`${key}.toPorts[1]`, `${key}.toPorts[1] rules.http[0]`, `${key}.toPorts[1] rules.http[1]`],
      [`${key}.toPorts[3]`, `${key}.toPorts[3] serverNames[0]`],
    ],
  )
})

test('each rule has its own line, which is no part of a set', () => {
  const rules = (comment: string) =>
    valid(`spec:
  endpointSelector: {}
  egress:
    - toPorts:
        - ports: [{port: "53"}]
          rules:
            dns:
              - matchName: a.example
${comment}              - matchPattern: "*.example"`).specs.flatMap(each => each.rules)
  const [rule, moved] = ['', '              # Others.\n'].map(comment => rules(comment)[0])
  assert.deepEqual(rule?.l7Lines, { 'rules.dns[0]': 11, 'rules.dns[1]': 12 })
  assert.deepEqual(moved?.l7Lines, { 'rules.dns[0]': 11, 'rules.dns[1]': 13 })
  assert.deepEqual(moved?.l7, rule?.l7)
  const [names] = valid(
    'spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [a,\n b]}]}]}',
  ).specs.flatMap(each => each.rules)
  assert.deepEqual(names?.l7Lines, { 'serverNames[0]': 4, 'serverNames[1]': 5 })
})

test('where all items judge content there is no other rule; where nothing isolates, the same', () => {
  const rule = 'ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]'
  for (const rest of ['', ', enableDefaultDeny: {ingress: false}'])
    assert.deepEqual(brief(valid(`spec: {endpointSelector: {}, ${rule}${rest}}`)), [
      { rule: 'ingress[0].toPorts[0] allow', peers: 'any', ports: ['6 80-80'] },
    ])
})

test('names are asked for over TCP and UDP, and names of servers over TCP alone', () => {
  const spec = (item: string, rest = ''): string =>
    `spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "53"}], ${item}}]}]${rest}}`
  const open = ', enableDefaultDeny: {egress: false}'
  const names = 'rules: {dns: [{matchPattern: "*"}]}'
  for (const rest of ['', open])
    assert.deepEqual(brief(valid(spec(names, rest))), [
      { rule: 'egress[0].toPorts[0] allow', peers: 'any', ports: ['6 53-53', '17 53-53'] },
    ])
  const tls = { rule: 'egress[0].toPorts[0] allow', peers: 'any', ports: ['6 53-53'] }
  assert.deepEqual(brief(valid(spec('serverNames: [a]'), { warnings: 1 })), [tls])
  assert.deepEqual(brief(valid(spec('serverNames: [a]', open), { warnings: 1 })), [
    { rule: 'egress[0] deny', peers: 'any', ports: ['17 53-53', '132 53-53'] },
    tls,
  ])
})

test('where nothing isolates and a peer is not known, the ports that would be judged are denied', () => {
  const rule =
    'ingress: [{fromEntities: [health], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]'
  const text = `spec: {endpointSelector: {}, ${rule}, enableDefaultDeny: {ingress: false}}`
  assert.deepEqual(brief(valid(text, { warnings: 1 })), [{ rule: 'ingress[0] deny', peers: 'any', ports: ['6 80-80'] }])
})
