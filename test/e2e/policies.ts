// NetworkPolicies of the tests, without the parts that every one has.

/** Of a NetworkPolicy; what it isolates follows from the directions that it names. */
export type Spec = {
  readonly podSelector: object
  readonly ingress?: readonly object[]
  readonly egress?: readonly object[]
}

/** @param key `namespace/name` */
export function networkPolicy(key: string, spec: Spec) {
  const [namespace, name] = key.split('/')
  const policyTypes = [...(spec.ingress ? ['Ingress'] : []), ...(spec.egress ? ['Egress'] : [])]
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace, name },
    spec: { ...spec, policyTypes },
  }
}

/** Every pod of the namespace is isolated in these directions, and nothing is allowed. */
export function denyAll(namespace: string, directions: readonly ('ingress' | 'egress')[] = ['ingress', 'egress']) {
  return networkPolicy(`${namespace}/deny-all`, {
    podSelector: {},
    ...(directions.includes('ingress') && { ingress: [] }),
    ...(directions.includes('egress') && { egress: [] }),
  })
}
