// Explanations of single connections in small clusters: what decides, what else
// matches, what nearly did, and the change that is offered.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip } from '../../ip/index.ts'
import { Cluster } from '../cluster/cluster.ts'
import { clusterOf, clusterPolicy, namespace, networkPolicy, node, pod } from '../testing/cluster-text.ts'
import { explain } from './explain.ts'
import type { Change, Explanation, JudgedSide, RuleView, Side } from './explanation.ts'
import { readQuestion } from './question.ts'

const ask = (text: string, from: string, to: string, port: string): Explanation => {
  const cluster = clusterOf(text)
  return explain(cluster, readQuestion(cluster, from, to, port))
}

function judged(side: Side): JudgedSide {
  assert.ok(side.judged)
  return side
}

const ruleName = ({ policy, path, file, line }: RuleView): string => `${policy.name} ${path} ${file}:${line}`

function yamlOf(change: Change): string {
  assert.ok(change.possible, change.possible ? '' : change.because)
  return change.yaml
}

const SHOP = [
  pod('shop/front', { app: 'front' }, { ip: '10.0.0.1' }),
  pod('shop/cart', { app: 'cart' }, { ip: '10.0.0.2', ports: '[{name: http, containerPort: 8080}]' }),
  pod('other/guest', { app: 'guest' }, { ip: '10.0.0.3' }),
].join('')
const CART = networkPolicy(
  'shop/cart',
  `{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: http}]}]}`,
)

test('a rule that allows is named with its place', () => {
  const { verdict, egress, ingress } = ask(SHOP + CART, 'shop/front', 'shop/cart', 'http')
  assert.equal(verdict, 'allowed')
  assert.deepEqual(judged(egress).decision, { kind: 'not-isolated' })
  const side = judged(ingress)
  assert.ok(side.decision.kind === 'rule')
  assert.equal(ruleName(side.decision.rule), 'cart ingress[0] cluster.yaml:23')
  assert.deepEqual(
    side.matching.map(({ role }) => role),
    ['decides'],
  )
})

test('a default deny: who isolates, and what is missing of the nearest rule', () => {
  const more = networkPolicy(
    'shop/more',
    `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.3/32]}}]}, {from: [{podSelector: {}}], ports: [{port: 9, endPort: 12}]}]}`,
  )
  const { verdict, ingress } = ask(SHOP + CART + more, 'other/guest', 'shop/cart', '9999')
  assert.equal(verdict, 'denied')
  const side = judged(ingress)
  assert.deepEqual(side.decision, { kind: 'default-deny' })
  assert.deepEqual(
    side.isolatedBy.map(({ name, line }) => `${name}:${line}`),
    ['cart:20', 'more:25'],
  )
  assert.equal(side.missedCount, 3)
  const because = side.missed.map(rule => [
    ruleName(rule),
    ...rule.because.map(({ part, wants, has }) => `${part}: ${wants} / ${has}`),
  ])
  assert.deepEqual(because, [
    ['more ingress[0] cluster.yaml:28', 'peer: an address in 10.0.0.0/24 except 10.0.0.3/32 / one of those'],
    ['more ingress[1] cluster.yaml:28', 'port: 9-12/TCP / 9999/TCP', 'peer: namespace = shop / namespace = other'],
    [
      'cart ingress[0] cluster.yaml:23',
      'port: http/TCP (8080 here) / 9999/TCP',
      'peer: app = front and namespace = shop / app = guest, namespace = other',
    ],
  ])
})

test('what else matches has its role', () => {
  const rule = (action: string, ports = '') => `{action: ${action}, from: [{namespaces: {}}]${ports}}`
  const text = [
    SHOP,
    clusterPolicy('first', 'Admin', 1, `{namespaces: {}}`, `ingress: [${rule('Pass')}, ${rule('Deny')}]`),
    clusterPolicy('last', 'Baseline', 1, `{namespaces: {}}`, `ingress: [${rule('Deny')}]`),
    CART,
    CART.replace('name: cart,', 'name: same,'),
  ].join('')
  const side = judged(ask(text, 'shop/front', 'shop/cart', '8080').ingress)
  assert.deepEqual(
    side.matching.map(({ role, policy, path }) => `${role} ${policy.name} ${path}`),
    [
      'passes first ingress[0]',
      'skipped first ingress[1]',
      'decides cart ingress[0]',
      'tie same ingress[0]',
      'shadowed last ingress[0]',
    ],
  )
  // Without the pass rule, what stands behind the one that decides is shadowed.
  const denied = judged(ask(text.replace('action: Pass', 'action: Deny'), 'shop/front', 'shop/cart', '8080').ingress)
  assert.deepEqual(
    denied.matching.map(({ role, policy, path }) => `${role} ${policy.name} ${path}`),
    [
      'decides first ingress[0]',
      'shadowed first ingress[1]',
      'shadowed cart ingress[0]',
      'shadowed same ingress[0]',
      'shadowed last ingress[0]',
    ],
  )
})

test('an end without policies says why', () => {
  const text = [
    node('node1', '172.30.0.2'),
    node('node2', '172.30.0.3'),
    pod('shop/cart', { app: 'cart' }, { ip: '10.0.0.2', more: ', nodeName: node1' }),
    pod('shop/daemon', {}, { more: ', nodeName: node2, hostNetwork: true' }),
    networkPolicy('shop/all', '{podSelector: {}}'),
  ].join('')
  const cases = [
    ['172.30.0.2', 'shop/cart', 'allowed', 'node', 'own-node', "a process of a pod's own node always reaches it"],
    ['shop/daemon', '8.8.8.8', 'allowed', 'node', 'outside', 'no policy applies to either end'],
    ['shop/cart', 'shop/cart', 'allowed', 'itself', 'itself', 'never leaves it'],
  ] as const
  for (const [from, to, verdict, egress, ingress, because] of cases) {
    const found = ask(text, from, to, '80')
    assert.equal(found.verdict, verdict)
    for (const [side, why] of [
      [found.egress, egress],
      [found.ingress, ingress],
    ] as const)
      assert.deepEqual(side, { judged: false, because: why })
    assert.ok(!found.change.possible && found.change.because.includes(because), JSON.stringify(found.change))
  }
  // Another node is somebody like any other.
  const { verdict, change } = ask(text, 'shop/daemon', 'shop/cart', '80')
  assert.equal(verdict, 'denied')
  assert.match(yamlOf(change), /cidr: 172\.30\.0\.3\/32/)
})

test('the smallest allowance is a NetworkPolicy for these two and this port', () => {
  const { change } = ask(SHOP + CART, 'other/guest', 'shop/cart', '8080')
  assert.equal(
    yamlOf(change),
    `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-guest-to-cart-8080-tcp
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: cart
  policyTypes:
    - Ingress
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: other
          podSelector:
            matchLabels:
              app: guest
      ports:
        - protocol: TCP
          port: 8080
`,
  )
  assert.ok(change.possible)
  assert.deepEqual([change.also, change.alsoCount], [[], 0])
  assert.deepEqual(
    change.instead.map(({ policy, path }) => `${policy.name} ${path}`),
    ['cart spec.ingress'],
  )
})

test('when both ends deny, there is an object for each', () => {
  const text = SHOP + CART + networkPolicy('other/quiet', '{podSelector: {}, policyTypes: [Egress]}')
  const { change } = ask(text, 'other/guest', 'shop/cart', 'http')
  assert.deepEqual(yamlOf(change).match(/name: allow.*|namespace: .*/g), [
    'name: allow-guest-to-cart-8080-tcp-ingress',
    'namespace: shop',
    'name: allow-guest-to-cart-8080-tcp-egress',
    'namespace: other',
  ])
})

test('selectors leave out who has more labels, and tell who has the same', () => {
  const text = [
    SHOP,
    CART,
    pod('shop/cart-2', { app: 'cart' }, { ip: '10.0.0.4' }),
    pod('shop/canary', { app: 'cart', track: 'canary' }, { ip: '10.0.0.5' }),
    pod('shop/canary-2', { app: 'cart', track: 'canary', tier: 'x' }, { ip: '10.0.0.6' }),
  ].join('')
  const { change } = ask(text, 'other/guest', 'shop/cart', '8080')
  assert.match(yamlOf(change), /matchExpressions:\n +- key: track\n +operator: DoesNotExist/)
  assert.ok(change.possible)
  assert.deepEqual(change.also, [{ from: 'other/guest', to: 'shop/cart-2', family: 4 }])
  // The policy that is there selects the others too.
  assert.deepEqual(change.instead, [])
})

test('a pod that forges its namespace by a label brings nobody else into the change', () => {
  const text = [
    SHOP,
    pod('shop/db', { app: 'db' }, { ip: '10.0.0.7' }),
    pod('shop/forger', { app: 'db', 'io.kubernetes.pod.namespace': 'other' }, { ip: '10.0.0.8' }),
    networkPolicy('shop/closed', '{podSelector: {}}'),
  ].join('')
  const tcp = ask(text, 'other/guest', 'shop/forger', '80').change
  assert.match(yamlOf(tcp), /kind: NetworkPolicy/)
  assert.deepEqual(tcp.possible && tcp.also, [])
  // Only a Cilium policy names types of ICMP, and in its selectors the label would be the namespace itself.
  const ping = ask(text, 'other/guest', 'shop/forger', 'EchoRequest/ICMP').change
  assert.equal(ping.possible, false)
})

test('a denial of a higher tier is overridden there, with the weakest priority that does it', () => {
  const deny = (priority: number) =>
    clusterPolicy('wall', 'Admin', priority, '{namespaces: {}}', 'ingress: [{action: Deny, from: [{namespaces: {}}]}]')
  const { change } = ask(SHOP + CART + deny(10), 'shop/front', 'shop/cart', '8080')
  assert.match(yamlOf(change), /kind: ClusterNetworkPolicy\n[^]*tier: Admin\n {2}priority: 9\n[^]*action: Accept/)
  const strongest = ask(SHOP + CART + deny(0), 'shop/front', 'shop/cart', '8080').change
  assert.deepEqual(strongest, {
    to: 'allow',
    possible: false,
    because:
      'no policy that can be added stands above ClusterNetworkPolicy wall ingress[0], which denies it; change that rule',
  })
})

test('what is allowed can be denied', () => {
  const { change } = ask(SHOP + CART, 'shop/front', 'shop/cart', '8080')
  assert.equal(change.to, 'deny')
  assert.match(yamlOf(change), /kind: ClusterNetworkPolicy\n[^]*priority: 1000\n[^]*ingress:\n {4}- action: Deny\n/)
  const open = ask(SHOP, 'shop/front', '192.0.2.1', '443').change
  assert.match(yamlOf(open), /networks:\n +- 192\.0\.2\.1\/32/)
})

test('what is only tried out is told, and overridden by what is tried out too', () => {
  const audited = CART.replace('name: cart,', 'name: cart, annotations: {policy.axoneme.io/audit: "true"},')
  const { verdict, ingress, change } = ask(SHOP + audited, 'other/guest', 'shop/cart', '8080')
  assert.equal(verdict, 'audited')
  assert.equal(judged(ingress).verdict, 'audited')
  assert.deepEqual(
    judged(ingress).isolatedBy.map(({ audit }) => audit),
    [true],
  )
  assert.equal(change.to, 'allow')
  assert.match(yamlOf(change), /annotations:\n {4}policy\.axoneme\.io\/audit: "true"/)
  const space = SHOP + CART + namespace('shop', { 'policy.axoneme.io/audit': 'true' })
  const inSpace = ask(space, 'other/guest', 'shop/cart', '8080')
  assert.equal(inSpace.verdict, 'audited')
  assert.doesNotMatch(yamlOf(inSpace.change), /annotations/)
})

test('an audited rule in front of the one that decides is told apart', () => {
  const wall = clusterPolicy(
    'wall',
    'Admin',
    1,
    '{namespaces: {}}',
    'ingress: [{action: Accept, from: [{namespaces: {}}]}]',
  )
  const text =
    SHOP +
    networkPolicy('shop/none', '{podSelector: {}}') +
    wall.replace('name: wall', 'name: wall, annotations: {policy.axoneme.io/audit: "true"}')
  const side = judged(ask(text, 'shop/front', 'shop/cart', '80').ingress)
  assert.equal(side.verdict, 'denied')
  assert.deepEqual(
    side.matching.map(({ role }) => role),
    ['audited'],
  )
})

test('a field that is not enforced yet is told where it denies', () => {
  const names = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names, namespace: shop}
spec: {endpointSelector: {}, egress: [{toNodes: [{matchLabels: {rack: a}}]}]}
`
  const cluster = clusterOf(SHOP + names, { withWarnings: true })
  const { verdict, notes } = explain(cluster, readQuestion(cluster, 'shop/front', '192.0.2.1', '443'))
  assert.equal(verdict, 'denied')
  assert.equal(notes.length, 1)
  assert.match(notes[0] ?? '', /^CiliumNetworkPolicy shop\/names: spec\.egress\[0\]\.toNodes is not enforced: /)
})

test('a name is asked for as such; an address that was answered for it has its label', () => {
  const names = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names, namespace: shop}
spec: {endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: "*.example.com"}]}]}
`
  const cluster = clusterOf(SHOP + names)
  const of = (to: string, asked = cluster) => explain(asked, readQuestion(asked, 'shop/front', to, '443'))
  assert.equal(of('api.example.com').verdict, 'allowed')
  assert.match(of('API.Example.Com.').to.name, / \(names matching \*\.example\.com\)$/)
  const denied = of('192.0.2.1')
  assert.equal(denied.verdict, 'denied')
  const side = denied.egress.judged ? denied.egress : undefined
  assert.deepEqual(side?.missed[0]?.because, [
    {
      part: 'peer',
      wants: 'an address that was answered for names matching *.example.com',
      has: 'an address outside the cluster',
    },
  ])
  assert.throws(() => of('api.example.org'), /there is no pod default\/api\.example\.org/)
  const learnt = new Cluster({
    ...cluster.content,
    learntNames: [
      { name: 'api.example.com', address: ip('192.0.2.1') },
      { name: 'other.example', address: ip('192.0.2.2') },
    ],
  })
  assert.equal(of('192.0.2.1', learnt).verdict, 'allowed')
  assert.equal(of('api.example.com', learnt).to.address, '192.0.2.1')
  assert.equal(of('other.example', learnt).verdict, 'denied')
})

test('the world as a whole has an entity of its own', () => {
  const text = SHOP + networkPolicy('shop/none', '{podSelector: {}, policyTypes: [Ingress, Egress]}')
  const { change } = ask(text, 'shop/front', 'world', '443')
  assert.match(yamlOf(change), /enableDefaultDeny:\n[^]*toEntities:\n +- world\n/)
  assert.ok(change.possible && change.world)
  const echo = ask(text, '192.0.2.1', 'shop/cart', 'echo-request/ICMP').change
  assert.match(yamlOf(echo), /fromCIDR:\n +- 192\.0\.2\.1\/32\n +icmps:\n +- fields:\n +- family: IPv4\n +type: 8\n/)
})

test('words that YAML takes for something else are quoted, and taken names are not taken again', () => {
  const text = [
    pod('y/a', { app: 'on' }, { ip: '10.0.0.1' }),
    pod('y/b', { app: '0o17' }, { ip: '10.0.0.2' }),
    networkPolicy('y/allow-on-to-0o17-80-tcp', '{podSelector: {}}'),
  ].join('')
  const yaml = yamlOf(ask(text, 'y/a', 'y/b', '80').change)
  assert.match(yaml, /name: allow-on-to-0o17-80-tcp-2\n {2}namespace: "y"\n/)
  assert.match(yaml, /app: "0o17"/)
  assert.match(yaml, /app: "on"/)
})

/** A CiliumNetworkPolicy of namespace shop about one app, in one direction, on port 80. */
function requests(name: string, app: string, content: string, direction: 'ingress' | 'egress' = 'ingress'): string {
  const rule = `toPorts: [{ports: [{port: "80", protocol: TCP}]${content}}]`
  return `---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {namespace: shop, name: ${name}}, spec: {endpointSelector: {matchLabels: {app: ${app}}}, ${direction}: [{${rule}}]}}
`
}
const GET = ', rules: {http: [{method: GET}]}'
const roles = (side: Side): string[] => judged(side).matching.map(({ policy, role }) => `${policy.name} ${role}`)

test('rules for requests: which judge, and that the connection is open', () => {
  const text = SHOP + requests('a', 'cart', GET) + requests('b', 'cart', ', rules: {http: [{method: PUT}]}')
  const { verdict, ingress, change } = ask(text, 'shop/front', 'shop/cart', '80')
  assert.equal(verdict, 'judged')
  assert.equal(judged(ingress).verdict, 'judged')
  assert.deepEqual(roles(ingress), ['a decides', 'b judges'])
  assert.deepEqual(
    judged(ingress).rules?.rules.map(({ rule, field }) => `${rule} ${field}`),
    ['a', 'b'].map(name => `CiliumNetworkPolicy/shop/${name}/ingress[0].toPorts[0] rules.http[0]`),
  )
  assert.equal(change.to, 'deny')
})

test('rules for requests that another rule lifts', () => {
  const text = SHOP + requests('a', 'cart', GET) + requests('b', 'cart', '') + requests('c', 'cart', '')
  const { verdict, ingress } = ask(text, 'shop/front', 'shop/cart', '80')
  assert.equal(verdict, 'allowed')
  assert.equal(judged(ingress).rules, undefined)
  assert.deepEqual(roles(ingress), ['a lifted', 'b decides', 'c tie'])
})

test('rules of two protocols at one end', () => {
  const text = SHOP + requests('a', 'cart', GET) + requests('b', 'cart', ', rules: {kafka: [{}]}')
  const { verdict, ingress } = ask(text, 'shop/front', 'shop/cart', '80')
  assert.equal(verdict, 'denied')
  const { decision, missedCount } = judged(ingress)
  assert.ok(decision.kind === 'conflict')
  assert.deepEqual(
    decision.rules.map(({ policy, path }) => `${policy.name} ${path}`),
    ['a ingress[0].toPorts[0]', 'b ingress[0].toPorts[0]'],
  )
  assert.deepEqual(roles(ingress), ['a conflicts', 'b conflicts'])
  assert.equal(missedCount, 0)
})

test('rules of two protocols, one at each end', () => {
  const text = SHOP + requests('a', 'cart', GET) + requests('b', 'front', ', rules: {kafka: [{}]}', 'egress')
  const { verdict, egress, ingress, notes, change } = ask(text, 'shop/front', 'shop/cart', '80')
  assert.equal(verdict, 'denied')
  assert.deepEqual([judged(egress).verdict, judged(ingress).verdict], ['judged', 'judged'])
  assert.match(notes.join(), /rules of different protocols/)
  assert.ok(!change.possible)
  assert.match(change.because, /give both ends rules of one/)
})
