// The policy of one group of subjects: those that the same specs select and that have
// the same numbers for the named ports the specs use.

import { DIRECTIONS } from '../model/rule.ts'
import { contentKey } from './content-key.ts'
import { DirectionPlan, type PlanSources, type SubjectGroup } from './direction-plan.ts'
import type { PolicyEntry } from './entries.ts'

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
