// What explain offers to add for a request that is denied, added, allows this request and
// no other: random rules, random requests, through the policy's own form. Another seed for
// every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { explainRequest, type RequestChange } from '../../src/cli/explain-request.ts'
import type { AskedRequest } from '../../src/observe/index.ts'
import { type Cluster, explain, readQuestion } from '../../src/policy/index.ts'
import { clusterOf, pods } from './explained-cluster.ts'

const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0
const RUNS = 40

const PORT = { http: 8080, dns: 53, kafka: 9092, tls: 443 } as const
type Parser = keyof typeof PORT
type Item = RequestChange['item']

const path = fc.constantFrom('/', '/a', '/a.b', '/a+b', '/a?x=(1)', '/a/b', '/axb', '/%3F', '/a|b')
const http: fc.Arbitrary<AskedRequest> = fc.record({
  parser: fc.constant('http' as const),
  method: fc.constantFrom('GET', 'DELETE', 'M-SEARCH', 'A*B'),
  path,
  host: fc.constantFrom('', 'a.example', 'A.example:80', 'axexample'),
})
const name = fc.constantFrom('a.example', 'b.example', 'axexample', 'a.b.example')
const dns = fc.record({ parser: fc.constant('dns' as const), name: name.map(text => `${text}.`) })
const tls = fc.record({ parser: fc.constant('tls' as const), serverName: name })
const kafka = fc.record({
  parser: fc.constant('kafka' as const),
  apiKey: fc.constantFrom(0, 1),
  topic: fc.constantFrom('orders', 'secret'),
  clientId: fc.constantFrom(undefined, 'c'),
})
const requests: Readonly<Record<Parser, fc.Arbitrary<AskedRequest>>> = { http, dns, kafka, tls }

const items: Readonly<Record<Parser, fc.Arbitrary<Item>>> = {
  http: fc.record({ method: fc.constantFrom('GET', 'P.*'), path: fc.constantFrom('/b', '/a.*') }),
  dns: fc.constantFrom({ matchName: 'c.example' }, { matchPattern: '*.b.example' }),
  kafka: fc.constantFrom({ role: 'produce', topic: 'orders' }, { apiKey: 'fetch', topic: 'none' }),
  tls: fc.constantFrom('c.example', '*.b.example'),
}

/** What the web pods may say to anybody, by items of the lists. */
function policyWith(lists: Readonly<Record<Parser, readonly Item[]>>): object {
  const port = (parser: Parser) => ({ port: String(PORT[parser]), protocol: parser === 'dns' ? 'UDP' : 'TCP' })
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'said', namespace: 'x' },
    spec: {
      endpointSelector: {},
      egress: [
        {
          toEntities: ['all'],
          toPorts: [
            ...(['http', 'dns', 'kafka'] as const).map(parser => ({
              ports: [port(parser)],
              rules: { [parser]: lists[parser] },
            })),
            { ports: [port('tls')], serverNames: lists.tls },
          ],
        },
      ],
    },
  }
}

const PLACES: readonly Parser[] = ['http', 'dns', 'kafka', 'tls']

function answer(cluster: Cluster, asked: AskedRequest) {
  const protocol = asked.parser === 'dns' ? 'UDP' : 'TCP'
  const question = readQuestion(cluster, 'x/copy-26', '192.0.2.7', `${PORT[asked.parser]}/${protocol}`)
  return explainRequest(explain(cluster, question), asked)
}

/** What a rule that means a request cannot tell apart. */
function meaning(asked: AskedRequest): string {
  if (asked.parser !== 'http') return JSON.stringify(asked)
  return JSON.stringify([asked.method, asked.path, asked.host.toLowerCase().replace(/:\d+$/, '')])
}

test(`the rule that is offered allows the request and no other, seed ${seed}`, () => {
  let offered = 0
  const anyLists = fc.record({
    http: fc.array(items.http, { minLength: 1, maxLength: 3 }),
    dns: fc.array(items.dns, { minLength: 1, maxLength: 2 }),
    kafka: fc.array(items.kafka, { minLength: 1, maxLength: 2 }),
    tls: fc.array(items.tls, { minLength: 1, maxLength: 2 }),
  })
  const anyRequests = fc
    .constantFrom(...PLACES)
    .chain(parser => fc.array(requests[parser], { minLength: 8, maxLength: 8 }))
  fc.assert(
    fc.property(anyLists, anyRequests, (lists, [asked, ...others]) => {
      assert.ok(asked)
      const before = clusterOf([...pods, policyWith(lists)])
      const { verdict, sides } = answer(before, asked)
      fc.pre(verdict === 'denied')
      const { change } = sides[0] ?? assert.fail('nobody judges it')
      assert.ok(change, 'a change is offered')
      const list = asked.parser === 'tls' ? 'serverNames' : `rules.${asked.parser}`
      assert.equal(change.path, `spec.egress[0].toPorts[${PLACES.indexOf(asked.parser)}].${list}`)
      offered++
      const after = clusterOf([
        ...pods,
        policyWith({ ...lists, [asked.parser]: [...lists[asked.parser], change.item] }),
      ])
      assert.equal(answer(after, asked).verdict, 'allowed')
      for (const other of others) {
        // A rule without a host, or a client, is about all of them.
        const isMeant: AskedRequest =
          asked.parser === 'http' && asked.host === '' ? ({ ...other, host: '' } as AskedRequest) : other
        const isSame: boolean =
          asked.parser === 'kafka' && asked.clientId === undefined
            ? meaning({ ...other, clientId: undefined } as AskedRequest) === meaning(asked)
            : meaning(isMeant) === meaning(asked)
        assert.equal(
          answer(after, other).verdict,
          isSame ? 'allowed' : answer(before, other).verdict,
          JSON.stringify(other),
        )
      }
    }),
    { numRuns: RUNS, seed },
  )
  assert.ok(offered >= RUNS)
})

test('nothing is offered for what no rule can mean', () => {
  const cluster = clusterOf([
    ...pods,
    policyWith({
      http: [{ method: 'GET' }],
      dns: [{ matchName: 'a.example' }],
      kafka: [{ topic: 'orders' }],
      tls: ['a.example'],
    }),
  ])
  for (const asked of [
    { parser: 'http', method: 'DELETE', path: '/a/../b', host: '' },
    { parser: 'http', method: 'OPTIONS', path: '*', host: '' },
    { parser: 'http', method: 'DELETE', path: '/', host: 'a b' },
    { parser: 'dns', name: 'a b.' },
    { parser: 'kafka', apiKey: 999 },
    { parser: 'tls', serverName: '' },
  ] as const satisfies AskedRequest[]) {
    const { verdict, sides } = answer(cluster, asked)
    assert.deepEqual([verdict, sides[0]?.change], ['denied', undefined], JSON.stringify(asked))
  }
})
