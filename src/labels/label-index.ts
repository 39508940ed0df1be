// Two indexes, so that neither a new selector meets every label set nor a new label
// set every selector. LabelIndex holds things with label sets and answers a selector;
// SelectorIndex holds selectors and answers a label set. Both give exact answers: the
// index narrows, `matches` decides.

import { escapeLabelPart } from './label.ts'
import type { LabelSet } from './label-set.ts'
import { matches, necessaryTerms, type Requirement, type Selector, termsOf } from './selector.ts'

/** Things by their labels. A thing is held once, with one label set. */
export class LabelIndex<T> {
  readonly #labels = new Map<T, LabelSet>()
  /** Things by `source:key`, then by value. */
  readonly #postings = new Map<string, Map<string, Set<T>>>()

  get size(): number {
    return this.#labels.size
  }

  labelsOf(thing: T): LabelSet | undefined {
    return this.#labels.get(thing)
  }

  entries(): MapIterator<[T, LabelSet]> {
    return this.#labels.entries()
  }

  set(thing: T, labels: LabelSet): void {
    this.delete(thing)
    this.#labels.set(thing, labels)
    for (const [name, value] of labels.values)
      getOrInsert(
        getOrInsert(this.#postings, name, () => new Map<string, Set<T>>()),
        value,
        () => new Set<T>(),
      ).add(thing)
  }

  /** @returns whether it was held */
  delete(thing: T): boolean {
    const labels = this.#labels.get(thing)
    if (!labels) return false
    this.#labels.delete(thing)
    for (const [name, value] of labels.values) {
      const byValue = this.#postings.get(name)
      const things = byValue?.get(value)
      things?.delete(thing)
      if (things?.size === 0) byValue?.delete(value)
      if (byValue?.size === 0) this.#postings.delete(name)
    }
    return true
  }

  /** Every thing whose labels the selector matches. */
  *select(selector: Selector): Generator<T> {
    for (const thing of this.#narrowest(selector)) {
      const labels = this.#labels.get(thing)
      if (labels && matches(selector, labels)) yield thing
    }
  }

  #narrowest(selector: Selector): Iterable<T> {
    let best: readonly ReadonlySet<T>[] | undefined
    let bestSize = this.#labels.size
    for (const requirement of selector.requirements) {
      const candidates = this.#candidates(requirement)
      const size = candidates?.reduce((sum, things) => sum + things.size, 0) ?? Number.POSITIVE_INFINITY
      if (size < bestSize) [best, bestSize] = [candidates, size]
    }
    return best ? best.values().flatMap(things => things) : this.#labels.keys()
  }

  #candidates({ source, key, operator, values }: Requirement): ReadonlySet<T>[] | undefined {
    if (source === 'any' || (operator !== 'In' && operator !== 'Exists')) return undefined
    const byValue = this.#postings.get(`${source}:${escapeLabelPart(key)}`)
    if (!byValue) return []
    if (operator === 'Exists') return [...byValue.values()]
    return values.map(value => byValue.get(value)).filter(things => things !== undefined)
  }
}

/** Selectors, each with something that belongs to it. One thing has one selector. */
export class SelectorIndex<T> {
  readonly #selectors = new Map<T, { readonly selector: Selector; readonly terms: readonly string[] }>()
  readonly #byTerm = new Map<string, Set<T>>()

  get size(): number {
    return this.#selectors.size
  }

  set(thing: T, selector: Selector): void {
    this.delete(thing)
    const terms = this.#rarestTerms(selector)
    this.#selectors.set(thing, { selector, terms })
    for (const term of terms) getOrInsert(this.#byTerm, term, () => new Set<T>()).add(thing)
  }

  /** @returns whether it was held */
  delete(thing: T): boolean {
    const held = this.#selectors.get(thing)
    if (!held) return false
    this.#selectors.delete(thing)
    for (const term of held.terms) {
      const things = this.#byTerm.get(term)
      things?.delete(thing)
      if (things?.size === 0) this.#byTerm.delete(term)
    }
    return true
  }

  /** Every thing whose selector matches the label set. */
  *matching(labels: LabelSet): Generator<T> {
    for (const term of [ANYWHERE, ...termsOf(labels)])
      for (const thing of this.#byTerm.get(term) ?? []) {
        const held = this.#selectors.get(thing)
        if (held && matches(held.selector, labels)) yield thing
      }
  }

  /** The requirement that fewest selectors so far are filed under. A set meets at most one of its terms. */
  #rarestTerms(selector: Selector): readonly string[] {
    let best: readonly string[] = [ANYWHERE]
    let bestSize = Number.POSITIVE_INFINITY
    for (const requirement of selector.requirements) {
      // Labels of different sources may share a key, so `any` could find a thing under two terms.
      const terms =
        requirement.source === 'any' && requirement.values.length > 1 ? undefined : necessaryTerms(requirement)
      if (!terms) continue
      const size = terms.reduce((sum, term) => sum + (this.#byTerm.get(term)?.size ?? 0), 0)
      if (size < bestSize) [best, bestSize] = [terms, size]
    }
    return best
  }
}

/** Term of selectors that no necessary term narrows; no label has it. */
const ANYWHERE = ''

function getOrInsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
