// Peers that the same rules match are a class, and a class needs the same prefixes
// whoever is in it. Classes are found step by step, one step for each list of rules
// that a peer is in, so that none is worked out twice.

import { digestOfPrefixes } from './content-key.ts'
import { ANY_PEER, type EntryCompiler, type PolicyEntry } from './entries.ts'
import type { RuleSpans } from './port-space.ts'
import type { PortPrefix } from './prefix-cover.ts'

export type PeerClass = {
  /** The class one list of rules before, and that list; undefined at the root. */
  readonly from: { readonly peerClass: PeerClass; readonly rules: readonly RuleSpans[] } | undefined
  next: Map<readonly RuleSpans[], PeerClass> | undefined
  made: MadeClass | undefined
}

type MadeClass = { readonly prefixes: readonly PortPrefix[]; readonly digest: Uint8Array }

/** Classes outlive the peers they were made for. Beyond this many, and beyond twice those in use, they are forgotten. */
const SPARE_CLASSES = 200

const newRoot = (): PeerClass => ({ from: undefined, next: undefined, made: undefined })

/** Classes of the peers of subjects with the same rules for any peer. */
export class PeerClasses {
  readonly #compiler: EntryCompiler
  #root = newRoot()
  #count = 0
  #limit = Number.POSITIVE_INFINITY
  #isFresh = true
  readonly forAny: readonly PolicyEntry[]
  /** Names the content of `forAny`. */
  readonly digestForAny: Uint8Array

  constructor(compiler: EntryCompiler) {
    this.#compiler = compiler
    const prefixes = compiler.prefixesForAny()
    this.forAny = compiler.entries(ANY_PEER, prefixes)
    this.digestForAny = digestOfPrefixes(prefixes)
  }

  /** The class that one more list of rules leads to; the same list must be the same object. */
  next(from: PeerClass | undefined, rules: readonly RuleSpans[]): PeerClass {
    const start = from ?? this.#root
    const known = start.next?.get(rules)
    if (known) return known
    const made: PeerClass = { from: { peerClass: start, rules }, next: undefined, made: undefined }
    start.next ??= new Map()
    start.next.set(rules, made)
    this.#count++
    if (this.#count > this.#limit) {
      this.#root = newRoot()
      this.#count = 0
      this.#isFresh = true
    }
    return made
  }

  /** Tells that every peer has been given its class: what there is now is about what is in use. */
  settle(): void {
    if (this.#isFresh) this.#limit = 2 * this.#count + SPARE_CLASSES
    this.#isFresh = false
  }

  entries(peerClass: PeerClass, identity: number): readonly PolicyEntry[] {
    return this.#compiler.entries(identity, this.#make(peerClass).prefixes)
  }

  /** Names the content of a class's entries, whichever identity they are for. */
  digest(peerClass: PeerClass): Uint8Array {
    return this.#make(peerClass).digest
  }

  #make(peerClass: PeerClass): MadeClass {
    if (!peerClass.made) {
      const prefixes = this.#compiler.prefixesFor(rulesOf(peerClass))
      peerClass.made = { prefixes, digest: digestOfPrefixes(prefixes) }
    }
    return peerClass.made
  }
}

function rulesOf(peerClass: PeerClass): RuleSpans[] {
  const lists: (readonly RuleSpans[])[] = []
  for (let { from } = peerClass; from; { from } = from.peerClass) lists.push(from.rules)
  return lists.flat()
}
