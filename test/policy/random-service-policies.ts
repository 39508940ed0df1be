// Random policies that name services, and the services: with and without a selector, in
// several namespaces under one name, and ones that nobody has declared.

import * as fc from 'fast-check'
import { NODE_ADDRESS, WORLD } from './random-cluster.ts'

const namespace = fc.constantFrom('x', 'y', 'z')
const name = fc.constantFrom('front', 'back', 'far')
const podLabels = fc.constantFrom({ app: 'web' }, { app: 'db' }, { tier: 'front' }, { app: 'web', tier: 'back' })
const serviceLabels = fc.constantFrom({}, { kind: 'near' }, { kind: 'far' }, { kind: 'near', layer: 'data' })

/** Some of the world's addresses, two of pods and the node's. */
const endpoints = fc
  .subarray([...WORLD, '10.244.1.10', 'fd00:10:244::20', NODE_ADDRESS], { maxLength: 4 })
  .map(addresses => addresses.map(address => ({ addresses: [address] })))

type Endpoints = readonly { readonly addresses: readonly string[] }[]

const service = fc
  .record({ namespace, name, labels: serviceLabels, selector: fc.option(podLabels, { nil: undefined }), endpoints })
  .map(({ namespace: of, name: called, labels, selector, endpoints: behind }) => [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: of, name: called, labels },
      spec: { ports: [{ port: 80 }], ...(selector && { selector }) },
    },
    ...['IPv4', 'IPv6'].map(family => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        namespace: of,
        name: `${called}-${family.toLowerCase()}`,
        labels: { 'kubernetes.io/service-name': called },
      },
      addressType: family,
      endpoints: ofFamily(behind, family),
    })),
  ])

const ofFamily = (all: Endpoints, family: string): Endpoints =>
  all.filter(({ addresses: [address = ''] }) => address.includes(':') === (family === 'IPv6'))

const wanted = fc.constantFrom({}, { kind: 'near' }, { 'k8s:kind': 'far' }, { 'any:layer': 'data' })
const someNamespace = fc.option(namespace, { nil: undefined })
const reference = fc.oneof(
  fc.record({ name, namespace: someNamespace }).map(({ name: serviceName, namespace: of }) => ({
    k8sService: { serviceName, ...(of && { namespace: of }) },
  })),
  fc.record({ matchLabels: wanted, namespace: someNamespace }).map(({ matchLabels, namespace: of }) => ({
    k8sServiceSelector: { selector: { matchLabels }, ...(of && { namespace: of }) },
  })),
)

const ports = fc.option(fc.constantFrom({ port: '80', protocol: 'TCP' }, { port: '81' }, { port: 'first-tcp' }), {
  nil: undefined,
})
const rule = fc
  .record({ toServices: fc.array(reference, { minLength: 1, maxLength: 2 }), port: ports })
  .map(({ toServices, port }) => ({ toServices, ...(port && { toPorts: [{ ports: [port] }] }) }))

const policy = fc.record({
  namespace: someNamespace,
  endpointSelector: fc.constantFrom({}, { matchLabels: { app: 'web' } }),
  egress: fc.array(rule, { minLength: 1, maxLength: 2 }),
  egressDeny: fc.array(rule, { maxLength: 1 }),
})

/** One or two policies, and up to four services, each with its slices. */
export const servicePolicySet: fc.Arbitrary<object[]> = fc
  .tuple(
    fc.array(policy, { minLength: 1, maxLength: 2 }),
    fc.uniqueArray(service, {
      maxLength: 4,
      selector: ([{ metadata } = { metadata: {} }]) => JSON.stringify(metadata, ['namespace', 'name']),
    }),
  )
  .map(([policies, services]) => [
    ...services.flat(),
    ...policies.map(({ namespace: of, ...spec }, i) => ({
      apiVersion: 'cilium.io/v2',
      kind: of ? 'CiliumNetworkPolicy' : 'CiliumClusterwideNetworkPolicy',
      metadata: { name: `to-services-${i}`, ...(of && { namespace: of }) },
      spec,
    })),
  ])
