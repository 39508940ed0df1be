// Named lists of prefixes that policies refer to by name or by label (CiliumCIDRGroup).

import { type LabelSet, labelSet } from '../../labels/index.ts'
import type { Origin } from './rule.ts'

/** A named list of prefixes. */
export type CidrGroup = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Canonical. */
  readonly cidrs: readonly string[]
  readonly origin: Origin
}

/** What a peer's selector of groups is matched against: a group's label `k` is `cidrgroup:k`, so `any:k` finds it too. */
export function cidrGroupLabels({ labels }: CidrGroup): LabelSet {
  return labelSet(Object.entries(labels).map(([key, value]) => ({ source: 'cidrgroup', key, value })))
}
