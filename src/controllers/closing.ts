// What is in force while a change of policies spreads over several maps: for each
// subject what its old and its new policy both allow. Pure.

import { DIRECTIONS, type ResolvedPolicy } from '../policy/index.ts'
import { type Overlap, overlap } from './overlap.ts'
import type { Subject } from './pod-labels.ts'

type Policies = ReadonlyMap<Subject, ResolvedPolicy>

/**
 * Policies that deny at once whatever will be denied, and allow nothing new yet. Where nothing moves, the new policies can
 * be in force at once unless one direction opens while the other closes: a packet meets one policy of each direction.
 * @param before the policy of each subject until now, `after` from now on, for the same subjects
 * @param moves whether addresses or endpoints change their identity or policy too
 */
export function closingPolicies(before: Policies, after: Policies, moves: boolean): Policies {
  const changes = [...after].flatMap(([subject, next]) => {
    const old = before.get(subject)
    return old && old.key !== next.key ? [{ subject, old, next }] : []
  })
  if (changes.length === 0 || (changes.length === 1 && !moves)) return after
  const overlaps = new Map<string, Overlap>()
  const judged = changes.map(change => {
    const key = overlapKey(change)
    const both = overlaps.get(key) ?? overlap(change.old.entries, change.next.entries)
    overlaps.set(key, both)
    return { ...change, both }
  })
  const isMixed = DIRECTIONS.some(
    direction =>
      judged.some(({ both }) => both.opens.has(direction)) &&
      judged.some(({ both }) => both.closes.has(direction === 'ingress' ? 'egress' : 'ingress')),
  )
  if (!isMixed && !moves) return after
  return new Map([...after, ...judged.map(change => [change.subject, closingPolicy(change)] as const)])
}

type PolicyChange = { readonly old: ResolvedPolicy; readonly next: ResolvedPolicy }

const overlapKey = ({ old, next }: PolicyChange): string => `${old.key} and ${next.key}`

function closingPolicy({ old, next, both }: PolicyChange & { readonly both: Overlap }): ResolvedPolicy {
  if (both.opens.size === 0) return next
  return both.closes.size > 0 ? { ...next, key: overlapKey({ old, next }), entries: both.entries } : old
}
