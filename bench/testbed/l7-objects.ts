// Policies about calls of APIs. Pure.

import { HTTP_PORTS } from './http-load.ts'
import { NAMESPACE, selectPod } from './manifests.ts'

/** Whose requests are judged, by rules at the server; and another client of the same server. */
export const RULED_PODS = { client: 3, server: 4, other: 5 } as const

export type HttpRule = { readonly method: string; readonly path: string }

function ciliumPolicy(name: string, spec: object) {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: NAMESPACE, name },
    spec,
  }
}

export const httpPolicy = (http: readonly HttpRule[]) =>
  ciliumPolicy('http', {
    endpointSelector: selectPod(RULED_PODS.server),
    ingress: [
      {
        fromEndpoints: [selectPod(RULED_PODS.client), selectPod(RULED_PODS.other)],
        toPorts: [
          { ports: Object.values(HTTP_PORTS).map(port => ({ port: String(port), protocol: 'TCP' })), rules: { http } },
        ],
      },
    ],
  })

/** As an API with so many calls has them: exact paths, and where asked one in ten with a segment that is free. */
export const orderRules = (count: number, kind: 'exact' | 'with expressions' = 'exact'): HttpRule[] =>
  Array.from({ length: count }, (_, i) => ({
    method: 'GET',
    path: kind === 'exact' ? `/api/v1/orders/${i}` : `/api/v1/[a-z]+/${i}`,
  }))

/** Beside what the others allow. */
export const EXTRA_RULES: Readonly<Record<'body' | 'bytes', HttpRule>> = {
  body: { method: 'POST', path: '/body' },
  bytes: { method: 'GET', path: '/bytes/.*' },
}

/** Who asks for names, and whom. */
export const NAMED_PODS = { client: 6, server: 7 } as const

/** Names that may be asked for, and that may be connected to: so many zones, and all names in `zone`. */
export const namesPolicy = (count: number, zone: string, port: number) =>
  ciliumPolicy('names', {
    endpointSelector: selectPod(NAMED_PODS.client),
    egress: [
      {
        toEndpoints: [selectPod(NAMED_PODS.server)],
        toPorts: [
          {
            ports: [{ port: '53', protocol: 'UDP' }],
            rules: {
              dns: [
                { matchPattern: `*.${zone}` },
                ...Array.from({ length: count - 1 }, (_, i) => ({ matchPattern: `*.zone${i}.example` })),
              ],
            },
          },
        ],
      },
      { toFQDNs: [{ matchPattern: `*.${zone}` }], toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }] },
    ],
  })

export const topicName = (index: number): string => `topic-${index}`

/** Topics that the ruled client may produce to. */
export const kafkaPolicy = (topics: number, port: number) =>
  ciliumPolicy('kafka', {
    endpointSelector: selectPod(RULED_PODS.server),
    ingress: [
      {
        fromEndpoints: [selectPod(RULED_PODS.client)],
        toPorts: [
          {
            ports: [{ port: String(port), protocol: 'TCP' }],
            rules: { kafka: Array.from({ length: topics }, (_, i) => ({ role: 'produce', topic: topicName(i) })) },
          },
        ],
      },
    ],
  })
