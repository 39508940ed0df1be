// What a node makes of services: tables of Services and slices, and the frontends and
// backends that come of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveService } from './index.ts'
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
  assert.deepEqual(ports[0], {
    ...ports[0],
    portName: '',
    port: 80,
    protocol: 6,
    family: 4,
    backends: [
      { address: '10.0.0.1', port: 8080, node: 'node2', ready: true, serving: true, terminating: false, weight: 1 },
      { address: '10.0.0.2', port: 8080, node: 'node1', ready: true, serving: true, terminating: false, weight: 1 },
    ],
    without: { cluster: 'reject', outside: 'reject' },
    algorithm: 'random',
    affinitySeconds: 60,
    sourceRanges: [],
    forwarding: 'snat',
  })
})
