// Which identities each peer selector matches, kept up to date. A selector that many
// rules use is held once; a new identity meets only the selectors that could match it,
// a new selector only the identities that could.

import { LabelIndex, type LabelSet, type Selector, SelectorIndex } from '../../labels/index.ts'

/** A selector and the identities that it matches now. Of one PeerSets, equal selectors have the same set. */
export type PeerSet = { readonly selector: Selector; readonly identities: ReadonlySet<number> }

type CountedSet = PeerSet & { readonly identities: Set<number>; uses: number }

export class PeerSets {
  readonly #identities = new LabelIndex<number>()
  readonly #selectors = new SelectorIndex<CountedSet>()
  readonly #byKey = new Map<string, CountedSet>()

  labelsOf(identity: number): LabelSet | undefined {
    return this.#identities.labelsOf(identity)
  }

  get identityCount(): number {
    return this.#identities.size
  }

  /** The set of a selector, for one more user. */
  acquire(selector: Selector): PeerSet {
    const known = this.#byKey.get(selector.key)
    if (known) {
      known.uses++
      return known
    }
    const set: CountedSet = { selector, identities: new Set(this.#identities.select(selector)), uses: 1 }
    this.#byKey.set(selector.key, set)
    this.#selectors.set(set, selector)
    return set
  }

  /** One user fewer; without any the set is forgotten. */
  release({ selector }: PeerSet): void {
    const set = this.#byKey.get(selector.key)
    if (!set) return
    set.uses--
    if (set.uses > 0) return
    this.#byKey.delete(selector.key)
    this.#selectors.delete(set)
  }

  /** @returns the sets that hold the identity now or did before: with other labels, its ports may differ too */
  setIdentity(identity: number, labels: LabelSet): PeerSet[] {
    if (this.#identities.labelsOf(identity)?.key === labels.key) return []
    const sets = new Set(this.#take(identity))
    this.#identities.set(identity, labels)
    for (const set of this.#selectors.matching(labels)) {
      set.identities.add(identity)
      sets.add(set)
    }
    return [...sets]
  }

  /** @returns the sets that held the identity */
  deleteIdentity(identity: number): PeerSet[] {
    return this.#take(identity)
  }

  #take(identity: number): CountedSet[] {
    const labels = this.#identities.labelsOf(identity)
    if (!labels) return []
    this.#identities.delete(identity)
    const sets = [...this.#selectors.matching(labels)]
    for (const set of sets) set.identities.delete(identity)
    return sets
  }
}
