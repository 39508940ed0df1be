// Which endpoints of this node a policy selects, by the labels of the identities that
// they have now. Taken from the tables at one moment; make a new one for another.

import { LabelIndex } from '../labels/index.ts'
import type { Policy } from '../policy/index.ts'
import type { Endpoint, EndpointEntry, Tables } from '../tables/index.ts'

export type PolicySubject = {
  readonly endpoint: Endpoint
  /** Id of its policy map. */
  readonly map: number
}

export class PolicySubjects {
  readonly #index = new LabelIndex<PolicySubject>()

  constructor({ endpoints, endpointEntries, identities }: Tables) {
    // The addresses of an endpoint differ only in labels that no subject asks for.
    const entries = new Map(endpointEntries.all().map((entry): [number, EndpointEntry] => [entry.endpoint, entry]))
    for (const endpoint of endpoints.all()) {
      const entry = entries.get(endpoint.id)
      const identity = entry && identities.get(String(entry.identity))
      if (identity) this.#index.set({ endpoint, map: entry.policy }, identity.labels)
    }
  }

  /** The endpoints that some spec of the policy selects, once each. */
  of({ specs }: Policy): PolicySubject[] {
    return [...new Set(specs.flatMap(({ subject }) => [...this.#index.select(subject)]))]
  }
}
