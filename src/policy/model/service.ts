// Services as far as policies refer to them: to whom a `toServices` leads.

import type { Selector } from '../../labels/index.ts'

/** A service. Policies judge what a packet has after its translation, so a service is its backends. */
export type PolicyService = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Labels of its pods, which are in its namespace; absent: its backends are the addresses. */
  readonly selector?: Readonly<Record<string, string>>
  /** All that its EndpointSlices name, ready or not, canonical and in order; none where it has a selector. */
  readonly addresses: readonly string[]
}

/** Services of one name, or with these labels; of one namespace, or of any where none is given. */
export type ServiceReference = {
  readonly namespace?: string | undefined
} & ({ readonly name: string } | { readonly selector: Selector })
