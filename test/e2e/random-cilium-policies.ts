// Random CiliumNetworkPolicies, CiliumClusterwideNetworkPolicies and CIDR groups for the cluster of random-policies.ts:
// every peer kind that is enforced, services among them, deny beside allow, ports, ranges, names, ICMP types, default-deny knobs, audit,
// tiers and priorities.

import * as fc from 'fast-check'

const NAMESPACES = ['x', 'y', 'z'] as const
const NAMESPACE_LABEL = 'io.cilium.k8s.namespace.labels'

const label = fc.constantFrom(['app', 'web'], ['k8s:app', 'db'], ['any:tier', 'front'], ['tier', 'back'])
const namespaceLabel = fc.constantFrom(
  ['k8s:io.kubernetes.pod.namespace', 'x'],
  ['io.kubernetes.pod.namespace', 'z'],
  [`${NAMESPACE_LABEL}.team`, 'two'],
  [`k8s:${NAMESPACE_LABEL}.stage`, 'test'],
)

const matchLabels = (pairs: readonly (readonly string[])[]) => ({
  matchLabels: Object.fromEntries(pairs.map(([key = '', value = '']) => [key, value])),
})

const podSelector = fc.oneof(
  { weight: 1, arbitrary: fc.constant({}) },
  { weight: 4, arbitrary: label.map(pair => matchLabels([pair])) },
  {
    weight: 2,
    arbitrary: fc.tuple(label, fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist')).map(([pair, operator]) => {
      const [key = '', value = ''] = pair
      return { matchExpressions: [{ key, operator, ...(operator.endsWith('In') && { values: [value, 'other'] }) }] }
    }),
  },
)

const peerSelector = fc.oneof(
  { weight: 3, arbitrary: podSelector },
  { weight: 2, arbitrary: fc.tuple(label, namespaceLabel).map(matchLabels) },
  { weight: 1, arbitrary: namespaceLabel.map(pair => matchLabels([pair])) },
  { weight: 1, arbitrary: fc.constantFrom('reserved:world', 'reserved:host').map(key => matchLabels([[key, '']])) },
)

const GROUPS = ['offices', 'partners'] as const

const cidrSet = fc.constantFrom<object>(
  { cidr: '0.0.0.0/0', except: ['192.0.2.0/25'] },
  { cidr: '192.0.2.0/24' },
  { cidr: '::/0', except: ['2001:db8::/33'] },
  { cidr: '2001:db8::/32' },
  // Pods are not meant by a prefix, though their addresses are in it.
  { cidr: '10.244.1.0/24' },
  ...GROUPS.map(cidrGroupRef => ({ cidrGroupRef })),
  { cidrGroupSelector: { matchLabels: { kind: 'office' } } },
  { cidrGroupRef: 'offices', except: ['192.0.2.128/26'] },
)

const entity = fc.constantFrom('all', 'world', 'world-ipv4', 'world-ipv6', 'cluster', 'host', 'none')

/**
 * Services to be named: of pods, and of addresses outside. They have no address of their own: policies look at those
 * behind them alone.
 */
export const POLICY_SERVICES: readonly object[] = [
  headless('x', 'webs', {}, { selector: { app: 'web' } }),
  headless('y', 'webs', { kind: 'near' }, { selector: { app: 'web' } }),
  headless('y', 'backs', { kind: 'near' }, { selector: { tier: 'back' } }),
  headless('x', 'away', { kind: 'far' }),
  // Pods are not meant by their addresses.
  slice('IPv4', '192.0.2.7', '192.0.2.10', '10.244.1.11'),
  slice('IPv6', '2001:db8::7', '2001:db8:244::10', 'fd00:10:244::11'),
]

function headless(namespace: string, name: string, labels: object, spec: object = {}): object {
  const ports = [{ port: 80 }]
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name, labels },
    spec: { clusterIP: 'None', ports, ...spec },
  }
}

function slice(addressType: 'IPv4' | 'IPv6', ...addresses: readonly string[]): object {
  const labels = { 'kubernetes.io/service-name': 'away' }
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'x', name: `away-${addressType.toLowerCase()}`, labels },
    addressType,
    endpoints: addresses.map(address => ({ addresses: [address] })),
  }
}

const service = fc.constantFrom<object>(
  { k8sService: { serviceName: 'webs', namespace: 'y' } },
  { k8sService: { serviceName: 'webs' } },
  { k8sService: { serviceName: 'away', namespace: 'x' } },
  { k8sService: { serviceName: 'nobody', namespace: 'x' } },
  { k8sServiceSelector: { selector: { matchLabels: { kind: 'near' } } } },
  { k8sServiceSelector: { selector: { matchLabels: { 'k8s:kind': 'far' } }, namespace: 'x' } },
)

/** One kind of peers, named as the direction asks; or none, then with ports alone. */
const peers = (to: 'from' | 'to') =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constant({}) },
    {
      weight: 5,
      arbitrary: fc.array(peerSelector, { maxLength: 2 }).map(list => ({ [`${to}Endpoints`]: list })),
    },
    {
      weight: 2,
      arbitrary: fc.array(cidrSet, { minLength: 1, maxLength: 2 }).map(list => ({ [`${to}CIDRSet`]: list })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom('192.0.2.0/24', '0.0.0.0/0', '::/0').map(prefix => ({ [`${to}CIDR`]: [prefix] })),
    },
    {
      weight: 3,
      arbitrary: fc.uniqueArray(entity, { minLength: 1, maxLength: 2 }).map(list => ({ [`${to}Entities`]: list })),
    },
    ...(to === 'to'
      ? [
          {
            weight: 2,
            arbitrary: fc.uniqueArray(service, { minLength: 1, maxLength: 2 }).map(list => ({ toServices: list })),
          },
        ]
      : []),
  )

const port = fc.constantFrom<object>(
  { port: '80' },
  { port: '80', protocol: 'TCP' },
  { port: '81', protocol: 'UDP' },
  { port: '80', endPort: 81, protocol: 'ANY' },
  { port: '0', protocol: 'TCP' },
  { port: '0' },
  { port: 'first-tcp', protocol: 'TCP' },
  { port: 'second-udp', protocol: 'UDP' },
  { port: '1', endPort: 80, protocol: 'SCTP' },
)

const level4 = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  {
    weight: 5,
    arbitrary: fc.array(port, { minLength: 1, maxLength: 3 }).map(ports => ({ toPorts: [{ ports }] })),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom<object>({ type: 8 }, { type: 'EchoRequest', family: 'IPv6' }, { type: 13 })
      .map(field => ({ icmps: [{ fields: [field] }] })),
  },
)

const item = (to: 'from' | 'to') => fc.tuple(peers(to), level4).map(([who, what]) => ({ ...who, ...what }))

const items = (to: 'from' | 'to', maxLength: number) =>
  fc.option(fc.array(item(to), { minLength: 0, maxLength }), { nil: undefined })

const rule = fc
  .record({
    endpointSelector: podSelector,
    ingress: items('from', 2),
    ingressDeny: items('from', 1),
    egress: items('to', 2),
    egressDeny: items('to', 1),
    enableDefaultDeny: fc.option(fc.record({ ingress: fc.boolean(), egress: fc.boolean() }), {
      nil: undefined,
      freq: 2,
    }),
  })
  .map(({ endpointSelector, ...rest }) => {
    const written = Object.entries(rest).filter(([, value]) => value !== undefined)
    const hasRules = written.some(([, value]) => Array.isArray(value) && value.length > 0)
    return { endpointSelector, ...Object.fromEntries(written), ...(!hasRules && { ingress: [{}] }) }
  })

const annotations = fc
  .record({
    audit: fc.option(fc.constant('true'), { nil: undefined, freq: 4 }),
    tier: fc.option(fc.constantFrom('admin', 'normal', 'baseline'), { nil: undefined, freq: 2 }),
    priority: fc.option(fc.constantFrom('7', '15', '999'), { nil: undefined, freq: 2 }),
  })
  .map(settings =>
    Object.fromEntries(
      Object.entries(settings).flatMap(([name, value]) =>
        value === undefined ? [] : [[`policy.axoneme.io/${name}`, value]],
      ),
    ),
  )

const policy = fc
  .record({
    namespace: fc.option(fc.constantFrom(...NAMESPACES), { nil: undefined, freq: 3 }),
    rules: fc.array(rule, { minLength: 1, maxLength: 2 }),
    annotations,
  })
  .map(({ namespace, rules, annotations }) => {
    // Nobody is isolated in the baseline tier.
    const isBaseline = annotations['policy.axoneme.io/tier'] === 'baseline'
    const settled = isBaseline ? rules.map(rule => ({ ...rule, enableDefaultDeny: NOBODY })) : rules
    return { namespace, annotations, body: bodyOf(settled) }
  })

const NOBODY = { ingress: false, egress: false }

const bodyOf = (rules: readonly object[]): object => (rules.length === 1 ? { spec: rules[0] } : { specs: rules })

const groups = fc.constantFrom(
  [['192.0.2.0/26', '2001:db8:1::/48'], ['192.0.2.64/26']],
  [['192.0.2.128/25'], []],
  [['0.0.0.0/1'], ['192.0.2.0/24', '2001:db8::/32']],
)

/** One or two policies of the Cilium kinds, with the groups that they may refer to. */
export const ciliumPolicySet: fc.Arbitrary<object[]> = fc
  .tuple(fc.array(policy, { minLength: 1, maxLength: 2 }), groups)
  .map(([policies, prefixes]) => [
    ...GROUPS.map((name, i) => ({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumCIDRGroup',
      metadata: { name, labels: { kind: i === 0 ? 'office' : 'partner' } },
      spec: { externalCIDRs: prefixes[i] ?? [] },
    })),
    ...policies.map(({ namespace, annotations, body }, i) => ({
      apiVersion: 'cilium.io/v2',
      kind: namespace ? 'CiliumNetworkPolicy' : 'CiliumClusterwideNetworkPolicy',
      metadata: { name: `cilium-policy-${i}`, ...(namespace && { namespace }), annotations },
      ...body,
    })),
  ])
