// The policy maps of pods that are on their way from one identity to another: which map
// each has meanwhile, and how long it stays after the last one has left it.

import type { ResolvedPolicy } from '../policy/index.ts'
import type { PolicyMap } from '../tables/index.ts'
import { Linger } from './linger.ts'
import type { Subject } from './pod-labels.ts'
import type { PolicyRows } from './policy-rows.ts'
import { type Transit, transitPolicy } from './transit.ts'

type Policies = ReadonlyMap<Subject, ResolvedPolicy>

/** Id of the map that each address of a mover has on the way. */
export type TransitIds = ReadonlyMap<string, number>

export class TransitMaps {
  readonly #rows: PolicyRows
  readonly #linger: Linger<string>
  readonly #maps = new Map<string, PolicyMap>()

  /** @param lingerMs until packets that are under way have gone by; `now` on a clock that never goes back */
  constructor(rows: PolicyRows, lingerMs: number, now: () => number) {
    this.#rows = rows
    this.#linger = new Linger(lingerMs, now)
  }

  /**
   * Maps for a transit, and those of earlier ones that are still kept.
   * @param before the policy of each subject until now, `after` from now on
   */
  plan(
    transit: Transit | undefined,
    before: Policies,
    after: Policies,
  ): { readonly maps: readonly PolicyMap[]; readonly ids: TransitIds } {
    const subjects = new Map([...after.keys()].map(subject => [this.#rows.idOf(subject), subject]))
    const ids = new Map<string, number>()
    const policies = new Map<string, readonly [Subject, ResolvedPolicy]>()
    for (const mover of transit?.movers ?? []) {
      const [from, to] = [subjects.get(mover.before.policy), subjects.get(mover.after.policy)]
      const [old, next] = [from && before.get(from), to && after.get(to)]
      if (!transit || !from || !to || !old || !next) continue
      const subject = { ...to, key: `${from.key} => ${to.key}` }
      if (!policies.has(subject.key)) policies.set(subject.key, [subject, transitPolicy(old, next, transit.meanings)])
      ids.set(mover.after.address, this.#rows.idOf(subject))
    }
    for (const key of this.#linger.update(policies.keys()).ended) {
      this.#maps.delete(key)
      this.#rows.forget(key)
    }
    for (const map of this.#rows.policyMaps(policies.values())) this.#maps.set(map.subject, map)
    return { maps: [...this.#maps.values()], ids }
  }

  /** When the first of those that are kept for a moment can go; undefined when there is none. */
  nextEndMs(): number | undefined {
    return this.#linger.nextEndMs()
  }
}
