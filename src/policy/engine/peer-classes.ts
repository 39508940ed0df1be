// Peers that the same rules match are a class, and a class needs the same prefixes
// whoever is in it and whose policy it is. Classes are found step by step, one step for
// each list of rules that a peer is in, so that none is worked out twice.

import type { Direction } from '../model/rule.ts'
import { digestOfPrefixes } from './content-key.ts'
import { ANY_PEER, EntryCompiler, type PolicyEntry } from './entries.ts'
import { Interner, ObjectNumbers } from './interner.ts'
import type { Isolations } from './isolation.ts'
import { Decider, type EnforcedRules, type RuleSpans, type VisiblePort } from './port-space.ts'
import type { PortPrefix } from './prefix-cover.ts'

export type PeerClass = {
  /** The class one list of rules before, and that list; undefined at the root. */
  readonly from: { readonly peerClass: PeerClass; readonly rules: readonly RuleSpans[] } | undefined
  next: Map<readonly RuleSpans[], PeerClass> | undefined
  made: MadeClass | undefined
}

type MadeClass = { readonly prefixes: readonly PortPrefix[]; readonly digest: Uint8Array }

/** Classes outlive the peers they were made for; past this many they are forgotten, and made anew when they are met. */
const MAX_KEPT_CLASSES = 100_000

const newRoot = (): PeerClass => ({ from: undefined, next: undefined, made: undefined })

/** Classes of the peers of all subjects with the same rules for any peer and the same isolation, in one direction. */
export class PeerClasses {
  readonly #compiler: EntryCompiler
  #root = newRoot()
  #count = 0
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
    if (this.#count > MAX_KEPT_CLASSES) {
      this.#root = newRoot()
      this.#count = 0
    }
    return made
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

/** What the decision of every peer depends on, beside the rules that match it. */
export type ClassContext = {
  readonly direction: Direction
  readonly isolations: Isolations
  readonly enforced: EnforcedRules
  readonly forAny: readonly RuleSpans[]
  /** Where what is said is to be seen. */
  readonly visible: readonly VisiblePort[]
}

/** Classes and lists of rules that are equal are the same object, whichever subject's policy asks for them. */
export class SharedClasses {
  readonly #numbers = new ObjectNumbers()
  readonly #lists = new Interner<readonly RuleSpans[]>()
  readonly #classes = new Interner<PeerClasses>()
  readonly #triesRequests: boolean

  /** @param triesRequests whether somebody can judge what is said for the record */
  constructor(triesRequests: boolean) {
    this.#triesRequests = triesRequests
  }

  list(rules: readonly RuleSpans[]): readonly RuleSpans[] {
    return this.#lists.get(this.#numbers.ofAll(rules), () => rules)
  }

  classes({ direction, isolations, enforced, forAny, visible }: ClassContext): PeerClasses {
    const { all, enforced: isolation } = isolations
    const key = [direction, all, isolation, enforced, JSON.stringify(visible), this.#numbers.ofAll(forAny)].join(' ')
    return this.#classes.get(key, () => {
      const decider = new Decider(isolations, enforced, visible, this.#triesRequests)
      return new PeerClasses(new EntryCompiler(direction, decider, forAny))
    })
  }
}

function rulesOf(peerClass: PeerClass): RuleSpans[] {
  const lists: (readonly RuleSpans[])[] = []
  for (let { from } = peerClass; from; { from } = from.peerClass) lists.push(from.rules)
  return lists.flat()
}
