// Whatever Services and EndpointSlices say: what the readers let through is resolved, and
// keeps the promises that others build on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { canonicalIp } from '../ip/index.ts'
import { parseManifests, readEndpointSlice, readService } from '../manifests/index.ts'
import { type ResolvedService, resolveService, slotsOf } from './index.ts'
import { context } from './testing/index.ts'

/** Nearly always one of the good ones. */
const mostly = <Good, Bad>(good: readonly Good[], ...bad: readonly Bad[]): fc.Arbitrary<Good | Bad> =>
  fc.oneof({ weight: 30, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) })

const address = mostly(
  ['10.96.0.1', '192.0.2.1', 'fd00::1', 'FD00::0:1', '172.30.0.2'],
  '127.0.0.1',
  '10.0.0',
  'None',
  '',
)
const number = mostly<number, number | string | null>([1, 80, 81, 65535], 0, 65536, '80', 'http', null)
const name = mostly<string, string | null>(['a', 'b', 'c'], '', 'A', null)
const protocol = mostly(['TCP', 'UDP', 'SCTP', undefined], 'tcp')
const policy = mostly(['Local', 'Cluster', undefined, null], 'Other')

const port = fc.record({ name, protocol, port: number, targetPort: number }, { requiredKeys: ['name', 'port'] })
const service = fc
  .record(
    {
      type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer'),
      clusterIPs: fc.array(address, { maxLength: 2 }),
      externalIPs: fc.array(address, { maxLength: 2 }),
      ports: fc.uniqueArray(port, { minLength: 1, maxLength: 3, selector: one => one.name }),
      nodePort: mostly([30080, 30081, 0], 80, 70000),
      internalTrafficPolicy: policy,
      externalTrafficPolicy: policy,
      sessionAffinity: mostly(['ClientIP', 'None'], 'Client'),
      loadBalancerSourceRanges: fc.array(mostly(['10.0.0.0/8', 'fd00::/8'], '10.0.0.0'), { maxLength: 2 }),
    },
    { requiredKeys: ['type', 'ports', 'nodePort'] },
  )
  .map(({ nodePort, ports, loadBalancerSourceRanges, ...spec }) => ({
    ...spec,
    ...(spec.type === 'LoadBalancer' && { loadBalancerSourceRanges }),
    ports: ports.map((one, i) => ({
      ...one,
      ...(spec.type !== 'ClusterIP' && { nodePort: nodePort && nodePort + i }),
    })),
  }))

const slice = fc.record({
  addressType: mostly(['IPv4', 'IPv6'], 'FQDN'),
  ports: fc.uniqueArray(fc.record({ name, protocol, port: number }, { requiredKeys: [] }), {
    maxLength: 2,
    selector: one => one.name,
  }),
  endpoints: fc.array(
    fc.record(
      {
        addresses: fc.array(address, { minLength: 1, maxLength: 2 }),
        conditions: fc.record(
          { ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() },
          { requiredKeys: [] },
        ),
        nodeName: fc.constantFrom('node1', 'node2', null),
        hints: fc.record({ forZones: fc.array(fc.record({ name: fc.constantFrom('a', 'b') }), { maxLength: 2 }) }),
      },
      { requiredKeys: ['addresses'] },
    ),
    { maxLength: 4 },
  ),
  weight: mostly(['0', '1', '3'], 'x'),
})

function checkPromises({ ports }: ResolvedService): void {
  const places = ports.flatMap(({ protocol: number_, frontends }) =>
    frontends.map(one => `${one.address} ${one.port} ${number_}`),
  )
  assert.equal(new Set(places).size, places.length, 'an address, port and protocol is there once')
  assert.equal(new Set(ports.map(({ id }) => id)).size, ports.length)
  for (const port of ports) {
    for (const { address: text } of [...port.frontends, ...port.backends]) {
      assert.equal(canonicalIp(text), text)
      assert.equal(text.includes(':'), port.family === 6)
    }
    for (const kind of ['cluster', 'outside'] as const) {
      const slots = slotsOf({ ...port, algorithm: 'maglev' }, kind, 251)
      const reason = kind === 'cluster' ? 'notForCluster' : 'notForOutside'
      const chosen = port.backends.flatMap((backend, i) => (backend[reason] === undefined ? [i] : []))
      assert.deepEqual(
        [...new Set(slots)].sort((a, b) => a - b),
        chosen,
      )
      if (chosen.length > 0) assert.equal(port.without[kind], 'reject')
    }
  }
}

test('any Service and slices: resolved as promised, or refused with a word', () => {
  let resolved = 0
  fc.assert(
    fc.property(service, fc.array(slice, { maxLength: 3 }), fc.boolean(), (spec, slices, isOpen) => {
      const objects = [
        { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec },
        ...slices.map(({ weight, ...content }, i) => ({
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            name: `web-${i}`,
            labels: { 'kubernetes.io/service-name': 'web' },
            annotations: { 'service.axoneme.io/weight': weight },
          },
          ...content,
        })),
      ]
      const [first, ...others] = parseManifests(
        objects.map(object => JSON.stringify(object)).join('\n---\n'),
        'f',
      ).objects
      assert.ok(first)
      const { value, problems } = readService(first)
      const read = others.flatMap(other => readEndpointSlice(other).value ?? [])
      if (!value) assert.ok(problems.length > 0)
      else {
        checkPromises(resolveService(value, read, context({ clusterIpsFromOutside: isOpen })))
        resolved++
      }
    }),
    { numRuns: 600 },
  )
  assert.ok(resolved > 150, `${resolved} were resolved`)
})
