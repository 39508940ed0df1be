// The last good version of each policy and CIDR group, over restarts. One that became
// faulty stays in force as it was; if the agent restarts meanwhile, it must not be gone:
// that would open what it closes.

import type { ManifestObject } from '../manifests/index.ts'
import type { Memory } from './memory.ts'

const KIND = 'last-good-policy'

/** What is remembered of an object. Positions inside it are not: they would be of a text that is no more. */
type Kept = Pick<ManifestObject, 'apiVersion' | 'kind' | 'metadata' | 'content' | 'origin'>

export class LastGoodObjects {
  readonly #memory: Memory

  constructor(memory: Memory) {
    this.#memory = memory
  }

  keep(key: string, { apiVersion, kind, metadata, content, origin }: ManifestObject): void {
    const kept: Kept = { apiVersion, kind, metadata, content, origin }
    const known = this.#memory.entries(KIND).get(key)
    if (JSON.stringify(known) !== JSON.stringify(kept)) this.#memory.set(KIND, key, kept)
  }

  drop(key: string): void {
    this.#memory.delete(KIND, key)
  }

  /** All that are kept, by key. */
  entries(): [string, ManifestObject][] {
    return [...this.#memory.entries(KIND)].map(([key, value]) => {
      const kept = value as Kept
      const start = { line: kept.origin.line, column: 1 }
      return [key, { ...kept, source: { start, end: start }, position: () => start }]
    })
  }
}
