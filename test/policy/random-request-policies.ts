// Random policies of every kind in which some rules of Cilium's kinds ask for more than
// ports: requests of HTTP, also inside of TLS, messages of Kafka, questions of DNS.

import * as fc from 'fast-check'
import { ciliumPolicySet } from '../e2e/random-cilium-policies.ts'
import { policySet } from '../e2e/random-policies.ts'

const ports = fc.constantFrom<object>(
  { port: '80', protocol: 'TCP' },
  { port: '80', endPort: 81, protocol: 'TCP' },
  { port: 'first-tcp', protocol: 'TCP' },
)
const http = fc.subarray<object>([{}, { method: 'GET' }, { method: 'PUT' }], { minLength: 1 })
const kafka = fc.subarray<object>([{}, { topic: 'orders' }], { minLength: 1 })
const dns = fc.subarray<object>([{ matchPattern: '*' }, { matchPattern: '*.example' }], { minLength: 1 })

const tls = fc.record({ secret: fc.constantFrom<object>({ name: 'a' }, { name: 'a', namespace: 'vault' }) })
const insideOfTls = fc.record(
  { ports: ports.map(one => [one]), terminatingTLS: tls, originatingTLS: tls, rules: fc.record({ http }) },
  { requiredKeys: ['ports', 'terminatingTLS'] },
)

const judged = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ports: ports.map(one => [one]), rules: fc.record({ http }) }) },
  { weight: 1, arbitrary: fc.record({ ports: ports.map(one => [one]), rules: fc.record({ kafka }) }) },
  { weight: 3, arbitrary: insideOfTls },
)
const asked = fc.record({
  ports: fc.constantFrom([{ port: '80' }], [{ port: '81', protocol: 'UDP' }]),
  rules: fc.record({ dns }),
})

/** For each rule that comes: what is added to its ports. */
const additions = fc.array(fc.option(fc.record({ judged, asked, isAsked: fc.boolean() }), { freq: 2 }), {
  minLength: 12,
  maxLength: 12,
})

type Item = { readonly toPorts?: readonly object[]; readonly icmps?: unknown }
type Body = { readonly ingress?: readonly Item[]; readonly egress?: readonly Item[] }
type Policy = { readonly kind: string; readonly spec?: Body; readonly specs?: readonly Body[] }

/** For everybody, so that the others meet it; it isolates nobody, so that they decide. */
const forEverybody = fc
  .record({
    endpointSelector: fc.constantFrom({}, { matchLabels: { app: 'web' } }),
    judged,
    open: fc.boolean(),
    other: fc.option(judged, { freq: 2, nil: undefined }),
  })
  .map(({ endpointSelector, judged: first, open, other }) => ({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'for-everybody' },
    spec: {
      endpointSelector,
      enableDefaultDeny: { ingress: false, egress: false },
      ingress: [{ fromEntities: ['cluster'], toPorts: [first] }],
      ...(open && { egress: [{ toEntities: ['all'], toPorts: [other ?? first] }] }),
    },
  }))

const sets = fc.oneof(
  { weight: 1, arbitrary: policySet },
  {
    weight: 3,
    arbitrary: fc.tuple(ciliumPolicySet, fc.array(forEverybody, { maxLength: 1 })).map(([a, b]) => [...a, ...b]),
  },
)

export const requestPolicySet: fc.Arbitrary<object[]> = fc.tuple(sets, additions).map(([set, more]) => {
  let count = 0
  const withMore = (item: Item, direction: 'ingress' | 'egress'): Item => {
    const added = more[count++ % more.length]
    if (!added || item.icmps) return item
    const last = added.isAsked && direction === 'egress' ? added.asked : added.judged
    return { ...item, toPorts: [...(item.toPorts ?? []), last] }
  }
  const changed = (body: Body): Body => ({
    ...body,
    ...(body.ingress && { ingress: body.ingress.map(item => withMore(item, 'ingress')) }),
    ...(body.egress && { egress: body.egress.map(item => withMore(item, 'egress')) }),
  })
  return (set as Policy[]).map(policy => {
    if (!policy.kind.startsWith('Cilium') || policy.kind === 'CiliumCIDRGroup') return policy
    return {
      ...policy,
      ...(policy.spec && { spec: changed(policy.spec) }),
      ...(policy.specs && { specs: policy.specs.map(changed) }),
    }
  })
})
