// A kernel record in words: names of pods, identities and rules, what a protocol has to
// say, and the one line that people read.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ip } from '../ip/index.ts'
import { labelSet, PROTOCOLS } from '../labels/index.ts'
import { type FlowEvent, readDatapathObject } from '../maps/index.ts'
import type { EnforcementMode } from '../policy/index.ts'
import { createTables, type Endpoint, type Pod } from '../tables/index.ts'
import { endpointRow, podRow, serviceEntryRow, servicePortRow } from '../tables/testing/rows.ts'
import { describeFlow } from './describe.ts'
import type { Flow } from './flow.ts'
import { flowTest } from './flow-filter.ts'
import { flowLine } from './flow-line.ts'
import { ServiceNames } from './service-names.ts'

const { schema } = readDatapathObject(readFileSync(new URL('../../build/pod.o', import.meta.url)))
const origin = { file: 'web.yaml', line: 3 }

const pod = (name: string, more: Partial<Pod> = {}): Pod => podRow(name, { origin, ...more })

const endpoint = (id: number, podName: string, ...addresses: readonly string[]): Endpoint =>
  endpointRow(id, podName, { addresses })

const tables = createTables()
tables.database.write(tx => {
  tx.put(tables.endpoints, endpoint(1, 'client', '10.0.0.2', 'fd00::2'))
  tx.put(tables.endpoints, endpoint(2, 'web', '10.0.0.3', 'fd00::3'))
  tx.put(tables.pods, pod('far', { addresses: ['10.1.0.7'] }))
  tx.put(tables.pods, pod('agent', { addresses: ['172.30.0.2'], hostNetwork: true }))
  tx.put(tables.identities, {
    number: 256,
    labels: labelSet([
      { source: 'k8s', key: 'io.kubernetes.pod.namespace', value: 'shop' },
      { source: 'k8s', key: 'app', value: 'client' },
    ]),
  })
  tx.put(tables.rules, { number: 16, key: 'k', text: 'NetworkPolicy shop/web ingress[0] (web.yaml:7)' })
  tx.put(tables.rules, {
    number: 17,
    key: 'l',
    text: 'CiliumNetworkPolicy shop/log ingressDeny[0]',
    log: 'no "guests"',
  })
  tx.put(tables.rules, { number: 18, key: 'm', text: 'CiliumNetworkPolicy shop/log egress[0]', log: 'way out' })
  tx.put(tables.rules, { number: 1, key: 'not-isolated', text: 'open: no policy isolates this direction' })
  for (const [id, address] of [
    [1, '10.0.0.2'],
    [2, '10.0.0.3'],
  ] as const)
    tx.put(tables.endpointEntries, {
      address,
      endpoint: id,
      ifindex: id,
      mac: '',
      identity: 256,
      policy: id,
      containerId: `c${id}`,
    })
  const ref = { kind: 'NetworkPolicy', namespace: 'shop', name: 'web', origin }
  const shared = { entries: [], contentKey: '' }
  tx.put(tables.policyMaps, {
    id: 1,
    subject: 'client',
    ...shared,
    isolatedBy: {
      ingress: [],
      egress: [
        { ...ref, name: 'out', origin: { file: '', line: 0 } },
        { ...ref, name: 'try', audit: true },
      ],
    },
  })
  tx.put(tables.policyMaps, { id: 2, subject: 'web', ...shared, isolatedBy: { ingress: [ref], egress: [] } })
})

tables.database.write(tx => {
  tx.put(
    tables.serviceEntries,
    serviceEntryRow('front', servicePortRow(7), servicePortRow(8, { port: 81, portName: '' })),
  )
})
const serviceNames = new ServiceNames(tables.serviceEntries)

const kind = schema.eventKind.number
const verdict = schema.verdict.number

const record = (more: Partial<FlowEvent> = {}): FlowEvent => ({
  time_ns: 5_000_000_123_456_789n,
  source: ip('10.0.0.2'),
  destination: ip('10.0.0.3'),
  source_port: 40_000,
  destination_port: 80,
  protocol: PROTOCOLS.TCP,
  family: 4,
  tcp_flags: 0x02,
  icmp_type: 0,
  icmp_code: 0,
  kind: kind.NEW,
  verdict: verdict.FORWARDED,
  direction: schema.trafficDirection.number.EGRESS,
  drop_reason: 0,
  observation: 0,
  is_reply: 0,
  flow_flags: 0,
  egress_rule: 1,
  ingress_rule: 16,
  length: 60,
  ifindex: 1,
  service: 0,
  proxy: 0,
  identity: [256, 257],
  endpoint: [1, 2],
  packets: [1n, 0n],
  bytes: [60n, 0n],
  ...more,
})

const describe = (more: Partial<FlowEvent> = {}, enforcement: EnforcementMode = 'default'): Flow =>
  describeFlow(record(more), {
    node: 'node1',
    tables,
    schema,
    enforcement,
    bootMicros: () => 1_700_000_000_000_000,
    serviceNames,
  })

const dropped = (
  reason: keyof typeof schema.dropReason.number,
  side: 'INGRESS' | 'EGRESS',
  more: Partial<FlowEvent> = {},
  enforcement?: EnforcementMode,
) =>
  describe(
    {
      kind: kind.DROP,
      verdict: verdict.DROPPED,
      drop_reason: schema.dropReason.number[reason],
      direction: schema.trafficDirection.number[side],
      egress_rule: 0,
      ingress_rule: 0,
      ...more,
    },
    enforcement,
  )

/** In its socket, which is bound to nothing. */
const refused = (more: Partial<FlowEvent>) =>
  dropped('NO_SERVICE', 'EGRESS', {
    service: 7,
    source: ip('0.0.0.0'),
    source_port: 0,
    destination: ip('10.96.0.10'),
    endpoint: [0, 0],
    ifindex: 0,
    packets: [0n, 0n],
    bytes: [0n, 0n],
    ...more,
  })

const audited = (...[reason, side, more]: Parameters<typeof dropped>) =>
  dropped(reason, side, { kind: kind.NEW, verdict: verdict.AUDIT, ...more })

test('a new connection between two pods', () => {
  assert.deepEqual(describe(), {
    time: '2024-01-11T19:06:40.123456Z',
    node: 'node1',
    type: 'L3_L4',
    verdict: 'FORWARDED',
    event: 'new',
    source: {
      address: '10.0.0.2',
      port: 40_000,
      identity: 256,
      identityName: 'shop/client',
      labels: ['k8s:app=client', 'k8s:io.kubernetes.pod.namespace=shop'],
      pod: { namespace: 'shop', name: 'client' },
    },
    destination: {
      address: '10.0.0.3',
      port: 80,
      identity: 257,
      identityName: 'identity 257',
      labels: [],
      pod: { namespace: 'shop', name: 'web' },
    },
    protocol: 'TCP',
    family: 4,
    tcpFlags: ['SYN'],
    isReply: false,
    egressRule: { number: 1, text: 'open: no policy isolates this direction' },
    ingressRule: { number: 16, text: 'NetworkPolicy shop/web ingress[0] (web.yaml:7)' },
    packets: [1, 0],
    bytes: [60, 0],
  })
})

test('who an end is', async t => {
  const cases: readonly {
    readonly name: string
    readonly address: string
    readonly identity: number
    readonly want: string
  }[] = [
    { name: 'a pod of this node, by its endpoint', address: 'fd00::3', identity: 257, want: 'shop/web:80' },
    { name: 'a pod elsewhere, by its status', address: '10.1.0.7', identity: 300, want: 'shop/far:80' },
    {
      name: 'the node, also where a pod is on its network',
      address: '172.30.0.2',
      identity: 1,
      want: 'host 172.30.0.2:80',
    },
    { name: 'somebody outside', address: '198.51.100.7', identity: 9, want: 'world-ipv4 198.51.100.7:80' },
    {
      name: 'an identity that nobody knows any more',
      address: '198.51.100.7',
      identity: 999,
      want: 'identity 999 198.51.100.7:80',
    },
  ]
  for (const { name, address, identity, want } of cases)
    await t.test(name, () => {
      const line = flowLine(describe({ destination: ip(address), identity: [256, identity] }))
      assert.ok(line.includes(`  TCP SYN shop/client:40000 -> ${want}  `), line)
    })
})

test('what a flow says in one line', async t => {
  const cases: readonly { readonly name: string; readonly flow: Flow; readonly want: string }[] = [
    {
      name: 'a new connection, with the rules of both sides',
      flow: describe(),
      want:
        '19:06:40.123  new     TCP SYN shop/client:40000 -> shop/web:80  FORWARDED  egress: open: no policy isolates this ' +
        'direction  ingress: NetworkPolicy shop/web ingress[0] (web.yaml:7)',
    },
    {
      name: 'a reply is written in the direction of its connection',
      flow: describe({
        is_reply: 1,
        source: ip('10.0.0.3'),
        destination: ip('10.0.0.2'),
        source_port: 80,
        destination_port: 40_000,
        tcp_flags: 0x12,
        kind: kind.ACTIVE,
        packets: [3n, 2n],
        bytes: [300n, 2000n],
        egress_rule: 0,
        ingress_rule: 0,
      }),
      want: '19:06:40.123  active  TCP SYN,ACK shop/client:40000 <- shop/web:80  FORWARDED  3+2 packets, 300+2000 bytes',
    },
    {
      name: 'a denial by default names the policies that isolate the receiver',
      flow: dropped('POLICY_DENIED', 'INGRESS'),
      want:
        '19:06:40.123  drop    TCP SYN shop/client:40000 -> shop/web:80  DROPPED (POLICY_DENIED ingress)  ' +
        'no rule allows it; isolated by NetworkPolicy shop/web (web.yaml:3)',
    },
    {
      name: 'and those of the sender, where its egress decided',
      flow: dropped('POLICY_DENIED', 'EGRESS'),
      want:
        '19:06:40.123  drop    TCP SYN shop/client:40000 -> shop/web:80  DROPPED (POLICY_DENIED egress)  ' +
        'no rule allows it; isolated by NetworkPolicy shop/out',
    },
    {
      name: 'a reply that is judged again is denied by the receiver of its connection',
      flow: dropped('POLICY_DENIED', 'INGRESS', {
        is_reply: 1,
        source: ip('10.0.0.3'),
        destination: ip('10.0.0.2'),
        source_port: 80,
        destination_port: 40_000,
        tcp_flags: 0x10,
      }),
      want:
        '19:06:40.123  drop    TCP ACK shop/client:40000 <- shop/web:80  DROPPED (POLICY_DENIED ingress)  ' +
        'no rule allows it; isolated by NetworkPolicy shop/web (web.yaml:3)',
    },
    {
      name: 'where only the mode isolates, it is named',
      flow: dropped('POLICY_DENIED', 'EGRESS', { source: ip('10.0.0.3'), destination: ip('10.0.0.2') }, 'always'),
      want:
        '19:06:40.123  drop    TCP SYN shop/web:40000 -> shop/client:80  DROPPED (POLICY_DENIED egress)  ' +
        'no rule allows it; isolated by the enforcement mode always',
    },
    {
      name: 'what a rule would deny, with the text of that rule alone',
      flow: audited('POLICY_DENY', 'INGRESS', { egress_rule: 18, ingress_rule: 17 }),
      want:
        '19:06:40.123  new     TCP SYN shop/client:40000 -> shop/web:80  AUDIT (POLICY_DENY ingress)  ' +
        'audited: would be denied by ingress: CiliumNetworkPolicy shop/log ingressDeny[0]  log: "no \\"guests\\""',
    },
    {
      name: 'what the default would deny, with the policies that are only audited too',
      flow: audited('POLICY_DENIED', 'EGRESS', { egress_rule: 2, ingress_rule: 16 }),
      want:
        '19:06:40.123  new     TCP SYN shop/client:40000 -> shop/web:80  AUDIT (POLICY_DENIED egress)  audited: would be ' +
        'denied: no rule allows it; isolated by NetworkPolicy shop/out, NetworkPolicy shop/try (web.yaml:3)',
    },
    {
      name: 'a denial by a rule with a text',
      flow: dropped('POLICY_DENY', 'INGRESS', { egress_rule: 1, ingress_rule: 17 }),
      want:
        '19:06:40.123  drop    TCP SYN shop/client:40000 -> shop/web:80  DROPPED (POLICY_DENY ingress)  egress: open: no ' +
        'policy isolates this direction  ingress: CiliumNetworkPolicy shop/log ingressDeny[0]  log: "no \\"guests\\""',
    },
    {
      name: 'what passes, with the texts of both rules',
      flow: describe({ egress_rule: 18, ingress_rule: 17 }),
      want:
        '19:06:40.123  new     TCP SYN shop/client:40000 -> shop/web:80  FORWARDED  egress: CiliumNetworkPolicy shop/log ' +
        'egress[0]  ingress: CiliumNetworkPolicy shop/log ingressDeny[0]  log: "way out"  log: "no \\"guests\\""',
    },
    {
      name: 'a connection that a proxy carries',
      flow: describe({
        verdict: verdict.REDIRECTED,
        proxy: schema.proxyKind.number.HTTP,
        egress_rule: 0,
      }),
      want:
        '19:06:40.123  new     TCP SYN shop/client:40000 -> shop/web:80  REDIRECTED to proxy (HTTP)  ' +
        'ingress: NetworkPolicy shop/web ingress[0] (web.yaml:7)',
    },
    {
      name: 'a rule that nobody knows any more has its number',
      flow: describe({ egress_rule: 0, ingress_rule: 77, kind: kind.CLOSED, tcp_flags: 0 }),
      want: '19:06:40.123  closed  TCP shop/client:40000 -> shop/web:80  FORWARDED  ingress: rule 77  1+0 packets, 60+0 bytes',
    },
    {
      name: 'a message of ICMP has a type and no ports',
      flow: describe({ protocol: PROTOCOLS.ICMP, icmp_type: 8, icmp_code: 0, egress_rule: 0, ingress_rule: 0 }),
      want: '19:06:40.123  new     ICMP 8/0 shop/client -> shop/web  FORWARDED',
    },
    {
      name: 'a protocol without a name has its number',
      flow: describe({ protocol: 47, egress_rule: 0, ingress_rule: 0 }),
      want: '19:06:40.123  new     47 shop/client -> shop/web  FORWARDED',
    },
    {
      name: 'a drop that no policy decided',
      flow: dropped('INVALID_SOURCE_IP', 'EGRESS', { source: ip('10.9.9.9'), identity: [0, 257] }),
      want: '19:06:40.123  drop    TCP SYN identity 0 10.9.9.9:40000 -> shop/web:80  DROPPED (INVALID_SOURCE_IP egress)',
    },
    {
      name: 'a connection to a service: what was asked for, and who answers',
      flow: describe({ service: 7, egress_rule: 0, ingress_rule: 0 }),
      want: '19:06:40.123  new     TCP SYN shop/client:40000 -> shop/front:http (shop/web:80)  FORWARDED',
    },
    {
      name: 'a reply of one, to a port without a name',
      flow: describe({
        service: 8,
        is_reply: 1,
        source: ip('10.0.0.3'),
        destination: ip('10.0.0.2'),
        source_port: 80,
        destination_port: 40_000,
        tcp_flags: 0x12,
        egress_rule: 0,
        ingress_rule: 0,
      }),
      want: '19:06:40.123  new     TCP SYN,ACK shop/client:40000 <- shop/front:81 (shop/web:80)  FORWARDED',
    },
    {
      name: 'a service without a backend, and who tells more',
      flow: dropped('NO_SERVICE', 'EGRESS', { service: 7, destination: ip('10.96.0.10'), identity: [256, 2] }),
      want:
        '19:06:40.123  drop    TCP SYN shop/client:40000 -> shop/front:http (10.96.0.10:80)  DROPPED (NO_SERVICE egress)  ' +
        'the service has no backend for this client: axoneme services why 10.96.0.10:80/TCP --from shop/client',
    },
    {
      name: 'a pod whose socket was refused before it had a port',
      flow: refused({ source: ip('10.0.0.2'), identity: [256, 9] }),
      want:
        '19:06:40.123  drop    TCP SYN shop/client -> shop/front:http (10.96.0.10:80)  DROPPED (NO_SERVICE egress)  ' +
        'the service has no backend for this client: axoneme services why 10.96.0.10:80/TCP --from shop/client',
    },
    {
      name: 'the same of one without an address of that family',
      flow: refused({ endpoint: [1, 0], identity: [256, 9] }),
      want:
        '19:06:40.123  drop    TCP SYN shop/client -> shop/front:http (10.96.0.10:80)  DROPPED (NO_SERVICE egress)  ' +
        'the service has no backend for this client: axoneme services why 10.96.0.10:80/TCP --from shop/client',
    },
    {
      name: 'a socket of the node that was refused',
      flow: refused({ source_port: 40_000, identity: [1, 9] }),
      want:
        '19:06:40.123  drop    TCP SYN host 0.0.0.0:40000 -> shop/front:http (10.96.0.10:80)  DROPPED (NO_SERVICE egress)  ' +
        'the service has no backend for this client: axoneme services why 10.96.0.10:80/TCP --from-host',
    },
    {
      name: 'a socket of nobody known that was refused',
      flow: refused({ identity: [0, 9] }),
      want:
        '19:06:40.123  drop    TCP SYN identity 0 0.0.0.0 -> shop/front:http (10.96.0.10:80)  DROPPED (NO_SERVICE egress)  ' +
        'the service has no backend for this client: axoneme services why 10.96.0.10:80/TCP',
    },
    {
      name: 'a client that its service does not take, over IPv6',
      flow: dropped('NOT_IN_SOURCE_RANGE', 'INGRESS', {
        source: ip('2001:db8::1'),
        destination: ip('fd00:10:96::a'),
        family: 6,
        identity: [10, 2],
      }),
      want:
        '19:06:40.123  drop    TCP SYN world-ipv6 2001:db8::1:40000 -> world fd00:10:96::a:80  DROPPED ' +
        "(NOT_IN_SOURCE_RANGE ingress)  the client is in none of the service's loadBalancerSourceRanges: axoneme services " +
        'why [fd00:10:96::a]:80/TCP --from-outside 2001:db8::1',
    },
  ]
  for (const { name, flow, want } of cases) await t.test(name, () => assert.equal(flowLine(flow), want))
})

test('what a program reads of a denial that is only recorded', () => {
  const flow = audited('POLICY_DENY', 'INGRESS', { egress_rule: 18, ingress_rule: 17 })
  const { verdict: found, event, dropReason, direction, policyLog, ingressRule } = flow
  assert.deepEqual(
    { found, event, dropReason, direction, policyLog, ingressRule },
    {
      found: 'AUDIT',
      event: 'new',
      dropReason: 'POLICY_DENY',
      direction: 'ingress',
      policyLog: ['no "guests"'],
      ingressRule: { number: 17, text: 'CiliumNetworkPolicy shop/log ingressDeny[0]' },
    },
  )
  assert.equal(flowTest({ verdict: 'AUDIT' })(flow), true)
  assert.equal(flowTest({ verdict: 'FORWARDED' })(flow), false)
})

test('what a program reads of a service is on the side of the backend', () => {
  const front = { namespace: 'shop', name: 'front', port: 80, portName: 'http' }
  assert.deepEqual(describe({ service: 7 }).destinationService, front)
  assert.equal('sourceService' in describe({ service: 7 }), false)
  const reply = describe({ service: 7, is_reply: 1 })
  assert.deepEqual([reply.sourceService, 'destinationService' in reply], [front, false])
  for (const [flow, service, want] of [
    [reply, 'shop/front', true],
    [reply, 'shop/web', false],
    [describe(), 'shop/front', false],
  ] as const)
    assert.equal(flowTest({ service })(flow), want)
})

test('a filter asks for a pod at either end, and for a verdict', () => {
  const flow = describe()
  assert.equal(flowTest({})(flow), true)
  for (const [filter, want] of [
    [{ pod: 'shop/client' }, true],
    [{ pod: 'shop/web' }, true],
    [{ pod: 'default/web' }, false],
    [{ verdict: 'DROPPED' }, false],
    [{ pod: 'shop/web', verdict: 'FORWARDED' }, true],
  ] as const)
    assert.equal(flowTest(filter)(flow), want, JSON.stringify(filter))
})
