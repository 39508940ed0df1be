// The policy of one group of subjects: those that the same specs select and that have
// the same numbers for the named ports the specs use.

import type { EnforcementMode } from '../model/enforcement.ts'
import { DIRECTIONS } from '../model/rule.ts'
import type { BoundSpec } from './bound-rule.ts'
import { contentKey } from './content-key.ts'
import { DirectionPlan } from './direction-plan.ts'
import type { PolicyEntry } from './entries.ts'
import type { SharedClasses } from './peer-classes.ts'
import type { PeerSets } from './peer-sets.ts'

/** What subjects with the same policy have in common. */
export type SubjectGroup = {
  /** Those that select them. */
  readonly specs: readonly BoundSpec[]
  /** The subject's number by `NAME/PROTOCOL`. */
  readonly ownPorts: ReadonlyMap<string, number>
  /** Nothing is enforced at them, only recorded. */
  readonly isAudited: boolean
  readonly mode: Exclude<EnforcementMode, 'never'>
}

/** What all plans draw on. */
export type PlanSources = { readonly peerSets: PeerSets; readonly shared: SharedClasses }

export class SubjectPlan {
  readonly #directions: readonly DirectionPlan[]

  /** `before`: the plan of a group that this one's subjects were in; what both have in common is not made anew. */
  constructor(group: SubjectGroup, sources: PlanSources, before?: SubjectPlan) {
    this.#directions = DIRECTIONS.map((direction, i) => {
      return new DirectionPlan(direction, group, sources, before ? before.#directions[i] : undefined)
    })
  }

  /** An identity is in other sets now, or has other labels. */
  touch(identity: number): void {
    for (const direction of this.#directions) direction.touch(identity)
  }

  /** Names the entries. */
  key(): string {
    return contentKey(this.#directions.flatMap(direction => direction.digests()))
  }

  /** Entries as things stand, sorted by direction, identity, protocol, port and prefix length. */
  entries(): PolicyEntry[] {
    // Not flatMap: these lists are long, and it copies them item by item.
    const none: readonly PolicyEntry[] = []
    return none.concat(...this.#directions.flatMap(direction => direction.lists()))
  }
}
