// `policy explain` as a process, by files alone: what it prints for people, for
// machines and for `apply`, and what it says of questions that cannot be asked.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const ROOT = path.join(import.meta.dirname, '../..')
const SHOP = ['-f', 'demo/shop.yaml', 'demo/default-deny.yaml', 'demo/allow-shop.yaml']

async function explain(args: readonly string[], input = '') {
  const child = spawn(process.execPath, [MAIN, 'policy', 'explain', ...args], { stdio: 'pipe', cwd: ROOT })
  child.stdin.end(input)
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: child.exitCode }
}

const FLOW = {
  source: { address: '10.244.0.1', port: 40_000, pod: { namespace: 'other', name: 'visitor' } },
  destination: { address: '10.244.0.2', port: 8080, pod: { namespace: 'shop', name: 'cart' } },
  protocol: 'TCP',
  isReply: false,
  verdict: 'DROPPED',
  dropReason: 'POLICY_DENIED',
}

test('a denied connection, for people', async () => {
  const { out, err, code } = await explain(['other/visitor', 'shop/cart', 'http', ...SHOP])
  assert.deepEqual([err, code], ['', 0])
  assert.equal(
    out,
    `other/visitor (10.244.0.1) → shop/cart (10.244.0.2) 8080/TCP: denied

egress of other/visitor: allowed
  no policy isolates it in this direction, and no rule says otherwise

ingress of shop/cart: denied
  no rule allows it; isolated by
    NetworkPolicy shop/cart (demo/allow-shop.yaml:2)
    NetworkPolicy shop/default-deny (demo/default-deny.yaml:2)
  rules that might have allowed it, the nearest first:
    NetworkPolicy shop/cart ingress[0] (demo/allow-shop.yaml:11): allow
      peer: wants app = frontend and namespace = shop; it is app = visitor, namespace = other

To allow it, apply this:

apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-visitor-to-cart-8080-tcp
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
              app: visitor
      ports:
        - protocol: TCP
          port: 8080

That holds over IPv6 too.
Nothing else changes.

Or add this to spec.ingress of NetworkPolicy shop/cart (demo/allow-shop.yaml:2):

- from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: other
      podSelector:
        matchLabels:
          app: visitor
  ports:
    - protocol: TCP
      port: 8080
`,
  )
})

test('what --change prints, applied, does it', async () => {
  const change = await explain(['other/visitor', 'shop/cart', 'http', '--change', ...SHOP])
  const after = await explain(['other/visitor', 'shop/cart', 'http', ...SHOP, '-'], change.out)
  assert.match(after.out, /8080\/TCP: allowed\n/)
  assert.match(
    after.out,
    /decides {2}NetworkPolicy shop\/allow-visitor-to-cart-8080-tcp ingress\[0\] \(\(standard input\):13\): allow/,
  )
})

test('all that may reach a pod, for people', async () => {
  const { out, err, code } = await explain(['--pod', 'shop/cart', ...SHOP])
  assert.deepEqual([err, code], ['', 0])
  assert.equal(
    out,
    `shop/cart (10.244.0.2, fd00:10:244::2)

may be reached by (isolated by
    NetworkPolicy shop/cart (demo/allow-shop.yaml:2)
    NetworkPolicy shop/default-deny (demo/default-deny.yaml:2))
  from shop/frontend
    8080/TCP: allowed  ingress: NetworkPolicy shop/cart ingress[0] (demo/allow-shop.yaml:11): allow
    everything else: denied  ingress: no rule allows it
  from shop/database, other/visitor
    everything: denied  ingress: no rule allows it
  from IPv4 addresses outside, IPv6 addresses outside
    everything: denied  ingress: no rule allows it

may reach (no policy isolates it)
  to shop/database
    5432/TCP: allowed  ingress: NetworkPolicy shop/database ingress[0] (demo/allow-shop.yaml:25): allow
    everything else: denied  ingress: no rule allows it
  to other/visitor
    everything: allowed
  to IPv4 addresses outside, IPv6 addresses outside
    everything: allowed
  to shop/frontend
    everything: denied  ingress: no rule allows it
`,
  )
})

test('a line that is no flow is told, and the others are explained', async () => {
  const flow = JSON.stringify(FLOW)
  const { out, err, code } = await explain(
    ['--flow', '-', '-o', 'json', ...SHOP],
    `${flow}\n{"source": 1}\nx\n${flow}\n`,
  )
  assert.equal(code, 1)
  assert.match(err, /line 2: this is no flow of `axoneme observe -o json`: source: /)
  assert.match(err, /line 3: a flow is one line of JSON/)
  assert.equal(out.trim().split('\n').length, 2)
})

test('flows as they come, one object a line', async () => {
  const flows = [FLOW, { ...FLOW, verdict: 'FORWARDED', dropReason: undefined }].map(flow => JSON.stringify(flow))
  const { out, err, code } = await explain(['--flow', '-', '-o', 'json', ...SHOP], `${flows.join('\n')}\n\n`)
  assert.deepEqual([err, code], ['', 0])
  const answers = out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { verdict: string; notes: string[] })
  assert.deepEqual(
    answers.map(({ verdict, notes }) => [verdict, notes.length]),
    [
      ['denied', 0],
      ['denied', 1],
    ],
  )
  const one = await explain(['--flow', JSON.stringify(FLOW), ...SHOP])
  assert.match(one.out, /^other\/visitor \(10\.244\.0\.1\) → shop\/cart \(10\.244\.0\.2\) 8080\/TCP: denied\n/)
})

test('what cannot be asked is said in a line', async t => {
  const cases: readonly { readonly name: string; readonly args: readonly string[]; readonly says: RegExp }[] = [
    { name: 'nothing', args: SHOP, says: /^axoneme: what is to be explained\? FROM TO PORT\/PROTOCOL/ },
    { name: 'half a question', args: ['shop/cart', ...SHOP], says: /what is to be explained/ },
    { name: 'two questions', args: ['a', 'b', '1', '--pod', 'c', ...SHOP], says: /give either FROM TO/ },
    { name: 'a pod that is none', args: ['shop/crt', 'shop/cart', '1', ...SHOP], says: /did you mean "shop\/cart"/ },
    { name: 'a flow that is none', args: ['--flow', 'x', ...SHOP], says: /a flow is one line of JSON/ },
    {
      name: 'a change that is none',
      args: ['10.1.1.1', '10.1.1.2', '1', '--change', ...SHOP],
      says: /no policy applies/,
    },
    { name: 'no agent', args: ['a', 'b', '1', '--socket', '/nowhere/x.sock'], says: /no agent answers at \/nowhere/ },
  ]
  await Promise.all(
    cases.map(({ name, args, says }) =>
      t.test(name, async () => {
        const { out, err, code } = await explain(args)
        assert.match(err, says)
        assert.deepEqual([out, code], ['', 1])
      }),
    ),
  )
})

const REQUESTS = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: main, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, labels: {app: api}}
spec: {containers: [{name: main, image: x}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: api}
spec:
  endpointSelector: {matchLabels: {app: api}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts:
    - ports: [{port: "8080", protocol: TCP}]
      rules:
        http:
        - {method: GET, path: "/products(/[0-9]+)?"}
        - {method: POST, path: /orders}
`

const ENDED = `${REQUESTS}---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: data}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toCIDR: [192.0.2.7/32]
    toPorts:
    - ports: [{port: "443", protocol: TCP}]
      terminatingTLS: {secret: {name: data}}
      originatingTLS: {secret: {name: authorities, namespace: vault}}
      rules: {http: [{method: GET}]}
`

test('a request inside of TLS: where that ends and begins', async () => {
  const { out } = await explain(['web', '192.0.2.7', '443', '--http', 'GET /', '-f', '-'], ENDED)
  assert.match(out, /^GET \/: allowed\n/)
  assert.match(
    out,
    /egress of default\/web: allowed by .*rules\.http\[0\] .*\n {4}TLS ends at the proxy \(Secret default\/data\), and TLS to the server begins there \(Secret vault\/authorities\)\n/,
  )
  const named = await explain(['web', '192.0.2.7', '443', '--server-name', 'any.example', '-f', '-'], ENDED)
  const names = ENDED.replace('terminatingTLS:', 'serverNames: [data.example]\n      terminatingTLS:')
  const asked = ['web', '192.0.2.7', '443', '--server-name', 'any.example', '-f', '-']
  const denied = await explain(asked, names)
  assert.match(
    denied.out,
    /^TLS to any\.example: denied\n[^]*add this to spec\.egress\[0\]\.toPorts\[0\]\.serverNames of /,
  )
  const [, , , data = ''] = names.split('---\n')
  const both = await explain(asked, `${names}---\n${data.replace('name: data}\nspec', 'name: more}\nspec')}`)
  assert.match(both.out, /^TLS to any\.example: denied\n/)
  assert.doesNotMatch(both.out, /add this/, 'in one of two rules it would be a conflict')
  assert.match(named.out, /^TLS to any\.example: allowed\n.*allowed by .*toPorts\[0\]\.terminatingTLS \(/)
})

const aboutRequest = (...args: readonly string[]) => explain([...args, '-f', '-'], REQUESTS)

test('a request: the rule that allows it, or the nearest and what it misses', async () => {
  const allowed = await aboutRequest('web', 'api', '8080', '--http', 'GET /products/7')
  assert.equal(
    allowed.out.slice(0, allowed.out.indexOf('\n\n')),
    `GET /products/7: allowed
  ingress of default/api: allowed by CiliumNetworkPolicy default/api ingress[0].toPorts[0].rules.http[0] ((standard input):23)`,
  )
  const denied = await aboutRequest('web', 'api', '8080', '--http', 'DELETE /products/7')
  assert.equal(
    denied.out.slice(0, denied.out.indexOf('\n\n')),
    `DELETE /products/7: denied
  ingress of default/api: none of 2 rules for what is said allows it; the nearest first:
    CiliumNetworkPolicy default/api ingress[0].toPorts[0].rules.http[0] ((standard input):23)
      method: wants GET; it is DELETE
    CiliumNetworkPolicy default/api ingress[0].toPorts[0].rules.http[1] ((standard input):24)
      method: wants POST; it is DELETE
      path: wants /orders; it is /products/7`,
  )
  assert.ok(
    denied.out.includes(`
  To allow it, add this to spec.ingress[0].toPorts[0].rules.http of CiliumNetworkPolicy default/api ((standard input):12):

  - method: DELETE
    path: /products/7
`),
    denied.out,
  )
  const closed = await aboutRequest('web', 'api', '8081', '--http', 'GET /products')
  assert.match(closed.out, /^GET \/products: denied\n {2}the connection is denied already\n/)
  assert.match(closed.out, /To allow it/, 'the connection is what has to change')
  assert.doesNotMatch(denied.out, /To deny it/, 'it is not what is asked about')
  const open = await aboutRequest('api', 'web', '80', '--http', 'GET /')
  assert.match(open.out, /^GET \/: allowed\n {2}no rules judge what is said there\n/)
})

test('a flow of a request is explained with the request', async () => {
  const flow = {
    source: { address: '10.244.0.2', port: 40_000, pod: { namespace: 'default', name: 'web' } },
    destination: { address: '10.244.0.1', port: 8080, pod: { namespace: 'default', name: 'api' } },
    protocol: 'TCP',
    verdict: 'DROPPED',
    dropReason: 'POLICY_DENIED',
    l7: { type: 'RESPONSE', http: { code: 403, method: 'DELETE', url: 'http://api:8080/products' } },
  }
  const { out, err } = await aboutRequest('--flow', JSON.stringify(flow), '-o', 'json')
  const { request, notes } = JSON.parse(out) as { request: { verdict: string }; notes: readonly string[] }
  assert.deepEqual([err, request.verdict, notes], ['', 'denied', []])
})

const SEEN = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: main, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, annotations: {policy.axoneme.io/visibility: "<Ingress/8080/TCP/HTTP>,<Ingress/x>"}}
spec: {containers: [{name: main, image: x}]}
`

test("a pod's visibility is told, and allows everything", async () => {
  const { out, err } = await explain(['web', 'api', '8080', '-f', '-'], SEEN)
  assert.match(out, /^default\/web .*: allowed\n/m)
  assert.match(out, /HTTP seen: the pod's visibility asks for it, and allows everything/)
  assert.match(err, /"<Ingress\/x>" is passed over/)
  const request = await explain(['web', 'api', '8080', '--http', 'DELETE /x', '-f', '-'], SEEN)
  assert.match(request.out, /^DELETE \/x: allowed\n.* allowed by the pod's visibility, which allows everything\n/)
  assert.doesNotMatch((await explain(['web', 'api', '8081', '-f', '-'], SEEN)).out, /seen/)
})
