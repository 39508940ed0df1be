// What the pods of endpoints declared last, over restarts. A container may outlive its
// pod for a moment, as when it ends in its own time: until its endpoint is deleted it
// stays what it was.

import type { Endpoint, Pod } from '../tables/index.ts'
import type { Memory } from './memory.ts'

const KIND = 'endpoint-pod'

export class LastPods {
  readonly #memory: Memory
  /** By container id, as remembered. */
  readonly #pods: Map<string, Pod>

  constructor(memory: Memory) {
    this.#memory = memory
    this.#pods = new Map([...memory.entries(KIND)].map(([containerId, pod]) => [containerId, pod as Pod]))
  }

  /** The pod of an endpoint. @param declared what it is now; undefined when it is gone */
  of({ containerId }: Endpoint, declared: Pod | undefined): Pod | undefined {
    const known = this.#pods.get(containerId)
    if (!declared || declared === known) return known
    if (JSON.stringify(declared) !== JSON.stringify(known)) this.#memory.set(KIND, containerId, declared)
    this.#pods.set(containerId, declared)
    return declared
  }

  /** Forgets those whose endpoint is gone. */
  retain(endpoints: readonly Endpoint[]): void {
    const kept = new Set(endpoints.map(({ containerId }) => containerId))
    for (const containerId of this.#pods.keys()) {
      if (kept.has(containerId)) continue
      this.#pods.delete(containerId)
      this.#memory.delete(KIND, containerId)
    }
  }
}
