// Named lists of prefixes that policies refer to by name or by label (CiliumCIDRGroup).

import type { Origin } from './rule.ts'

export type CidrGroup = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Canonical. */
  readonly cidrs: readonly string[]
  readonly origin: Origin
}
