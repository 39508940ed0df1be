// Flows of `axoneme observe -o json`, asked again of the policies that are there now.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterOf, networkPolicy, pod } from '../testing/cluster-text.ts'
import { explainFlow } from './explain-flow.ts'
import { QuestionError } from './question.ts'

const cluster = clusterOf(
  [
    pod('shop/front', { app: 'front' }, { ip: '10.0.0.1' }),
    pod('shop/cart', { app: 'cart' }, { ip: '10.0.0.2' }),
    networkPolicy('shop/cart', '{podSelector: {matchLabels: {app: cart}}}'),
  ].join(''),
)

const FRONT = {
  address: '10.0.0.1',
  port: 40_000,
  identity: 300,
  identityName: 'shop/front',
  labels: [],
  pod: { namespace: 'shop', name: 'front' },
}
const CART = {
  address: '10.0.0.2',
  port: 8080,
  identity: 301,
  identityName: 'shop/cart',
  labels: [],
  pod: { namespace: 'shop', name: 'cart' },
}
const FLOW = {
  time: '2026-11-23T12:00:00.000000Z',
  source: FRONT,
  destination: CART,
  protocol: 'TCP',
  isReply: false,
  verdict: 'DROPPED',
  dropReason: 'POLICY_DENIED',
}

test('the connection of a flow is explained, from whichever side it was recorded', () => {
  const reply = { ...FLOW, source: CART, destination: FRONT, isReply: true }
  for (const flow of [FLOW, reply]) {
    const { from, to, protocol, port, verdict, notes } = explainFlow(cluster, flow)
    assert.deepEqual(
      [from.name, to.name, protocol, port, verdict, notes],
      ['shop/front', 'shop/cart', 'TCP', 8080, 'denied', []],
    )
  }
  const { port: _, ...front } = FRONT
  const echo = {
    ...FLOW,
    source: CART,
    destination: front,
    protocol: 'ICMP',
    icmp: { type: 0, code: 0 },
    isReply: true,
  }
  const { protocol, port } = explainFlow(cluster, echo)
  assert.deepEqual([protocol, port], ['ICMP', 8])
})

test('what is different since is told', () => {
  const notesOf = (flow: object): readonly string[] => explainFlow(cluster, flow).notes
  assert.deepEqual(notesOf({ ...FLOW, verdict: 'FORWARDED', dropReason: undefined }), [
    'the flow was allowed and is denied now: policies, labels or addresses have changed since',
  ])
  assert.deepEqual(notesOf({ ...FLOW, dropReason: 'INVALID_SOURCE_IP' }), [
    'the packet was dropped for INVALID_SOURCE_IP, which no policy decides; this is what policies say of it',
  ])
  assert.deepEqual(notesOf({ ...FLOW, source: { ...FRONT, address: '10.0.0.9' } }), [
    'pod shop/front had 10.0.0.9 and has 10.0.0.1 now',
  ])
  const gone = { ...FRONT, address: '10.0.0.9', pod: { namespace: 'shop', name: 'gone' } }
  assert.deepEqual(notesOf({ ...FLOW, source: gone }), [
    'pod shop/gone is not there any more; 10.0.0.9 is of nobody of the cluster now',
  ])
})

test('a node without an object is known by the flow', () => {
  const { from, verdict, ingress } = explainFlow(cluster, {
    ...FLOW,
    source: { address: '172.30.0.2', port: 1, identity: 1, identityName: 'host', labels: ['reserved:host'] },
  })
  assert.deepEqual([from.kind, verdict, ingress], ['node', 'allowed', { judged: false, because: 'own-node' }])
})

test('what is no flow is refused with the field', () => {
  for (const [value, message] of [
    [[], /it: /],
    [{ ...FLOW, source: { ...FRONT, address: 'x' } }, /source\.address: must be an IP address/],
    [{ ...FLOW, protocol: '47' }, /flows of 47 are not explained/],
    [{ ...FLOW, destination: { ...CART, port: undefined } }, /no port of TCP/],
  ] as const)
    assert.throws(
      () => explainFlow(cluster, value),
      (error: Error) => error instanceof QuestionError && message.test(error.message),
    )
})
