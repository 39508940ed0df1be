// Ports, ICMP types and the content of connections in rules of the Cilium kinds.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type IcmpFamily, icmpType, icmpTypeNames } from './icmp-types.ts'
import { brief, valid } from './testing/read-cilium.ts'

/** Ports and problems of an ingress rule. */
const ports = (rule: string, warnings = 0): unknown =>
  brief(valid(`spec: {endpointSelector: {}, ingress: [{${rule}}]}`, { warnings }))[0]?.ports

const toPorts = (...items: readonly string[]): string => `toPorts: [{ports: [${items.join(', ')}]}]`

test('ports', async t => {
  const cases: readonly (readonly [name: string, rule: string, want: unknown, warnings?: number])[] = [
    ['without toPorts: all ports and ICMP', 'fromEntities: [all]', 'any'],
    ['a number', toPorts('{port: "80", protocol: TCP}'), ['6 80-80']],
    ['no protocol: TCP, UDP and SCTP', toPorts('{port: "53"}'), ['6 53-53', '17 53-53', '132 53-53']],
    ['ANY: the same', toPorts('{port: "53", protocol: ANY}'), ['6 53-53', '17 53-53', '132 53-53']],
    ['0: all ports, but no ICMP', toPorts('{port: "0"}'), ['6 any', '17 any', '132 any']],
    ['0 of one protocol', toPorts('{port: "0", protocol: SCTP}'), ['132 any']],
    ['a range', toPorts('{port: "80", endPort: 90, protocol: UDP}'), ['17 80-90']],
    ['a range of one', toPorts('{port: "80", endPort: 80, protocol: UDP}'), ['17 80-80']],
    ['a range that ends at 0: none', toPorts('{port: "80", endPort: 0, protocol: UDP}'), ['17 80-80']],
    ['a range that ends before it begins', toPorts('{port: "80", endPort: 79, protocol: UDP}'), ['17 80-80'], 1],
    ['a range from 0', toPorts('{port: "0", endPort: 1023, protocol: TCP}'), ['6 0-1023']],
    ['a name, in lower case', toPorts('{port: HTTP-alt, protocol: TCP}'), ['6 http-alt']],
    ['a name without protocol', toPorts('{port: dns}'), ['6 dns', '17 dns', '132 dns']],
    ['a name with a range', toPorts('{port: dns, endPort: 90, protocol: UDP}'), ['17 dns'], 1],
    ['protocols without ports', toPorts('{protocol: VRRP}', '{protocol: IGMP, port: "0"}'), ['112 any', '2 any']],
    [
      'tunnels',
      toPorts('{protocol: GRE}', '{protocol: IPIP}', '{protocol: IPV6}', '{protocol: ESP}', '{protocol: AH}'),
      ['47 any', '4 any', '41 any', '50 any', '51 any'],
    ],
    [
      'several items',
      'toPorts: [{ports: [{port: "1", protocol: TCP}]}, {ports: [{port: "2", protocol: TCP}]}]',
      ['6 1-1', '6 2-2'],
    ],
    ['an item without ports: none', 'toPorts: [{}]', [], 1],
    [
      '40 ports',
      toPorts(...Array.from({ length: 40 }, () => '{port: "80", protocol: TCP}')),
      Array(40).fill('6 80-80'),
    ],
  ]
  for (const [name, rule, want, warnings] of cases)
    await t.test(name, () => assert.deepEqual(ports(rule, warnings), want))
})

test('ICMP types', async t => {
  const icmps = (...fields: readonly string[]): string => `icmps: [{fields: [${fields.join(', ')}]}]`
  const cases: readonly (readonly [name: string, rule: string, want: unknown, warnings?: number])[] = [
    ['by number, of IPv4 unless said', icmps('{type: 8}', '{type: 255, family: IPv4}'), ['1 8-8', '1 255-255']],
    ['by digits', icmps('{type: "0"}'), ['1 0-0']],
    ['of IPv6', icmps('{type: 128, family: IPv6}'), ['58 128-128']],
    [
      'by name, whose number is the family’s',
      icmps('{type: EchoRequest}', '{type: EchoRequest, family: IPv6}'),
      ['1 8-8', '58 128-128'],
    ],
    ['several items', 'icmps: [{fields: [{type: 3}]}, {fields: [{type: 4}]}]', ['1 3-3', '1 4-4']],
    ['an item without types: none', 'icmps: [{}]', [], 1],
    ['beside an empty toPorts', `toPorts: [], ${icmps('{type: 8}')}`, ['1 8-8']],
  ]
  for (const [name, rule, want, warnings] of cases)
    await t.test(name, () => assert.deepEqual(ports(rule, warnings), want))
  await t.test('in a rule that denies', () => {
    const policy = valid('spec: {endpointSelector: {}, egressDeny: [{icmps: [{fields: [{type: Redirect}]}]}]}')
    assert.deepEqual(brief(policy), [{ rule: 'egressDeny[0] deny', peers: 'any', ports: ['1 5-5'] }])
  })
})

test('names of ICMP types are those of IANA and of one family', () => {
  // https://www.iana.org/assignments/icmp-parameters and icmpv6-parameters, a sample of each.
  const known: readonly (readonly [IcmpFamily, string, number])[] = [
    ['IPv4', 'EchoReply', 0],
    ['IPv4', 'DestinationUnreachable', 3],
    ['IPv4', 'TimeExceeded', 11],
    ['IPv4', 'TimestampReply', 14],
    ['IPv4', 'ExtendedEchoReply', 43],
    ['IPv6', 'PacketTooBig', 2],
    ['IPv6', 'NeighborSolicitation', 135],
    ['IPv6', 'MobilePrefixAdvertisement', 147],
  ]
  for (const [family, name, number] of known) assert.equal(icmpType(family, name), number)
  assert.equal(icmpType('IPv4', 'PacketTooBig'), undefined)
  assert.equal(icmpType('IPv6', 'Photuris'), undefined)
  assert.equal(icmpType('IPv4', 'constructor'), undefined)
  for (const family of ['IPv4', 'IPv6'] as const)
    for (const name of icmpTypeNames(family))
      assert.equal(icmpType(family, String(icmpType(family, name))), icmpType(family, name))
})

const L7_PORT = '{ports: [{port: "80", protocol: TCP}], '

/** Items of `toPorts` that ask for what is not done yet, and the fields that do. */
const WAITING: readonly (readonly [item: string, fields: readonly string[]])[] = [
  [`${L7_PORT}listener: {name: l, envoyConfig: {name: e, kind: CiliumEnvoyConfig}, priority: 1}}`, ['listener']],
]

for (const [item, fields] of WAITING)
  test(`not enforced yet: ${item}`, () => {
    const egress = (rest = ''): string =>
      `spec: {endpointSelector: {}, egress: [{toEndpoints: [{}], toPorts: [${item}, {ports: [{port: "81", protocol: TCP}]}]}]${rest}}`
    const policy = valid(egress(), { warnings: fields.length })
    const peers = ['k8s:io.kubernetes.pod.namespace = shop']
    assert.deepEqual(brief(policy), [{ rule: 'egress[0] allow', peers, ports: ['6 81-81'] }], 'the other ports stay')
    assert.deepEqual(
      policy.unenforced?.map(({ path }) => path),
      fields.map(field => `spec.egress[0].toPorts[0].${field}`),
    )
    const open = valid(egress(', enableDefaultDeny: {egress: false}'), { warnings: fields.length })
    assert.deepEqual(
      brief(open),
      [{ rule: 'egress[0] deny', peers, ports: ['6 80-80'] }],
      'what nothing isolates would pass unjudged',
    )
  })

test('authentication', () => {
  const rule = (mode: string, rest = ''): string =>
    `spec: {endpointSelector: {}, ingress: [{fromEndpoints: [{}], authentication: {mode: ${mode}}}]${rest}}`
  const peers = ['k8s:io.kubernetes.pod.namespace = shop']
  assert.deepEqual(brief(valid(rule('disabled'))), [{ rule: 'ingress[0] allow', peers, ports: 'any' }])
  for (const mode of ['required', 'test-always-fail']) {
    const policy = valid(rule(mode), { warnings: 1 })
    assert.deepEqual(brief(policy), [{ rule: 'ingress[0] allow', peers: [], ports: 'any' }])
    assert.deepEqual(
      policy.unenforced?.map(({ path }) => path),
      ['spec.ingress[0].authentication.mode'],
    )
    const open = valid(rule(mode, ', enableDefaultDeny: {ingress: false}'), { warnings: 1 })
    assert.deepEqual(brief(open), [{ rule: 'ingress[0] deny', peers, ports: 'any' }])
  }
})

test('an empty list of requests lets all pass, as in Cilium, with a warning', () => {
  const policy = valid(`spec: {endpointSelector: {}, ingress: [{toPorts: [${L7_PORT}rules: {http: []}}]}]}`, {
    warnings: 1,
  })
  assert.deepEqual(brief(policy), [{ rule: 'ingress[0] allow', peers: 'any', ports: ['6 80-80'] }])
})
