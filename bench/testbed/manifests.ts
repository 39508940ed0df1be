// The objects that the benchmarks declare: pods, and the policies that are measured. Pure.

export const NAMESPACE = 'bench'

export const podName = (index: number): string => `pod-${index}`

/** A sleeping pod with a label set of its own, so that every pod is an identity of its own: the worst case. */
export function podManifest(index: number) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: NAMESPACE, name: podName(index), labels: { app: podName(index), group: `${index % 5}` } },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'sleep', image: 'busybox', command: ['sleep', 'infinity'] }],
    },
  }
}

/** A pod that the agent knows and the sandbox does not run: its endpoint is made by the benchmark. */
export function foreignPodManifest(name: string, labels: Readonly<Record<string, string>>) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: NAMESPACE, name, labels },
    spec: { nodeName: 'elsewhere', containers: [{ name: 'none', image: 'busybox' }] },
  }
}

export type PolicySpec = {
  readonly podSelector: object
  readonly policyTypes: readonly ('Ingress' | 'Egress')[]
  readonly ingress?: readonly object[]
  readonly egress?: readonly object[]
}

export function networkPolicy(name: string, spec: PolicySpec) {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace: NAMESPACE, name },
    spec,
  }
}

export const selectPod = (index: number) => ({ matchLabels: { app: podName(index) } })

/** Rules of each of the four directions: two pods, ingress and egress. */
const RULES_EACH = 25
const FIRST_OTHER_PORT = 6000

/**
 * Policies that isolate client and server in both directions with 100 rules in all. Only the last one of the client's
 * egress and of the server's ingress allows what is measured; the others are about other peers and other ports.
 */
export function hundredRules(client: number, server: number, ports: { readonly first: number; readonly last: number }) {
  const measured = [{ protocol: 'TCP', port: ports.first, endPort: ports.last }]
  const others = Array.from({ length: RULES_EACH - 1 }, (_, i) => ({
    peers: [{ podSelector: selectPod(i + 1 + Math.max(client, server)) }],
    ports: [{ protocol: 'TCP', port: FIRST_OTHER_PORT + i }],
  }))
  const rules = (key: 'from' | 'to', peer: number, lastPorts: readonly object[]) =>
    [...others, { peers: [{ podSelector: selectPod(peer) }], ports: lastPorts }].map(rule => ({
      [key]: rule.peers,
      ports: rule.ports,
    }))
  const unused = [{ protocol: 'TCP', port: FIRST_OTHER_PORT + RULES_EACH }]
  const both = ['Ingress', 'Egress'] as const
  return [
    networkPolicy('client', {
      podSelector: selectPod(client),
      policyTypes: both,
      ingress: rules('from', server, unused),
      egress: rules('to', server, measured),
    }),
    networkPolicy('server', {
      podSelector: selectPod(server),
      policyTypes: both,
      ingress: rules('from', client, measured),
      egress: rules('to', client, unused),
    }),
  ]
}
