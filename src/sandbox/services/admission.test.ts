// What a Service is given, keeps and is refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../manifests/index.ts'
import { ServiceAdmission } from './admission.ts'
import { type Ranges, rangesOf, SERVICE_RANGES } from './ranges.ts'

type Spec = Readonly<Record<string, unknown>>
type Given = {
  readonly clusterIPs?: readonly string[]
  readonly ipFamilies?: readonly string[]
  readonly ipFamilyPolicy?: string
  readonly ports?: readonly { readonly nodePort?: number }[]
  readonly healthCheckNodePort?: number
}

const PORTS = [{ port: 80 }]

function object(name: string, spec: Spec, more: Spec = {}) {
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec, ...more })
  const [service] = parseManifests(text, 'service.json').objects
  assert.ok(service)
  return service
}

function admit(admission: ServiceAdmission, name: string, spec: Spec, more: Spec = {}): Given & { ingress: string[] } {
  const { admitted, problems } = admission.admit(object(name, spec, more))
  assert.deepEqual(problems, [])
  const content = admitted?.content as {
    spec: Given
    status?: { loadBalancer: { ingress: { ip: string }[] } }
  }
  return { ...content.spec, ingress: content.status?.loadBalancer.ingress.map(({ ip }) => ip) ?? [] }
}

function refusal(admission: ServiceAdmission, name: string, spec: Spec): string {
  const { admitted, problems } = admission.admit(object(name, spec))
  assert.equal(admitted, undefined)
  return `${problems[0]?.path}: ${problems[0]?.message}`
}

const release = (admission: ServiceAdmission, name: string): void => admission.release(object(name, {}))

test('a service gets one cluster IP of the first family, the same in every sandbox', () => {
  const { clusterIPs, ipFamilies, ipFamilyPolicy } = admit(new ServiceAdmission(), 'web', { ports: PORTS })
  assert.match(clusterIPs?.[0] ?? '', /^10\.96\.\d+\.\d+$/)
  assert.deepEqual([clusterIPs?.length, ipFamilies, ipFamilyPolicy], [1, ['IPv4'], 'SingleStack'])
  assert.deepEqual(admit(new ServiceAdmission(), 'web', { ports: PORTS }).clusterIPs, clusterIPs)
})

const FAMILIES: readonly { name: string; spec: Spec; want: readonly string[] }[] = [
  { name: 'by name', spec: { ipFamilies: ['IPv6'] }, want: ['IPv6'] },
  { name: 'by address', spec: { clusterIP: 'fd00:10:96::9' }, want: ['IPv6'] },
  { name: 'both if there are', spec: { ipFamilyPolicy: 'PreferDualStack' }, want: ['IPv4', 'IPv6'] },
  {
    name: 'both, IPv6 first',
    spec: { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6'] },
    want: ['IPv6', 'IPv4'],
  },
  { name: 'headless', spec: { clusterIP: 'None', selector: { a: 'b' } }, want: ['IPv4'] },
  { name: 'headless without selector', spec: { clusterIP: 'None' }, want: ['IPv4', 'IPv6'] },
]

for (const { name, spec, want } of FAMILIES)
  test(`families: ${name}`, () => {
    const given = admit(new ServiceAdmission(), 'web', { ports: PORTS, ...spec })
    assert.deepEqual(given.ipFamilies, want)
    if (spec['clusterIP'] === 'None') assert.deepEqual(given.clusterIPs, ['None'])
    else
      assert.deepEqual(
        given.clusterIPs?.map(ip => (ip.includes(':') ? 'IPv6' : 'IPv4')),
        want,
      )
  })

test('a cluster of one family gives one, and cannot give two', () => {
  const admission = new ServiceAdmission(rangesOf(['fd00:10:244::/64']))
  assert.deepEqual(admit(admission, 'web', { ports: PORTS, ipFamilyPolicy: 'PreferDualStack' }).ipFamilies, ['IPv6'])
  assert.match(
    refusal(admission, 'two', { ports: PORTS, ipFamilyPolicy: 'RequireDualStack' }),
    /not configured for dual/,
  )
  assert.match(refusal(admission, 'four', { ports: PORTS, ipFamilies: ['IPv4'] }), /IPv4 is not configured/)
})

test('what a service has it keeps, whatever else changes; the second family comes and goes', () => {
  const admission = new ServiceAdmission()
  const spec = { type: 'NodePort', ports: PORTS }
  const first = admit(admission, 'web', spec)
  const dual = admit(admission, 'web', {
    ...spec,
    ipFamilyPolicy: 'PreferDualStack',
    ports: [...PORTS, { port: 81, name: 'b' }],
  })
  assert.equal(dual.clusterIPs?.[0], first.clusterIPs?.[0])
  assert.equal(dual.ports?.[0]?.nodePort, first.ports?.[0]?.nodePort)
  assert.notEqual(dual.ports?.[1]?.nodePort, first.ports?.[0]?.nodePort)
  assert.deepEqual(admit(admission, 'web', spec).clusterIPs, first.clusterIPs)
  assert.match(
    refusal(admission, 'web', { ...spec, clusterIP: '10.96.0.77' }),
    /^spec\.clusterIP: may not change once set/,
  )
})

test('a taken address or port is refused with its owner, and free when the owner is gone', () => {
  const admission = new ServiceAdmission()
  const asking = { type: 'NodePort', clusterIP: '10.96.0.10', ports: [{ port: 80, nodePort: 30080 }] }
  admit(admission, 'first', asking)
  assert.equal(
    refusal(admission, 'second', { ...asking, ports: PORTS }),
    'spec.clusterIP: 10.96.0.10 is the cluster IP of Service default/first already; leave it out to get a free one',
  )
  assert.match(
    refusal(admission, 'second', { ...asking, clusterIP: '10.96.0.11' }),
    /^spec\.ports\[0\]\.nodePort: 30080 is a port of Service default\/first already$/,
  )
  // What the refused one would have got is not held for it.
  admit(admission, 'third', { clusterIP: '10.96.0.11', ports: PORTS })
  release(admission, 'first')
  admit(admission, 'second', asking)
})

test('a service that becomes a plain one gives its ports back', () => {
  const admission = new ServiceAdmission()
  admit(admission, 'web', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] })
  assert.equal(admit(admission, 'web', { ports: PORTS }).ports?.[0]?.nodePort, undefined)
  admit(admission, 'other', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] })
  const { clusterIPs } = admit(admission, 'web', { type: 'ExternalName', externalName: 'example.com' })
  assert.equal(clusterIPs, undefined)
})

test('one number for two protocols of a service', () => {
  const ports = [
    { name: 'a', port: 53, protocol: 'TCP', nodePort: 30053 },
    { name: 'b', port: 53, protocol: 'UDP', nodePort: 30053 },
  ]
  admit(new ServiceAdmission(), 'dns', { type: 'NodePort', ports })
})

test('a load balancer gets addresses, node ports and, of Local, a port for health checks', () => {
  const admission = new ServiceAdmission()
  const spec = { type: 'LoadBalancer', ports: PORTS, ipFamilyPolicy: 'PreferDualStack' }
  const given = admit(admission, 'web', { ...spec, externalTrafficPolicy: 'Local' })
  assert.match(given.ingress.join(' '), /^172\.30\.100\.\d+ fd00:172:30:100::[0-9a-f]+$/)
  assert.ok((given.ports?.[0]?.nodePort ?? 0) >= 30_000)
  assert.ok((given.healthCheckNodePort ?? 0) >= 30_000)
  const changed = admit(admission, 'web', { ...spec, allocateLoadBalancerNodePorts: false })
  assert.deepEqual(changed.ingress, given.ingress)
  assert.deepEqual([changed.healthCheckNodePort, changed.ports?.[0]?.nodePort], [undefined, undefined])
  const own = { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } }
  assert.deepEqual(admit(admission, 'own', { type: 'LoadBalancer', ports: PORTS }, own).ingress, ['192.0.2.1'])
  assert.deepEqual(admit(admission, 'class', { ...spec, loadBalancerClass: 'example.com/other' }).ingress, [])
})

const TINY: Ranges = { ...SERVICE_RANGES, clusterIps: ['10.96.0.0/30'], nodePorts: [30_000, 30_001] }

test('a range that is used up says so', () => {
  const admission = new ServiceAdmission(TINY)
  for (const name of ['a', 'b']) admit(admission, name, { ports: PORTS })
  assert.equal(
    refusal(admission, 'c', { ports: PORTS }),
    'spec.clusterIP: no cluster IP is free: all of 10.96.0.0/30 are in use',
  )
  for (const name of ['a', 'b']) admit(admission, name, { type: 'NodePort', ports: PORTS })
  release(admission, 'b')
  assert.match(
    refusal(admission, 'c', { type: 'NodePort', ports: [{ port: 1 }, { port: 2, name: 'b' }] }),
    /^spec\.ports\[1\]\.nodePort: no node port is free: all of 30000-30001 are in use$/,
  )
  admit(admission, 'c', { type: 'NodePort', ports: PORTS })
})

const REFUSED: readonly { name: string; spec: Spec; want: RegExp }[] = [
  {
    name: 'a cluster IP elsewhere',
    spec: { clusterIP: '10.0.0.1' },
    want: /10\.0\.0\.1 is not in the range of 10\.96/,
  },
  { name: 'two families of a single stack', spec: { ipFamilies: ['IPv4', 'IPv6'] }, want: /ipFamilyPolicy: must be/ },
  { name: 'headless node ports', spec: { type: 'NodePort', clusterIP: 'None' }, want: /may not be None for/ },
  {
    name: 'a node port elsewhere',
    spec: { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] },
    want: /80 is not in the range of node ports/,
  },
  { name: 'a check of health without need', spec: { healthCheckNodePort: 30_000 }, want: /only for type LoadBalancer/ },
  { name: 'a strange type', spec: { type: 'Tunnel' }, want: /^spec\.type: / },
]

for (const { name, spec, want } of REFUSED)
  test(`refused: ${name}`, () => assert.match(refusal(new ServiceAdmission(), 'web', { ports: PORTS, ...spec }), want))
