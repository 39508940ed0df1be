// Who stands at one end of a flow: the pod at its address and the labels of its identity.

import { identityName, labelTexts, reservedIdentities } from '../labels/index.ts'
import type { Tables } from '../tables/index.ts'
import type { FlowEnd } from './flow.ts'

export type KnownEnd = {
  /** Canonical. */
  readonly address: string
  /** Absent where the protocol has none. */
  readonly port?: number | undefined
  readonly identity: number
  /** Number of the endpoint, for an address that is nobody's; 0: none. */
  readonly endpoint?: number
}

export function flowEnd({ address, port, identity, endpoint: number = 0 }: KnownEnd, tables: Tables): FlowEnd {
  const labels = tables.identities.get(String(identity))?.labels ?? RESERVED.get(identity)
  const endpoint =
    tables.endpoints.by('address', address)[0] ??
    (UNSPECIFIED.has(address) ? tables.endpoints.by('id', String(number))[0] : undefined)
  const pod = endpoint
    ? { namespace: endpoint.podNamespace, name: endpoint.podName }
    : // A pod on the host's network has the node's address, and is the node.
      tables.pods.by('address', address).find(({ hostNetwork }) => !hostNetwork)
  return {
    address,
    ...(port !== undefined && { port }),
    identity,
    identityName: labels ? identityName(labels) : `identity ${identity}`,
    labels: labels ? labelTexts(labels) : [],
    ...(pod && { pod: { namespace: pod.namespace, name: pod.name } }),
  }
}

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

const RESERVED = new Map(reservedIdentities().map(({ number, labels }) => [number, labels]))
