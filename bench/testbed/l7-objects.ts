// Policies about calls of APIs. Pure.

import { HTTP_PORTS } from './http-load.ts'
import { NAMESPACE, selectPod } from './manifests.ts'

/** Whose requests are judged, by rules at the server. */
export const RULED_PODS = { client: 3, server: 4 } as const

export type HttpRule = { readonly method: string; readonly path: string }

export function ciliumPolicy(name: string, spec: object) {
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
        fromEndpoints: [selectPod(RULED_PODS.client)],
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
