// What a node makes of services: tables of Services and slices, and the frontends and
// backends that come of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { EndpointSliceManifest, ServiceManifest } from '../manifests/index.ts'
import { type ResolvedService, resolveService, type ServiceContext } from './index.ts'
import { backend, context, frontendTexts, service, slice } from './testing/index.ts'

test('a service has one entry for each port and family, with all its addresses', () => {
  const given = service({
    type: 'LoadBalancer',
    clusterIps: ['10.96.0.1', 'fd00:96::1'],
    externalIps: ['192.0.2.1'],
    loadBalancerAddresses: [
      { ip: '192.0.2.7', mode: 'VIP' },
      { ip: '192.0.2.8', mode: 'Proxy' },
      { ip: '2001:db8::7', mode: 'VIP' },
    ],
    ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30080 }],
    affinitySeconds: 60,
  })
  const slices = [slice({ endpoints: [backend('10.0.0.2'), backend('10.0.0.1', { node: 'node2' })] })]
  const { ports, problems } = resolveService(given, slices, context())
  assert.deepEqual(problems, [])
  assert.deepEqual(
    ports.map(({ id, frontends }) => [id, frontendTexts(frontends)]),
    [
      [
        'shop/web:80/TCP/4',
        [
          'ClusterIP 10.96.0.1:80 cluster',
          'ExternalIP 192.0.2.1:80 everybody',
          'LoadBalancer 192.0.2.7:80 everybody',
          'NodePort 172.30.0.2:30080 everybody',
          'NodePort 127.0.0.1:30080 node',
        ],
      ],
      [
        'shop/web:80/TCP/6',
        [
          'ClusterIP fd00:96::1:80 cluster',
          'LoadBalancer 2001:db8::7:80 everybody',
          'NodePort fd00:172:30::2:30080 everybody',
          'NodePort ::1:30080 node',
        ],
      ],
    ],
  )
  const state = { port: 8080, ready: true, serving: true, terminating: false, weight: 1 }
  assert.deepEqual(ports[0], {
    ...ports[0],
    portName: '',
    port: 80,
    protocol: 6,
    family: 4,
    backends: [
      { address: '10.0.0.1', node: 'node2', ...state },
      { address: '10.0.0.2', node: 'node1', ...state },
    ],
    without: { cluster: 'reject', outside: 'reject' },
    algorithm: 'random',
    affinitySeconds: 60,
    sourceRanges: [],
    forwarding: 'snat',
  })
})

type Case = {
  readonly name: string
  readonly service?: Partial<ServiceManifest>
  readonly slices?: readonly EndpointSliceManifest[]
  readonly context?: Partial<ServiceContext>
  /** Entries: id without the service's name, frontends by kind, backends for the cluster and for outside. */
  readonly want: readonly string[]
  readonly problems?: readonly string[]
}

/** `80/TCP/4 ClusterIP+NodePort cluster=10.0.0.1 outside=DROP` */
function summary({ ports }: ResolvedService): string[] {
  return ports.map(({ id, frontends, backends, without }) => {
    const kinds = [...new Set(frontends.map(({ kind }) => kind))].join('+')
    const got = (reason: 'notForCluster' | 'notForOutside', none: string): string =>
      backends
        .filter(one => one[reason] === undefined)
        .map(one => `${one.address}:${one.port}`)
        .join(',') || none.toUpperCase()
    const [cluster, outside] = [got('notForCluster', without.cluster), got('notForOutside', without.outside)]
    return `${id.slice(id.indexOf(':') + 1)} ${kinds} cluster=${cluster} outside=${outside}`
  })
}

const two = [slice({ endpoints: [backend('10.0.0.1'), backend('10.0.0.2', { node: 'node2' })] })]
const nodePort: Partial<ServiceManifest> = {
  type: 'NodePort',
  ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30080 }],
}
const BOTH = '10.0.0.1:8080,10.0.0.2:8080'

const cases: readonly Case[] = [
  { name: 'no backends: told at once', want: ['80/TCP/4 ClusterIP cluster=REJECT outside=REJECT'] },
  { name: 'a cluster address', slices: two, want: [`80/TCP/4 ClusterIP cluster=${BOTH} outside=${BOTH}`] },
  { name: 'headless', service: { headless: true }, slices: two, want: [] },
  { name: 'ExternalName', service: { type: 'ExternalName', clusterIps: [] }, want: [] },
  { name: 'of another proxy', service: { proxyName: '' }, slices: two, want: [] },
  {
    name: 'not allocated yet',
    service: { clusterIps: [] },
    slices: two,
    want: [],
    problems: ['spec.clusterIPs: has no address yet; nobody reaches the service until somebody has allocated one'],
  },
  {
    name: 'internalTrafficPolicy Local',
    service: { internalTrafficPolicy: 'Local' },
    slices: two,
    want: ['80/TCP/4 ClusterIP cluster=10.0.0.1:8080 outside=10.0.0.1:8080'],
  },
  {
    name: 'internalTrafficPolicy Local, backends elsewhere',
    service: { internalTrafficPolicy: 'Local' },
    slices: two,
    context: { nodeName: 'node3' },
    want: ['80/TCP/4 ClusterIP cluster=DROP outside=DROP'],
  },
  {
    name: 'externalTrafficPolicy Local: clients in the cluster get all',
    service: { ...nodePort, externalTrafficPolicy: 'Local' },
    slices: two,
    want: [`80/TCP/4 ClusterIP+NodePort cluster=${BOTH} outside=10.0.0.1:8080`],
  },
  {
    name: 'externalTrafficPolicy Local, backends elsewhere',
    service: { ...nodePort, externalTrafficPolicy: 'Local' },
    slices: two,
    context: { nodeName: 'node3' },
    want: [`80/TCP/4 ClusterIP+NodePort cluster=${BOTH} outside=DROP`],
  },
  {
    name: 'externalTrafficPolicy Local, no backends',
    service: { ...nodePort, externalTrafficPolicy: 'Local' },
    want: ['80/TCP/4 ClusterIP+NodePort cluster=REJECT outside=REJECT'],
  },
  {
    name: 'the internal policy is for the cluster address alone',
    service: { ...nodePort, internalTrafficPolicy: 'Local' },
    slices: two,
    want: [
      '80/TCP/4 ClusterIP cluster=10.0.0.1:8080 outside=10.0.0.1:8080',
      `80/TCP/4/external NodePort cluster=${BOTH} outside=${BOTH}`,
    ],
  },
  {
    name: 'both policies Local',
    service: { ...nodePort, internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' },
    slices: two,
    want: [
      '80/TCP/4 ClusterIP cluster=10.0.0.1:8080 outside=10.0.0.1:8080',
      `80/TCP/4/external NodePort cluster=${BOTH} outside=10.0.0.1:8080`,
    ],
  },
  {
    name: 'a cluster address open to outside keeps to the internal policy',
    service: {
      ...nodePort,
      externalTrafficPolicy: 'Local',
      annotations: { 'service.axoneme.io/reachable-from-outside': 'true' },
    },
    slices: two,
    want: [
      `80/TCP/4 ClusterIP cluster=${BOTH} outside=${BOTH}`,
      `80/TCP/4/external NodePort cluster=${BOTH} outside=10.0.0.1:8080`,
    ],
  },
  {
    name: 'externalIPs of a ClusterIP service obey the external policy',
    service: { externalIps: ['192.0.2.1'], externalTrafficPolicy: 'Local' },
    slices: two,
    want: [`80/TCP/4 ClusterIP+ExternalIP cluster=${BOTH} outside=10.0.0.1:8080`],
  },
  {
    name: 'no node port where the type has none',
    service: { ports: nodePort.ports ?? [] },
    slices: two,
    want: [`80/TCP/4 ClusterIP cluster=${BOTH} outside=${BOTH}`],
  },
  {
    name: 'several ports and protocols, named target ports that differ from slice to slice',
    service: {
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 'web' },
        { name: 'dns', protocol: 'UDP', port: 80, targetPort: 53 },
      ],
    },
    slices: [
      slice({
        name: 'web-2',
        ports: [
          { name: 'http', protocol: 'TCP', port: 8080 },
          { name: 'dns', protocol: 'UDP', port: 53 },
        ],
        endpoints: [backend('10.0.0.2')],
      }),
      slice({
        ports: [{ name: 'http', protocol: 'TCP', port: 9090 }],
        endpoints: [backend('10.0.0.1'), backend('10.0.0.2')],
      }),
    ],
    want: [
      '80/TCP/4 ClusterIP cluster=10.0.0.1:9090,10.0.0.2:8080,10.0.0.2:9090 outside=10.0.0.1:9090,10.0.0.2:8080,10.0.0.2:9090',
      '80/UDP/4 ClusterIP cluster=10.0.0.2:53 outside=10.0.0.2:53',
    ],
  },
  {
    name: 'a port that no slice has',
    service: { ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 'web' }] },
    slices: two,
    want: ['80/TCP/4 ClusterIP cluster=REJECT outside=REJECT'],
    problems: [
      'spec.ports[0]: no IPv4 EndpointSlice of the service has a TCP port called "http", so the port has no backends',
    ],
  },
  {
    name: 'two families with backends of their own',
    service: { clusterIps: ['fd00:96::1', '10.96.0.1'] },
    slices: [...two, slice({ name: 'web-6', family: 6, endpoints: [backend('fd00::1')] })],
    want: [
      '80/TCP/6 ClusterIP cluster=fd00::1:8080 outside=fd00::1:8080',
      `80/TCP/4 ClusterIP cluster=${BOTH} outside=${BOTH}`,
    ],
  },
  {
    name: 'addresses of a family that the service has not',
    service: {
      type: 'LoadBalancer',
      externalIps: ['2001:db8::1'],
      loadBalancerAddresses: [{ ip: '2001:db8::2', mode: 'VIP' }],
    },
    slices: two,
    want: [`80/TCP/4 ClusterIP cluster=${BOTH} outside=${BOTH}`],
    problems: [
      'spec.externalIPs[0]: 2001:db8::1 has no effect: the service has no IPv6 cluster address',
      'status.loadBalancer.ingress[0].ip: 2001:db8::2 has no effect: the service has no IPv6 cluster address',
    ],
  },
  {
    name: 'ranges of one family shut the other out',
    service: {
      type: 'LoadBalancer',
      clusterIps: ['10.96.0.1', 'fd00:96::1'],
      loadBalancerAddresses: [{ ip: '2001:db8::2', mode: 'VIP' }],
      loadBalancerSourceRanges: ['10.0.0.0/8'],
    },
    want: [
      '80/TCP/4 ClusterIP cluster=REJECT outside=REJECT',
      '80/TCP/6 ClusterIP+LoadBalancer cluster=REJECT outside=REJECT',
    ],
    problems: [
      "spec.loadBalancerSourceRanges: no range is of IPv6, so nobody outside reaches the load balancer's IPv6 address",
    ],
  },
  {
    name: 'an endpoint in two slices: the one that stays',
    slices: [
      slice({ endpoints: [backend('10.0.0.1', { ready: false, terminating: true })] }),
      slice({ name: 'web-2', endpoints: [backend('10.0.0.1')] }),
      slice({ name: 'web-3', endpoints: [backend('10.0.0.1', { ready: false, serving: false })] }),
    ],
    want: ['80/TCP/4 ClusterIP cluster=10.0.0.1:8080 outside=10.0.0.1:8080'],
  },
  {
    name: 'one external address twice: the first has it',
    service: {
      externalIps: ['192.0.2.1'],
      type: 'LoadBalancer',
      loadBalancerAddresses: [{ ip: '192.0.2.1', mode: 'VIP' }],
    },
    want: ['80/TCP/4 ClusterIP+ExternalIP cluster=REJECT outside=REJECT'],
  },
  {
    name: 'external addresses from beyond what the node takes',
    service: { externalIps: ['192.0.2.1', '198.51.100.1'] },
    context: { externalIpRanges: ['192.0.2.0/24'] },
    want: ['80/TCP/4 ClusterIP+ExternalIP cluster=REJECT outside=REJECT'],
    problems: ["spec.externalIPs[1]: 198.51.100.1 is not taken: the agent's --external-ip-range is 192.0.2.0/24"],
  },
  {
    name: 'annotations that nobody reads',
    service: {
      annotations: { 'service.axoneme.io/algoritm': 'maglev', 'service.axoneme.io/weight': '2', 'other/x': '' },
    },
    want: ['80/TCP/4 ClusterIP cluster=REJECT outside=REJECT'],
    problems: [
      'metadata.annotations["service.axoneme.io/algoritm"]: is not known (did you mean "service.axoneme.io/algorithm"?)',
      'metadata.annotations["service.axoneme.io/weight"]: says nothing on a Service; it belongs on an EndpointSlice',
    ],
  },
  {
    name: 'annotations that say nothing that is known',
    service: { annotations: { 'service.axoneme.io/algorithm': 'robin', 'service.axoneme.io/forwarding': 'DSR' } },
    want: ['80/TCP/4 ClusterIP cluster=REJECT outside=REJECT'],
    problems: [
      'metadata.annotations["service.axoneme.io/algorithm"]: must be random or maglev, got "robin"; random is used',
      'metadata.annotations["service.axoneme.io/forwarding"]: must be snat or dsr, got "DSR"; snat is used',
    ],
  },
]

for (const { name, service: given, slices, context: where, want, problems } of cases) {
  test(`a service: ${name}`, () => {
    const resolved = resolveService(service(given), slices ?? [], context(where))
    assert.deepEqual(summary(resolved), want)
    assert.deepEqual(
      resolved.problems.map(({ path, message }) => `${path}: ${message}`),
      problems ?? [],
    )
  })
}

test('annotations go before what holds on the node', () => {
  const annotations = { 'service.axoneme.io/algorithm': 'maglev', 'service.axoneme.io/forwarding': 'dsr' }
  const options = (given: Partial<ServiceManifest>, where: Partial<ServiceContext>) =>
    resolveService(service(given), [], context(where)).ports.map(({ algorithm, forwarding, frontends }) => {
      return [algorithm, forwarding, ...frontends.map(({ reach }) => reach)].join(' ')
    })
  assert.deepEqual(options({ annotations }, {}), ['maglev dsr cluster'])
  assert.deepEqual(options({}, { algorithm: 'maglev', forwarding: 'dsr' }), ['maglev dsr cluster'])
  assert.deepEqual(options({}, { clusterIpsFromOutside: true }), ['random snat everybody'])
  const shut = { 'service.axoneme.io/reachable-from-outside': 'false' }
  assert.deepEqual(options({ annotations: shut }, { clusterIpsFromOutside: true }), ['random snat cluster'])
})

test('a load balancer is told how many backends are ready here', () => {
  const balanced = service({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 })
  const endpoints = [
    backend('10.0.0.1', { pod: 'shop/a' }),
    backend('10.0.0.2', { ready: false, terminating: true }),
    backend('10.0.0.3', { node: 'node2' }),
    backend('10.0.0.4'),
  ]
  const slices = [
    slice({ endpoints }),
    slice({ name: 'web-6', family: 6, endpoints: [backend('fd00::1', { pod: 'shop/a' })] }),
  ]
  assert.deepEqual(resolveService(balanced, slices, context()).healthCheck, { port: 32000, localBackends: 2 })
  assert.deepEqual(resolveService(balanced, slices, context({ nodeName: 'node3' })).healthCheck, {
    port: 32000,
    localBackends: 0,
  })
  assert.equal(
    resolveService({ ...balanced, externalTrafficPolicy: 'Cluster' }, slices, context()).healthCheck,
    undefined,
  )
  assert.equal(resolveService({ ...balanced, type: 'NodePort' }, slices, context()).healthCheck, undefined)
})

test('1,000 ports come to 1,000 entries', () => {
  const ports = Array.from({ length: 1000 }, (_, i) => ({
    name: `p${i}`,
    protocol: 'TCP' as const,
    port: i + 1,
    targetPort: i + 1,
  }))
  const slices = [
    slice({
      ports: ports.map(({ name, port }) => ({ name, port, protocol: 'TCP' })),
      endpoints: [backend('10.0.0.1')],
    }),
  ]
  const resolved = resolveService(service({ ports }), slices, context())
  assert.equal(new Set(resolved.ports.map(({ id }) => id)).size, 1000)
  assert.deepEqual(
    resolved.ports[999]?.backends.map(({ port }) => port),
    [1000],
  )
})

test('the order of slices and of endpoints changes nothing', () => {
  const endpoints = Array.from({ length: 8 }, (_, i) =>
    backend(`10.0.0.${i}`, { ready: i % 3 > 0, node: `node${i % 2}` }),
  )
  const slices = [
    slice({ endpoints: endpoints.slice(0, 5) }),
    slice({ name: 'web-2', endpoints: endpoints.slice(3), weight: 3 }),
    slice({ name: 'web-3', endpoints: endpoints.slice(2, 6).map(one => ({ ...one, terminating: true })) }),
  ]
  const want = resolveService(service(), slices, context())
  fc.assert(
    fc.property(
      fc
        .shuffledSubarray(slices, { minLength: 3 })
        .chain(shuffled =>
          fc.tuple(
            ...shuffled.map(one =>
              fc
                .shuffledSubarray([...one.endpoints], { minLength: one.endpoints.length })
                .map(mixed => ({ ...one, endpoints: mixed })),
            ),
          ),
        ),
      shuffled => assert.deepEqual(resolveService(service(), shuffled, context()), want),
    ),
    { numRuns: 50 },
  )
})
