// The one number that orders all rules of all policy kinds: a u32, the higher wins.
// The kernel compares it, so its layout is part of the map format:
//
//   bits 31–29  tier: admin above normal above baseline
//   bits 28–16  priority inside the tier, inverted: 0 is the strongest, 8191 the weakest
//   bits 15–8   place of the rule in an ordered policy, inverted; 0 where order means nothing
//   bits  7–0   kind: deny 255, redirects 2–254, allow 1, pass 0
//
// At equal tier, priority and place a deny therefore beats an allow, whatever its breadth.

import type { Action, Tier } from './rule.ts'

const TIERS: Readonly<Record<Tier, number>> = { admin: 6, normal: 4, baseline: 2 }
const KINDS: Readonly<Record<Action, number>> = { deny: 255, allow: 1, pass: 0 }

/** The highest number that a priority may be. */
export const WEAKEST_PRIORITY = 0x1fff
/** The highest place of a rule in a policy whose rules are tried in order. */
export const LAST_PLACE = 0xff

/** Priority of kinds that have none, in the middle so that others may stand above and below. */
export const DEFAULT_PRIORITY = 0x1000

/** Of what stands below every rule: allowing all in a direction that nothing isolates, denying it for the record. */
export const DEFAULT_PRECEDENCE = 1

/** What the order of a rule among all rules depends on. */
export type PrecedenceFields = {
  readonly tier: Tier
  readonly action: Action
  /** 0 (strongest) to 8191. */
  readonly priority?: number
  /** Place in a policy whose rules are tried in order, 0 to 255. */
  readonly place?: number
}

/** The number that orders a rule among all rules: the higher wins. @throws RangeError when a field does not fit */
export function precedence({ tier, action, priority = DEFAULT_PRIORITY, place = 0 }: PrecedenceFields): number {
  assertRange('priority', priority, WEAKEST_PRIORITY)
  assertRange('place', place, LAST_PLACE)
  return (
    (TIERS[tier] * 2 ** 29 + ((WEAKEST_PRIORITY - priority) << 16) + ((LAST_PLACE - place) << 8) + KINDS[action]) >>> 0
  )
}

function assertRange(name: string, value: number, last: number): void {
  if (!Number.isInteger(value) || value < 0 || value > last)
    throw new RangeError(`a rule's ${name} is 0 to ${last}, not ${value}`)
}
