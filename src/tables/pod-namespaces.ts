// The network namespaces of pods as the socket programs know them. Written by
// controllers/pod-namespaces.ts, made real by the reconciler of the same name.

import type { Translation } from '../services/index.ts'
import { defineTable } from '../state/index.ts'

export type PodNamespace = {
  readonly cookie: string
  /** Id. */
  readonly endpoint: number
  readonly pod: string
  readonly addresses: readonly string[]
  /** Where the pod's connections to services are translated. */
  readonly translation: Translation
  /** Who wants it so; empty: it is what pods have that do not ask. */
  readonly because: '' | 'the pod' | 'its namespace' | 'no socket programs'
}

export const podNamespaceTable = defineTable({
  name: 'pod-namespaces',
  key: (row: PodNamespace) => row.cookie,
  indexes: { endpoint: row => [String(row.endpoint)], pod: row => [row.pod] },
  columns: {
    COOKIE: row => row.cookie,
    ENDPOINT: row => String(row.endpoint),
    POD: row => row.pod,
    ADDRESSES: row => row.addresses.join(' '),
    TRANSLATION: row => row.translation,
    BECAUSE: row => row.because,
  },
})
