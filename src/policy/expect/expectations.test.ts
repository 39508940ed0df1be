// Expectations: what each form asks for, when it holds, and what is said when not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../manifests/index.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'
import { isExpectations, readExpectations } from './read-expectations.ts'
import { failureLines } from './report.ts'
import { runExpectations } from './run-expectations.ts'

const SHOP = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: sales}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {serviceAccountName: front, containers: [{name: m, ports: [{name: http, containerPort: 8080}]}]}, status: {podIPs: [{ip: 10.244.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, spec: {containers: [{name: m, ports: [{name: pg, containerPort: 5432}]}]}, status: {podIPs: [{ip: 10.244.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: visitor, namespace: other}, spec: {containers: [{name: m}]}, status: {podIPs: [{ip: 10.244.0.3}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: six, namespace: other}, spec: {containers: [{name: m}]}, status: {podIPs: [{ip: 'fd00::3'}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}, {port: 9000, endPort: 9099}]
  - from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.64/26]}}]
    ports: [{port: 22}]
`

function read(expectations: string) {
  const { objects, problems } = parseManifests(
    `apiVersion: axoneme.io/v1alpha1\nkind: PolicyExpectations\nmetadata: {name: shop}\n${expectations}`,
    'expect.yaml',
  )
  assert.deepEqual(problems, [])
  return readExpectations(objects.find(isExpectations) ?? assert.fail('no expectations'))
}

function run(expectations: string) {
  const found = read(expectations)
  assert.deepEqual(found.problems, [])
  return runExpectations(readCluster(parseManifests(SHOP, 'shop.yaml').objects).cluster, found.expectations)
}

/** `says`: one pattern for each line of the answer; none when it is met. */
const cases: readonly { readonly name: string; readonly given: string; readonly says?: readonly RegExp[] }[] = [
  { name: 'a pair by name', given: '{from: shop/web, to: shop/db, ports: 5432/TCP, expect: allowed}' },
  {
    name: 'a pair that does not reach, with what isolates it',
    given: '{from: other/visitor, to: shop/db, ports: 5432, expect: allowed}',
    says: [
      /^other\/visitor → shop\/db 5432\/TCP: expected allowed, is denied$/,
      /egress: open/,
      /ingress: no rule allows it; isolated by NetworkPolicy shop\/db \(shop\.yaml:12\)/,
    ],
  },
  {
    name: 'a pair that reaches and should not, with the rule',
    given: '{from: shop/web, to: shop/db, ports: pg, expect: denied}',
    says: [
      /web → shop\/db 5432\/TCP: expected denied, is allowed/,
      /egress/,
      /NetworkPolicy shop\/db ingress\[0\] \(shop\.yaml:18\)/,
    ],
  },
  { name: 'a range inside what is allowed', given: '{from: shop/web, to: shop/db, ports: 9010-9020, expect: allowed}' },
  {
    name: 'a range beyond what is allowed: only the excess is told',
    given: '{from: shop/web, to: shop/db, ports: 9090-9200, expect: allowed}',
    says: [/ 9100-9200\/TCP: expected allowed, is denied/, /egress/, /ingress/],
  },
  {
    name: 'no ports: every port of every protocol',
    given: '{from: shop/web, to: shop/db, expect: denied}',
    says: [/web → shop\/db 5432\/TCP, 9000-9099\/TCP: expected denied/, /egress/, /ingress/],
  },
  { name: 'ICMP types', given: '{from: shop/web, to: shop/db, ports: [icmp/8, ICMPv6], expect: denied}' },
  {
    name: 'labels, namespaces, service accounts',
    given: `{from: {namespaceLabels: {team: sales}, labels: {app: w*}, serviceAccount: front}, to: {namespace: sh*, name: db}, ports: 5432, expect: allowed}`,
  },
  {
    name: 'the world, of which one prefix may enter: that prefix is named',
    given: '{from: world, to: shop/db, expect: denied}',
    says: [/^203\.0\.113\.0\/24 → shop\/db 22\/TCP: expected denied, is allowed/, /ingress\[1\]/],
  },
  { name: 'an address', given: '{from: 203.0.113.7, to: shop/db, ports: 22, expect: allowed}' },
  { name: 'an excepted address', given: '{from: [203.0.113.65, 203.0.113.64/26], to: shop/db, expect: denied}' },
  {
    name: 'a prefix that is partly excepted',
    given: '{from: 203.0.113.0/24, to: shop/db, ports: 22, expect: allowed}',
    says: [/^203\.0\.113\.64\/26 → shop\/db 22\/TCP: expected allowed, is denied/, /isolated by/],
  },
  { name: "a pod's address is the pod", given: '{from: 10.244.0.1, to: 10.244.0.2, ports: 5432, expect: allowed}' },
  {
    name: 'nobody else, although somebody may',
    given: '{from: shop/web, to: shop/db, ports: [22, 5432], expect: allowed, nobodyElse: true}',
    says: [
      /web → shop\/db 22\/TCP: expected allowed, is denied/,
      /egress/,
      /ingress/,
      /^203.* 22\/TCP: .* denied, is a/,
      /./,
    ],
  },
  {
    name: 'nobody else: the own node may always',
    given: '{from: shop/web, to: shop/db, ports: 5432, expect: allowed, nobodyElse: true}',
  },
  {
    name: 'nothing else, of a pod that may go everywhere',
    given: '{from: other/visitor, to: shop/web, ports: 8080, expect: allowed, nothingElse: true}',
    says: [
      /^other\/visitor → the node 8080\/TCP: expected denied, is allowed/,
      /./,
      /→ another node/,
      /./,
      /→ world/,
      /./,
      /./,
      /./,
      /./,
      /./,
    ],
  },
  { name: 'by a policy', given: '{from: shop/web, to: shop/db, ports: pg, expect: allowed, by: shop/db}' },
  {
    name: 'by a rule',
    given: "{from: shop/web, to: shop/db, ports: pg, expect: allowed, by: 'NetworkPolicy shop/db ingress[0]'}",
  },
  {
    name: 'denied by whom it is isolated by',
    given: '{from: other/visitor, to: shop/db, expect: denied, by: NetworkPolicy shop/db}',
  },
  {
    name: 'by another rule than expected',
    given: "{from: shop/web, to: shop/db, ports: pg, expect: allowed, by: 'shop/db ingress[1]'}",
    says: [/5432\/TCP: is allowed, but not by shop\/db ingress\[1\]$/, /egress/, /ingress\[0\]/],
  },
  {
    name: 'a name that no pod has',
    given: '{from: [shop/wbe, shop/web], to: shop/db, ports: pg, expect: allowed}',
    says: [/^from: shop\/wbe matches no pod/],
  },
  {
    name: 'a bare name',
    given: '{from: web, to: shop/db, expect: denied}',
    says: [/^from: "web" means nobody: write NAMESPACE\/NAME/],
  },
  {
    name: 'a port that no destination has',
    given: '{from: shop/web, to: shop/db, ports: http, expect: denied}',
    says: [/no connection at all/],
  },
  {
    name: 'no common address family is no way',
    given: '{from: other/six, to: shop/db, ports: 80, expect: allowed}',
    says: [/^other\/six → shop\/db 80\/TCP: expected allowed, is denied$/],
  },
  {
    name: 'audited, where nothing is',
    given: '{from: shop/web, to: shop/db, ports: 1, expect: audited}',
    says: [/expected audited, is denied/, /./, /./],
  },
]

for (const { name, given, says = [] } of cases)
  test(`expectation: ${name}`, () => {
    const [result] = run(`expectations: [${given}]`)
    assert.ok(result)
    const lines = failureLines(result, 100)
    assert.equal(lines.length, says.length, lines.join('\n'))
    for (const [i, pattern] of says.entries()) assert.match(lines[i] ?? '', pattern)
    assert.equal(result.passed, says.length === 0)
  })

test('patterns of names, also those that would keep a regular expression busy for ever', () => {
  const pods = ['a'.repeat(60), 'abc', 'a.b'].map(
    (name, i) =>
      `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: one, labels: {app: ${name}}}, spec: {containers: [{name: m}]}, status: {podIP: 10.0.0.${i + 1}}}`,
  )
  const { cluster } = readCluster(parseManifests(pods.join('\n---\n'), 'pods.yaml').objects)
  const matched = (from: string): string => {
    const { expectations } = read(`expectations: [{from: ${from}, to: 203.0.113.9, ports: 1/TCP, expect: denied}]`)
    const [result = assert.fail()] = runExpectations(cluster, expectations)
    return result.failures.map(failure => failure.from.replace(/a{9,}/, 'aa')).join(' ')
  }
  const cases: readonly (readonly [string, string])[] = [
    ['one/a*', 'one/a.b one/aa one/abc'],
    ['one/*b*', 'one/a.b one/abc'],
    ['one/a*b', 'one/a.b'],
    ['one/a.b', 'one/a.b'],
    ['one/ab*bc', ''],
    ['one*', ''],
    ['"*/*c"', 'one/abc'],
    [`one/${'*a'.repeat(30)}`, 'one/aa'],
    [`one/${'*a'.repeat(30)}b`, ''],
    ['{labels: {app: "a*c"}}', 'one/abc'],
    ['{labels: {constructor: "*"}}', ''],
  ]
  for (const [pattern, want] of cases) assert.equal(matched(pattern).split(' ').sort().join(' '), want, pattern)
})

test('ICMP belongs to one address family: the other never carries it', () => {
  const opened = parseManifests(
    `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ping, namespace: shop}
spec: {endpointSelector: {}, ingress: [{icmps: [{fields: [{type: 128, family: IPv6}]}]}]}`,
    'ping.yaml',
  )
  const { cluster } = readCluster([...parseManifests(SHOP, 'shop.yaml').objects, ...opened.objects])
  const { expectations } = read(`expectations:
- {from: 198.51.100.0/24, to: shop/db, expect: denied}
- {from: other/visitor, to: shop/db, ports: icmpv6/128, expect: denied}
- {from: other/visitor, to: shop/db, ports: icmpv6/128, expect: allowed}`)
  const results = runExpectations(cluster, expectations)
  assert.deepEqual(
    results.map(result => failureLines(result, 9)),
    [[], [], ['other/visitor → shop/db ICMPv6 type 128: expected allowed, is denied']],
  )
})

test('matrix: what is not listed must be denied', () => {
  const results = run(`
matrix:
- {among: [shop/*, other/visitor], ports: 5432/TCP, allowed: {'shop/*': [shop/web, other/*], shop/web: shop/db, other/visitor: [shop/web]}}
- {among: 'shop/*', ports: 5432/TCP, allowed: {shop/web: []}}
`)
  const lines = results.map(result => failureLines(result, 100).filter(line => line.includes('→')))
  // The visitor has no IPv6 brother among them: other/* reaches further than the matrix.
  assert.deepEqual(
    results.map(({ problems }) => problems.length),
    [1, 0],
  )
  assert.deepEqual(lines[1], [
    'shop/db → shop/web 5432/TCP: expected denied, is allowed',
    'shop/web → shop/db 5432/TCP: expected denied, is allowed',
  ])
})

const faulty: readonly { readonly name: string; readonly given: string; readonly says: RegExp }[] = [
  { name: 'nothing', given: '', says: /expects nothing/ },
  {
    name: 'an unknown word',
    given: 'expectations: [{from: a/b, to: c/d, expect: alowed}]',
    says: /expect: must be one of .* "alowed"/,
  },
  {
    name: 'a misspelt field',
    given: 'expectations:\n- {from: a/b, to: c/d, expect: allowed, nobodyelse: true}',
    says: /:5:41: error: .*nobodyelse: unknown field \(did you mean "nobodyElse"\?\)/,
  },
  {
    name: 'a port that is none',
    given: 'expectations:\n- {from: a/b, to: c/d, expect: allowed, ports: 80/TPC}',
    says: /expectations\[0\]\.ports: "80\/TPC" is no port/,
  },
  {
    name: 'a range upside down',
    given: 'expectations: [{from: a/b, to: c/d, expect: allowed, ports: 90-80}]',
    says: /"90-80" .* not within 1 to 65535/,
  },
  {
    name: 'nobody else than denied',
    given: 'expectations: [{from: a/b, to: c/d, expect: denied, nobodyElse: true}]',
    says: /nobodyElse: goes with expect: allowed/,
  },
  {
    name: 'a name that steers the terminal',
    given: 'expectations: [{name: "\\e[31mred", from: a/b, to: c/d, expect: denied}]',
    says: /name: must be one line of printable characters/,
  },
  { name: 'no destination', given: 'expectations: [{from: a/b, expect: denied}]', says: /to: is required/ },
]

for (const { name, given, says } of faulty)
  test(`faulty expectations: ${name}`, () => {
    const { expectations, problems } = read(given)
    assert.deepEqual(expectations, [])
    const texts = problems.map(
      ({ file, line, column, severity, path, message }) =>
        `${file}:${line}:${column}: ${severity}: ${path}: ${message}`,
    )
    assert.ok(
      texts.some(text => says.test(text)),
      texts.join('\n'),
    )
  })
