// From a Service and its pods to EndpointSlices.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BackendPod, type EndpointSlice, MAX_ENDPOINTS, type SlicedService, slicesOf } from './slices.ts'

const SPEC: SlicedService['spec'] = {
  type: 'ClusterIP',
  clusterIPs: ['10.96.0.10'],
  ipFamilies: ['IPv4'],
  ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 8080 }],
  selector: { app: 'web' },
  allocateLoadBalancerNodePorts: true,
  publishNotReadyAddresses: false,
}

const service = (spec: Partial<SlicedService['spec']> = {}, families: SlicedService['families'] = ['IPv4']) => ({
  namespace: 'shop',
  name: 'web',
  labels: { team: 'a' },
  spec: { ...SPEC, ...spec },
  families,
})

const pod = (name: string, more: Partial<BackendPod> = {}): BackendPod => ({
  namespace: 'shop',
  name,
  labels: { app: 'web' },
  node: 'node1',
  addresses: [`10.244.0.${name.length}`, `fd00::${name.length}`],
  namedPorts: [],
  ready: true,
  terminating: false,
  over: false,
  ...more,
})

const states = (slices: readonly EndpointSlice[]) =>
  slices.flatMap(({ endpoints }) =>
    endpoints.map(({ targetRef, conditions: { ready, serving, terminating } }) =>
      [targetRef.name, ready && 'ready', serving && 'serving', terminating && 'terminating'].filter(Boolean).join(' '),
    ),
  )

test('pods of the selector, with address, port and labels', () => {
  const others = [
    pod('other', { labels: {} }),
    pod('x', { namespace: 'y' }),
    pod('over', { over: true }),
    pod('no', { addresses: [] }),
  ]
  const [slice, ...more] = slicesOf(service(), [pod('a', { zone: 'z1', uid: 'u' }), ...others], [])
  assert.deepEqual(more, [])
  assert.match(slice?.metadata.name ?? '', /^web-ipv4-[0-9a-f]{6}-1$/)
  assert.deepEqual(
    { ...slice, metadata: { ...slice?.metadata, name: '' } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: '',
        namespace: 'shop',
        labels: {
          team: 'a',
          'kubernetes.io/service-name': 'web',
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
      },
      addressType: 'IPv4',
      ports: [{ name: '', protocol: 'TCP', port: 8080 }],
      endpoints: [
        {
          addresses: ['10.244.0.1'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'node1',
          zone: 'z1',
          targetRef: { kind: 'Pod', namespace: 'shop', name: 'a', uid: 'u' },
        },
      ],
    },
  )
})

const PODS = [
  pod('a'),
  pod('b', { ready: false }),
  pod('c', { terminating: true }),
  pod('d', { ready: false, terminating: true }),
]

test('conditions follow readiness and deletion', () => {
  assert.deepEqual(states(slicesOf(service(), PODS, [])), [
    'a ready serving',
    'b',
    'c serving terminating',
    'd terminating',
  ])
})

test('publishNotReadyAddresses makes all of them ready', () => {
  assert.deepEqual(states(slicesOf(service({ publishNotReadyAddresses: true }), PODS, [])), [
    'a ready serving',
    'b ready',
    'c ready serving terminating',
    'd ready terminating',
  ])
})

test('each family has slices of its own', () => {
  const slices = slicesOf(service({}, ['IPv6', 'IPv4']), [pod('a'), pod('bb', { addresses: ['10.244.0.2'] })], [])
  assert.deepEqual(
    slices.map(({ addressType, endpoints }) => [addressType, endpoints.flatMap(({ addresses }) => addresses)]),
    [
      ['IPv6', ['fd00::1']],
      ['IPv4', ['10.244.0.1', '10.244.0.2']],
    ],
  )
})

test('a named port that differs per pod makes several slices; a pod without it has the other ports', () => {
  const ports = [
    { name: 'web', protocol: 'TCP', port: 80, targetPort: 'http' },
    { name: 'admin', protocol: 'TCP', port: 81 },
  ]
  const named = (port: number, protocol = 'TCP') => ({ namedPorts: [{ name: 'http', protocol, port }] })
  const pods = [pod('a', named(8080)), pod('b', named(9090)), pod('c', named(8080)), pod('d', named(8080, 'UDP'))]
  assert.deepEqual(
    slicesOf(service({ ports }), pods, []).map(slice => [slice.ports.map(({ port }) => port), states([slice]).length]),
    [
      [[8080, 81], 2],
      [[9090, 81], 1],
      [[81], 1],
    ],
  )
})

test('a selector to nothing has an empty slice; no selector, and ExternalName, have none', () => {
  const [slice, ...more] = slicesOf(service({ selector: { app: 'nobody' } }), [pod('a')], [])
  assert.deepEqual([slice?.endpoints, slice?.ports, more], [[], [], []])
  assert.deepEqual(slicesOf(service({ selector: undefined }), [pod('a')], []), [])
  assert.deepEqual(slicesOf(service({ type: 'ExternalName' }, []), [pod('a')], []), [])
})

test('at most so many endpoints in a slice, and each stays where it is', () => {
  const many = Array.from({ length: 2 * MAX_ENDPOINTS + 1 }, (_, i) => pod(`p${String(i).padStart(3, '0')}`))
  const before = slicesOf(service(), many, [])
  assert.deepEqual(
    before.map(({ endpoints }) => endpoints.length),
    [MAX_ENDPOINTS, MAX_ENDPOINTS, 1],
  )
  const after = slicesOf(service(), [...many.slice(1), pod('new')], before)
  assert.deepEqual(after.slice(1), before.slice(1))
  assert.equal(states(after)[MAX_ENDPOINTS - 1], 'new ready serving')
  const fewer = slicesOf(service(), many.slice(MAX_ENDPOINTS), before)
  assert.deepEqual(fewer, before.slice(1))
})

const HINTS: readonly { distribution: string; want: unknown }[] = [
  { distribution: 'PreferClose', want: { forZones: [{ name: 'z1' }] } },
  { distribution: 'PreferSameZone', want: { forZones: [{ name: 'z1' }] } },
  { distribution: 'PreferSameNode', want: { forZones: [{ name: 'z1' }], forNodes: [{ name: 'node1' }] } },
  { distribution: 'Anything', want: undefined },
]

for (const { distribution, want } of HINTS)
  test(`hints of trafficDistribution ${distribution}`, () => {
    const pods = [pod('a', { zone: 'z1' }), pod('b', { zone: 'z1', ready: false })]
    const [slice] = slicesOf(service({ trafficDistribution: distribution }), pods, [])
    assert.deepEqual(
      slice?.endpoints.map(({ hints }) => hints),
      [want, undefined],
    )
  })

test('a pod is known by its name in a service that is its subdomain', () => {
  const named = pod('a', { hostname: 'first', subdomain: 'web' })
  assert.equal(slicesOf(service(), [named], [])[0]?.endpoints[0]?.hostname, 'first')
  assert.equal(slicesOf(service(), [{ ...named, subdomain: 'x' }], [])[0]?.endpoints[0]?.hostname, undefined)
})
