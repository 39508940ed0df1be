// A source without files: for tests, and for whoever computes manifests. What is
// given to it is delivered at once.

import { type DocumentCache, parseManifests } from '../manifests/index.ts'
import { Catalogue } from './catalogue.ts'
import type { ManifestSource, ObjectSink } from './source.ts'

export class MemorySource implements ManifestSource {
  readonly #catalogue = new Catalogue()
  readonly #caches = new Map<string, DocumentCache>()
  #sink: ObjectSink | undefined

  async run(sink: ObjectSink, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (signal.aborted) return
    signal.addEventListener('abort', () => resolve(), { once: true })
    this.#sink = sink
    this.#deliver()
    sink.initialized()
    await promise
    this.#sink = undefined
  }

  /** Sets a file's text, as if it had been written; undefined removes it. Several at once are delivered together. */
  set(texts: Readonly<Record<string, string | undefined>>): void {
    for (const [name, text] of Object.entries(texts)) {
      if (text === undefined) {
        this.#catalogue.remove(name)
        this.#caches.delete(name)
        continue
      }
      const cache: DocumentCache = this.#caches.get(name) ?? new Map()
      this.#caches.set(name, cache)
      this.#catalogue.update(name, parseManifests(text, name, cache))
    }
    this.#deliver()
  }

  #deliver(): void {
    if (!this.#sink) return
    const { put, deleted, problems } = this.#catalogue.take()
    if (put.length > 0 || deleted.length > 0) this.#sink.apply({ put, deleted })
    if (problems) this.#sink.report(problems)
  }
}
