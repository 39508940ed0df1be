// What a proxy is handed, by exact frames: who is turned round at a pod's device, in
// whose name a proxy speaks, what is refused. Sockets are in proxy-sockets.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orderedFlowKey } from '../../src/maps/index.ts'
import { back, between, type Conversation, type Family, type Packet, sentOf, tcp, udp } from './cases.ts'
import { ACK, SYN } from './frames.ts'
import { A, B, HOST, needsRoot, nodeForTests, OUTSIDE, type Rule } from './node.ts'

const node = nodeForTests()
const http = (direction: Rule['direction'], rules: number): Rule => ({
  direction,
  rule: rules,
  l7: { proxy: 'HTTP', rules },
})
const https = (direction: Rule['direction'], rules: number): Rule => ({
  direction,
  rule: rules,
  l7: { proxy: 'HTTPS', rules },
})
const dns = (direction: Rule['direction'], rules: number): Rule => ({
  direction,
  rule: rules,
  l7: { proxy: 'DNS', rules },
})
const OPEN: readonly Rule[] = [
  { direction: 'ingress', rule: 1 },
  { direction: 'egress', rule: 2 },
]

function flowOf({ from, to, sourcePort, destinationPort }: Conversation, family: Family, leg: 0 | 1 | 2, protocol = 6) {
  const [source, destination] = [{ bytes: from[family] }, { bytes: to[family] }]
  const tuple = { source, destination, source_port: sourcePort, destination_port: destinationPort, protocol }
  return node().datapath.maps.flows.get(orderedFlowKey(tuple, leg).key)
}

/** As a proxy sends it, by a socket of its own or by one that it has accepted. */
const byProxy = (packet: Packet, family: Family, mark: 'FROM_PROXY' | 'ACCEPTED' = 'FROM_PROXY') => ({
  ...sentOf({ ...packet, hook: 'to_pod' }, family),
  ingressIfindex: 0,
  mark: node().world.schema.proxyMark.number[mark],
})
const reasonOf = (event: { readonly drop_reason: number } | undefined) =>
  event && node().world.schema.dropReason.text(event.drop_reason)

for (const family of [4, 6] as const) {
  const about = (name: string) => `${name}, IPv${family}`
  const inward = between(OUTSIDE, B, 40000, 80)

  test(about('what comes from outside is turned round, and the flow says by what it is judged'), {
    skip: needsRoot,
  }, () => {
    node().reset({ b: [http('ingress', 7)] }, true)
    const { action, event } = node().send(sentOf(tcp(inward, SYN), family))
    assert.equal(action, 'redirect')
    assert.equal(event && node().world.schema.verdict.text(event.verdict), 'REDIRECTED')
    const flow = flowOf(inward, family, 1)
    assert.deepEqual([flow?.proxy, flow?.l7], [1, [0, 7]])
    assert.equal(flowOf(inward, family, 0), undefined)
    assert.equal(node().send(sentOf(tcp(inward, ACK), family)).action, 'redirect')
  })

  test(about('a client outside is known for as long as any, though no answer to it is seen'), {
    skip: needsRoot,
  }, () => {
    const { tcp_open_seconds: open, tcp_established_seconds: established } = node().world.constants
    const secondsLeft = () =>
      Math.ceil(Number((flowOf(inward, family, 1)?.expires_ns ?? 0n) - process.hrtime.bigint()) / 1e9)
    node().reset({ b: [http('ingress', 7)] }, true)
    node().send(sentOf(tcp(inward, SYN), family))
    assert.ok(secondsLeft() <= open)
    node().send(sentOf(tcp(inward, ACK), family))
    assert.ok(secondsLeft() > established - open)
  })

  test(about('rules that are only tried out give way to those of another protocol'), { skip: needsRoot }, () => {
    const both = between(A, B, 40000, 80)
    const { HTTP, DNS } = node().world.schema.proxyKind.number
    const ports = [
      { a: http('egress', 7), b: { ...dns('ingress', 8), audit: true }, want: HTTP },
      { a: { ...http('egress', 7), audit: true }, b: dns('ingress', 8), want: DNS },
      { a: { ...http('egress', 7), audit: true }, b: { ...dns('ingress', 8), audit: true }, want: HTTP },
      { a: { ...http('egress', 7), audit: true }, b: { ...http('ingress', 8), audit: true }, want: HTTP },
    ]
    for (const { a, b, want } of ports) {
      node().reset({ a: [a], b: [b] }, true)
      const { event } = node().send(sentOf(tcp(both, SYN), family))
      assert.deepEqual([reasonOf(event), event?.proxy], ['SOCKET_LOOKUP_FAILED', want], 'none listens')
    }
  })

  test(about('the same when nothing says that proxies are in use'), { skip: needsRoot }, () => {
    node().reset({ b: [http('ingress', 7)] }, false)
    assert.equal(node().send(sentOf(tcp(inward, SYN), family)).action, 'redirect')
    assert.equal(node().send(sentOf(tcp(inward, ACK), family)).action, 'redirect')
  })

  test(about('a proxy has the rights of who it speaks for, and is handed to none'), { skip: needsRoot }, () => {
    node().reset({ b: [{ ...http('ingress', 7), identity: A.identity }] }, true)
    const forA = between(A, B, 40001, 80)
    assert.equal(node().send(byProxy(tcp(forA, SYN), family)).action, 'pass')
    assert.ok(flowOf(forA, family, 2))
    const forOutside = node().send(byProxy(tcp(inward, SYN), family))
    assert.equal(forOutside.action, 'drop', 'not those of the node')
    assert.equal(reasonOf(forOutside.event), 'POLICY_DENIED')
    assert.equal(node().send(sentOf(tcp(between(HOST, B, 1, 80), SYN), family)).action, 'pass', 'a probe of the node')
  })

  test(about('the two legs have the same ports'), { skip: needsRoot }, () => {
    node().reset({ b: [http('ingress', 7)] }, true)
    node().send(sentOf(tcp(inward, SYN), family))
    assert.equal(node().send(byProxy(tcp(inward, SYN), family)).action, 'pass')
    assert.equal(node().send(byProxy(tcp(inward, ACK), family)).action, 'pass')
    assert.equal(node().send(sentOf(tcp(inward, ACK), family)).action, 'redirect', 'the client itself')
    const [opener, responder] = [flowOf(inward, family, 1), flowOf(inward, family, 2)]
    assert.deepEqual(
      [opener?.packets, responder?.packets],
      [
        [2n, 0n],
        [2n, 0n],
      ],
    )
  })

  test(about('what a proxy goes on with, and nobody knows any more, is judged anew'), { skip: needsRoot }, () => {
    const judged = between(A, B, 40003, 80)
    const toOpener = byProxy(tcp(back(judged), ACK), family, 'ACCEPTED')
    node().reset({ a: [http('egress', 7)] }, true)
    assert.equal(node().send(toOpener).action, 'pass', 'though nobody may open connections to A')
    const opened = flowOf(judged, family, 1)
    assert.deepEqual([opened?.proxy, opened?.l7, opened?.packets], [1, [7, 0], [0n, 1n]])
    assert.equal(flowOf(judged, family, 2), undefined)
    assert.equal(node().send(byProxy(tcp(judged, ACK), family)).action, 'pass')
    assert.deepEqual(flowOf(judged, family, 2)?.packets, [1n, 0n])
    node().reset({ a: [], b: [{ direction: 'egress', rule: 2 }] }, true)
    for (const sent of [toOpener, byProxy(tcp(judged, ACK), family)])
      assert.equal(reasonOf(node().send(sent).event), 'POLICY_DENIED')
  })

  test(about('no rules any more: the proxy keeps what it has'), { skip: needsRoot }, () => {
    node().reset({ b: [http('ingress', 7)] }, true)
    node().send(sentOf(tcp(inward, SYN), family))
    node().setPolicy(B, OPEN)
    node().raiseRevision()
    assert.equal(node().send(sentOf(tcp(inward, ACK), family)).action, 'redirect')
    const flow = flowOf(inward, family, 1)
    assert.deepEqual([flow?.proxy, flow?.l7], [1, [0, 0]])
  })

  test(about('another kind of proxy from now on: reset towards whoever sends'), { skip: needsRoot }, () => {
    node().reset({ b: [http('ingress', 7)] }, true)
    node().send(sentOf(tcp(inward, SYN), family))
    node().setPolicy(B, [dns('ingress', 7)])
    node().raiseRevision()
    const { action, event, frame } = node().send(sentOf(tcp(inward, ACK), family))
    assert.equal(action, 'redirect')
    assert.equal(reasonOf(event), 'PROXY_MIDSTREAM')
    assert.deepEqual(frame, node().send(sentOf(tcp(inward, ACK), family)).frame)
  })

  test(about('what was direct is reset at both ends, and may be opened again'), { skip: needsRoot }, () => {
    node().reset({}, true)
    node().send(sentOf(tcp(inward, SYN), family))
    node().send(sentOf(tcp(back(inward), SYN | ACK), family))
    node().setPolicy(B, [http('ingress', 7), { direction: 'egress', rule: 2 }])
    node().raiseRevision()
    for (const packet of [tcp(inward, ACK), tcp(back(inward), ACK), tcp(inward, ACK)]) {
      const { action, event } = node().send(sentOf(packet, family))
      assert.deepEqual([action, reasonOf(event)], ['redirect', 'PROXY_MIDSTREAM'])
    }
    assert.equal(node().send(sentOf(tcp(inward, SYN), family)).action, 'redirect')
    assert.ok(flowOf(inward, family, 1))
    assert.equal(flowOf(inward, family, 0), undefined)
  })

  for (const { name, slots, want } of [
    { name: 'one context for both ends, and nobody listens', slots: [3, 3], want: 'SOCKET_LOOKUP_FAILED' },
    { name: 'two contexts', slots: [3, 4], want: 'PROXY_CONFLICT' },
    { name: 'a set whose context nobody has', slots: [3, undefined], want: 'SOCKET_LOOKUP_FAILED' },
    { name: 'a slot that there is not', slots: [32, 32], want: 'SOCKET_LOOKUP_FAILED' },
  ] as const)
    test(about(`TLS that ends at the proxy: ${name}`), { skip: needsRoot }, () => {
      const inside = between(A, B, 40003, 443)
      node().reset({ a: [{ direction: 'ingress', rule: 1 }, https('egress', 7)], b: [https('ingress', 8)] }, true)
      for (const [at, slot] of slots.entries()) node().setTlsContext(7 + at, slot)
      const { event, action } = node().send(sentOf(tcp(inside, SYN), family))
      assert.deepEqual([action, reasonOf(event)], ['redirect', want], 'refused')
      assert.equal(flowOf(inside, family, 1), undefined)
    })

  test(about('datagrams move to the proxy with the next one; an answer that was direct is too late'), {
    skip: needsRoot,
  }, () => {
    node().reset({}, true)
    node().send(sentOf(udp(inward), family))
    node().setPolicy(B, [dns('ingress', 7), { direction: 'egress', rule: 2 }])
    node().raiseRevision()
    assert.equal(reasonOf(node().send(sentOf(udp(back(inward)), family)).event), 'PROXY_MIDSTREAM')
    assert.equal(node().send(sentOf(udp(inward), family)).action, 'redirect')
    assert.equal(flowOf(inward, family, 0, 17), undefined)
    assert.deepEqual(flowOf(inward, family, 1, 17)?.l7, [0, 7])
  })

  for (const [name, packet, rule, protocol] of [
    ['TCP', (conversation: Conversation) => tcp(conversation, ACK), http('egress', 7), 6],
    ['UDP', udp, dns('egress', 7), 17],
  ] as const)
    test(about(`an answer of a connection that is forgotten opens no way around the proxy, ${name}`), {
      skip: needsRoot,
    }, () => {
      const judged = between(A, B, 40002, 80)
      node().reset({ a: [{ direction: 'ingress', rule: 1 }, rule] }, true)
      assert.equal(reasonOf(node().send(sentOf(packet(back(judged)), family)).event), 'SOCKET_LOOKUP_FAILED')
      assert.equal(flowOf(judged, family, 0, protocol), undefined)
      assert.equal(reasonOf(node().send(sentOf(packet(judged), family)).event), 'SOCKET_LOOKUP_FAILED', 'none listens')
      const inwards = between(A, B, 80, 40002)
      assert.equal(node().send(sentOf(tcp(back(inwards), SYN), family)).event?.drop_reason, 0, 'B may open one')
    })
}
