// Why an address leads where it leads: every kind of client at every kind of frontend,
// what comes near where there is none, and what cannot be asked.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  backend,
  clusterIp,
  declaredService,
  knownPod,
  knownService,
  resolvedPort,
  worldOf,
} from '../testing/worlds.ts'
import type { KnownService, ServiceExplanation, ServiceWorld } from './explanation.ts'
import { type AskedService, readServiceQuestion } from './question.ts'
import { explainService } from './why.ts'

const web: KnownService = knownService(declaredService('web', { type: 'LoadBalancer', clusterIps: ['10.96.0.10'] }), [
  resolvedPort({
    affinitySeconds: 60,
    sourceRanges: ['192.0.2.0/24', '2001:db8::/32'],
    frontends: [
      clusterIp('10.96.0.10'),
      { address: '172.30.0.2', port: 30080, kind: 'NodePort', reach: 'everybody' },
      { address: '127.0.0.1', port: 30080, kind: 'NodePort', reach: 'node' },
      { address: '198.51.100.1', port: 80, kind: 'LoadBalancer', reach: 'everybody' },
    ],
    backends: [
      backend('10.0.0.2', 'client'),
      backend('10.0.0.3', 'web-1', { notForOutside: 'not on this node' }),
      backend('10.0.0.4', 'web-2', {
        ready: false,
        terminating: true,
        notForCluster: 'terminating',
        notForOutside: 'terminating',
      }),
    ],
  }),
  resolvedPort({ port: 53, protocol: 17, portName: 'dns', frontends: [clusterIp('10.96.0.10', 53)] }),
])

const empty: KnownService = knownService(declaredService('empty', { clusterIps: ['10.96.0.20'] }), [
  resolvedPort({
    without: { cluster: 'reject', outside: 'drop' },
    frontends: [clusterIp('10.96.0.20'), { address: '198.51.100.2', port: 80, kind: 'ExternalIP', reach: 'everybody' }],
  }),
  resolvedPort({ port: 99, protocol: 132, frontends: [clusterIp('10.96.0.20', 99)] }),
])

const world = worldOf([web, empty])

const ask = (
  target: string,
  asked: Omit<AskedService, 'target'> = {},
  where: ServiceWorld = world,
): ServiceExplanation => explainService(where, readServiceQuestion(where, { target, ...asked }))

test('what becomes of a client', async t => {
  const hostPod = worldOf([web], { pods: [{ ...knownPod('agent', '172.30.0.2'), hostNetwork: true }] })
  const packetPod = worldOf([web], { pods: [{ ...knownPod('client', '10.0.0.2'), byPacket: true }] })
  const cases: readonly {
    readonly name: string
    readonly target: string
    readonly asked?: Omit<AskedService, 'target'>
    readonly where?: ServiceWorld
    readonly want: readonly string[]
  }[] = [
    {
      name: 'nobody named: each kind of client',
      target: '10.96.0.10:80',
      want: ['pods and the node: translated socket 2', 'outside: dropped IS_CLUSTER_IP device 1'],
    },
    {
      name: 'a pod that is a backend itself',
      target: '10.96.0.10:80',
      asked: { from: 'shop/client' },
      want: ['pod shop/client: translated socket 2, perhaps itself'],
    },
    {
      name: 'datagrams of a pod go by the packet, and there is no backend',
      target: '10.96.0.10:53/udp',
      asked: { from: 'shop/client' },
      want: ['pod shop/client: rejected NO_SERVICE packet 0'],
    },
    {
      name: 'a pod whose connections are translated by the packet',
      target: '10.96.0.10:80',
      asked: { from: 'shop/client' },
      where: packetPod,
      want: ['pod shop/client: translated packet 2, perhaps itself'],
    },
    {
      name: 'a pod where no sockets are translated',
      target: '10.96.0.10:80',
      asked: { from: 'shop/client' },
      where: worldOf([web], { sockets: false }),
      want: ['pod shop/client: translated packet 2, perhaps itself'],
    },
    {
      name: 'a process of the node, by a loopback address',
      target: '127.0.0.1:30080',
      asked: { fromHost: true },
      want: ['the node: translated socket 2'],
    },
    {
      name: 'the same of a pod',
      target: '127.0.0.1:30080',
      asked: { from: 'shop/client' },
      want: ['pod shop/client: untouched NODE_ONLY socket 2'],
    },
    {
      name: "a pod on the node's network is the node",
      target: '127.0.0.1:30080',
      asked: { from: 'shop/agent' },
      where: hostPod,
      want: ['pod shop/agent: translated socket 2'],
    },
    {
      name: 'the node without translation in sockets',
      target: '10.96.0.10:80',
      asked: { fromHost: true },
      where: worldOf([web], { sockets: false }),
      want: ['the node: untouched NO_SOCKETS socket 2'],
    },
    {
      name: 'SCTP of the node',
      target: '10.96.0.20:99/SCTP',
      asked: { fromHost: true },
      want: ['the node: untouched NO_SCTP socket 0'],
    },
    {
      name: 'outside, at a node port: source ranges say nothing of it',
      target: '172.30.0.2:30080',
      asked: { fromOutside: '203.0.113.1' },
      want: ['outside 203.0.113.1: translated device 1'],
    },
    {
      name: 'outside, at a load balancer, inside a source range',
      target: '198.51.100.1:80',
      asked: { fromOutside: '192.0.2.9' },
      want: ['outside 192.0.2.9: translated device 1, by 192.0.2.0/24'],
    },
    {
      name: 'outside all source ranges',
      target: '198.51.100.1:80',
      asked: { fromOutside: '203.0.113.1' },
      want: ['outside 203.0.113.1: dropped NOT_IN_SOURCE_RANGE device 1'],
    },
    {
      name: 'an outside address of the other family',
      target: '198.51.100.1:80',
      asked: { fromOutside: '2001:db8::1' },
      want: ['outside 2001:db8::1: untouched NO_ADDRESS device 1'],
    },
    {
      name: 'no backend at all: each kind of client as its policy says',
      target: '198.51.100.2:80',
      want: ['pods and the node: rejected NO_SERVICE socket 0', 'outside: dropped NO_SERVICE device 0'],
    },
  ]
  for (const { name, target, asked, where, want } of cases)
    await t.test(name, () => {
      const { clients } = ask(target, asked, where)
      const texts = clients.map(({ who, result, because, where: place, usable, sourceRange, mayBeItself }) =>
        [
          `${who}: ${[result, because, place, usable].filter(part => part !== undefined).join(' ')}`,
          ...(mayBeItself ? ['perhaps itself'] : []),
          ...(sourceRange === undefined ? [] : [`by ${sourceRange}`]),
        ].join(', '),
      )
      assert.deepEqual(texts, want)
    })
})

test('the frontend that matches, with its backends', () => {
  const explanation = ask('198.51.100.1:80')
  assert.deepEqual(explanation.match, {
    address: '198.51.100.1',
    port: 80,
    kind: 'LoadBalancer',
    reach: 'everybody',
    protocol: 'TCP',
    service: 'shop/web',
    servicePort: 80,
    portName: 'http',
    algorithm: 'random',
    affinitySeconds: 60,
    sourceRanges: ['192.0.2.0/24', '2001:db8::/32'],
    forwarding: 'snat',
  })
  assert.deepEqual(explanation.backends, web.ports[0]?.backends)
  assert.deepEqual(ask('172.30.0.2:30080').match?.sourceRanges, [])
})

test('a service can be asked for by its name', () => {
  for (const [target, want] of [
    ['shop/web', '10.96.0.10:80/TCP'],
    ['shop/web:http', '10.96.0.10:80/TCP'],
    ['shop/web:53', '10.96.0.10:53/UDP'],
  ] as const)
    assert.equal(ask(target).asked, want)
})

test('what comes near where there is no frontend', async t => {
  const others: readonly KnownService[] = [
    web,
    knownService(declaredService('late', { clusterIps: ['10.96.0.30'] })),
    knownService(declaredService('theirs', { clusterIps: ['10.96.0.31'], proxyName: 'mesh' })),
    knownService(declaredService('db', { headless: true })),
    knownService(declaredService('away', { type: 'ExternalName' })),
    knownService(
      declaredService('ported', {
        type: 'NodePort',
        ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 80, nodePort: 31000 }],
      }),
    ),
  ]
  const slice = {
    namespace: 'shop',
    name: 'db-1',
    service: 'db',
    family: 4,
    weight: 1,
    ports: [{ name: 'http', protocol: 'TCP', port: 5432 }],
    endpoints: [{ addresses: ['10.0.0.2'], ready: true, serving: true, terminating: false }],
  } as const
  const where = worldOf(others, {
    slices: [slice, { ...slice, service: 'web', ports: [{ ...slice.ports[0], port: 8080 }] }],
  })
  const cases: readonly (readonly [string, string, readonly object[]])[] = [
    [
      'another protocol of the same port',
      '10.96.0.10:53',
      [
        { kind: 'other-protocol', service: 'shop/web', protocol: 'UDP' },
        { kind: 'other-ports', service: 'shop/web', ports: ['80/TCP'] },
      ],
    ],
    [
      'other ports of the address',
      '10.96.0.10:443',
      [{ kind: 'other-ports', service: 'shop/web', ports: ['80/TCP', '53/UDP'] }],
    ],
    [
      'declared, and not in force; and who has the port elsewhere',
      '10.96.0.30:80',
      [
        { kind: 'not-in-force', service: 'shop/late' },
        { kind: 'other-address', service: 'shop/web', address: '10.96.0.10', frontend: 'ClusterIP' },
        { kind: 'other-address', service: 'shop/web', address: '198.51.100.1', frontend: 'LoadBalancer' },
      ],
    ],
    [
      'another proxy has it',
      '10.96.0.31:80/TCP',
      [
        { kind: 'other-proxy', service: 'shop/theirs', proxy: 'mesh' },
        { kind: 'other-address', service: 'shop/web', address: '10.96.0.10', frontend: 'ClusterIP' },
        { kind: 'other-address', service: 'shop/web', address: '198.51.100.1', frontend: 'LoadBalancer' },
      ],
    ],
    [
      'another port of an address that another proxy has',
      '10.96.0.31:99',
      [{ kind: 'other-proxy', service: 'shop/theirs', proxy: 'mesh' }],
    ],
    [
      'another port of a service that is not in force',
      '10.96.0.30:99',
      [{ kind: 'other-ports', service: 'shop/late', ports: ['80/TCP'] }],
    ],
    [
      'a backend of a headless service',
      '10.0.0.2:5432',
      [
        { kind: 'headless', service: 'shop/db' },
        { kind: 'pod', pod: 'shop/client' },
      ],
    ],
    [
      'a backend of another service',
      '10.0.0.2:8080',
      [
        { kind: 'backend', service: 'shop/web' },
        { kind: 'pod', pod: 'shop/client' },
      ],
    ],
    [
      'a node port that is declared and not in force',
      '172.30.0.2:31000',
      [
        { kind: 'not-in-force', service: 'shop/ported' },
        { kind: 'other-ports', service: 'shop/web', ports: ['30080/TCP'] },
        { kind: 'node' },
      ],
    ],
    ['nothing', '[fd00:10:96::99]:99', []],
    ['a headless service by its name', 'shop/db', [{ kind: 'headless', service: 'shop/db' }]],
    ['an ExternalName by its name', 'shop/away', [{ kind: 'external-name', service: 'shop/away' }]],
    ['one without any address', 'shop/late', [{ kind: 'not-in-force', service: 'shop/late' }]],
  ]
  for (const [name, target, want] of cases)
    await t.test(name, () => {
      const explanation = ask(target, {}, where)
      assert.deepEqual(explanation.near, want)
      assert.deepEqual([explanation.match, explanation.clients, explanation.backends], [undefined, [], []])
    })
})

test('a service that claims what another one has is told', () => {
  const late: KnownService = knownService(declaredService('late', { externalIps: ['198.51.100.1'] }))
  assert.deepEqual(ask('198.51.100.1:80', {}, worldOf([web, late])).near, [
    { kind: 'lost', service: 'shop/late', to: 'shop/web' },
  ])
})

test('what cannot be asked is told with what is right', () => {
  for (const [target, asked, want] of [
    [
      '10.96.0.10',
      {},
      '"10.96.0.10" is no IP:PORT, such as 10.96.0.10:80 or [fd00::a]:80, with a port from 1 to 65535',
    ],
    ['10.96.0.10:70000', {}, /is no IP:PORT/],
    ['fd00::1:80', {}, /is no IP:PORT/],
    ['10.96.0.10:80/ICMP', {}, 'services have ports of TCP, UDP and SCTP, not of ICMP'],
    ['shop/wep', {}, 'there is no service shop/wep (did you mean "shop/web"?)'],
    ['shop/web:9', {}, 'service shop/web has no port 9; it has http (80/TCP), dns (53/UDP)'],
    ['10.96.0.10:80', { from: 'shop/clients' }, 'there is no pod shop/clients (did you mean "shop/client"?)'],
    ['10.96.0.10:80', { from: 'nobody' }, 'there is no pod default/nobody'],
    ['10.96.0.10:80', { fromOutside: 'x' }, '"x" is no IP address'],
    ['10.96.0.10:80', { fromOutside: '172.30.0.2' }, "172.30.0.2 is the node's own address: give --from-host"],
    [
      '10.96.0.10:80',
      { fromOutside: '10.0.0.2' },
      '10.0.0.2 is the address of pod shop/client: give --from shop/client',
    ],
    [
      '10.96.0.10:80',
      { fromHost: true, from: 'shop/client' },
      'give one client: --from POD, --from-host, or --from-outside ADDRESS',
    ],
  ] as const)
    assert.throws(() => ask(target, asked), { code: 'BAD_QUESTION', message: want })
})

test('host ports of a pod, and an address that a load balancer keeps for itself', () => {
  const ports = [
    resolvedPort({
      port: 9000,
      portName: '',
      frontends: [{ address: '172.30.0.2', port: 9000, kind: 'HostPort', reach: 'everybody' }],
      backends: [backend('10.0.0.3', 'web-1')],
    }),
  ]
  const proxied = knownService(
    declaredService('web', {
      type: 'LoadBalancer',
      clusterIps: ['10.96.0.10'],
      loadBalancerAddresses: [{ ip: '198.51.100.9', mode: 'Proxy' }],
    }),
  )
  const where = worldOf([{ namespace: 'shop', name: 'web-1:host-ports', ports }, proxied])
  const { match, near } = ask('172.30.0.2:9000', {}, where)
  assert.deepEqual([match?.service, match?.kind, near], ['shop/web-1:host-ports', 'HostPort', []])
  assert.deepEqual(ask('198.51.100.9:80', {}, where).near, [{ kind: 'load-balancer', service: 'shop/web' }])
})
