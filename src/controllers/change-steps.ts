// The steps by which a change gets into the tables, each in force before the next: rule
// sets that policy maps are to name; policy maps that allow what the old and the new
// policy both allow; addresses and endpoints; the new policy maps. Pods that get other identities together have maps of
// their own on the way (docs/decisions/0008-changes-in-steps.md).

import type { L7RuleSet } from '../policy/index.ts'
import type { Clock } from '../state/index.ts'
import type { Address, EndpointEntry, Identity, NumberedRule, PolicyMap, Problem, Tables } from '../tables/index.ts'
import { ADDRESSES_FILE } from './address-problems.ts'
import { UNKNOWN_REFERENCE } from './declared-policies.ts'
import type { Assignment, Move } from './identity-holder.ts'
import { RULE_CONFLICT } from './rule-conflicts.ts'
import type { TransitIds } from './transit-maps.ts'

/** A change on its way into the tables. */
export type Change = Pick<Assignment, 'release'> & {
  readonly identities: readonly Identity[]
  readonly rules: readonly NumberedRule[]
  /** Those that any of the policy maps names, and those that open connections may still be judged by. */
  readonly ruleSets: readonly L7RuleSet[]
  readonly addresses: readonly Address[]
  readonly entries: readonly EndpointEntry[]
  readonly problems: Readonly<Record<'addresses' | 'references' | 'conflicts', readonly Problem[]>>
  /** Policy maps that allow what is allowed both before and after. */
  readonly closing: readonly PolicyMap[]
  readonly policyMaps: readonly PolicyMap[]
  /** Policy maps on the way, of pods that get other identities together. */
  readonly transit: TransitIds
}

/** Each resolves when what its tables say at the call has been tried. @throws when the signal is aborted */
export type InForce = {
  /** In the proxy; absent where there is none. */
  ruleSets?(signal: AbortSignal): Promise<void>
  policyMaps(signal: AbortSignal): Promise<void>
  addresses(signal: AbortSignal): Promise<void>
  /** Resolves when the row of a prefix, as it is at the call, is in the kernel, or gone from there with it. */
  address(prefix: string, signal: AbortSignal): Promise<void>
}

/** Resolves when the last step is written. `inForce` undefined: nobody makes the tables real, so nothing is waited for. */
export async function carryOut(
  change: Change,
  tables: Tables,
  { inForce, clock }: { readonly inForce: InForce | undefined; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  await introduce({ ...change, policyMaps: change.closing }, tables, { inForce, clock }, signal)
  const onTheWay = (entry: EndpointEntry): EndpointEntry => {
    const policy = change.transit.get(entry.address)
    return policy === undefined ? entry : { ...entry, policy }
  }
  if (change.transit.size > 0) {
    tables.database.write(tx => tx.replace(tables.endpointEntries, tables.endpointEntries.all().map(onTheWay)))
    await inForce?.addresses(signal)
  }
  // An endpoint that was deleted meanwhile must not come back.
  const isThere = ({ containerId }: EndpointEntry) => tables.endpoints.get(containerId) !== undefined
  tables.database.write(tx => {
    tx.replace(tables.addresses, change.addresses)
    tx.replace(tables.endpointEntries, change.entries.filter(isThere).map(onTheWay))
    tx.replace(tables.problems, change.problems.addresses, { index: 'file', key: ADDRESSES_FILE })
    tx.replace(tables.problems, change.problems.references, { index: 'kind', key: UNKNOWN_REFERENCE })
    tx.replace(tables.problems, change.problems.conflicts, { index: 'kind', key: RULE_CONFLICT })
  })
  await inForce?.addresses(signal)
  tables.database.write(tx => tx.replace(tables.policyMaps, change.policyMaps))
  if (change.transit.size > 0) {
    await inForce?.policyMaps(signal)
    tables.database.write(tx => tx.replace(tables.endpointEntries, change.entries.filter(isThere)))
    await inForce?.addresses(signal)
  }
  change.release()
}

/**
 * What policy maps are made of, and the maps themselves: no verdict depends on identities that no address has yet.
 * Resolves when the maps have been tried in the kernel.
 */
export async function introduce(
  change: Pick<Change, 'identities' | 'rules' | 'ruleSets' | 'policyMaps'>,
  tables: Tables,
  { inForce, clock }: { readonly inForce: InForce | undefined; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  const hasNewRuleSets = change.ruleSets.some(({ number }) => !tables.l7RuleSets.get(String(number)))
  const waits = inForce?.ruleSets !== undefined && hasNewRuleSets
  tables.database.write(tx => {
    tx.replace(tables.identities, change.identities)
    tx.replace(tables.rules, change.rules)
    tx.replace(tables.l7RuleSets, change.ruleSets)
    if (!waits) tx.replace(tables.policyMaps, change.policyMaps)
  })
  if (waits) {
    await forAMoment(wait => inForce.ruleSets?.(wait), clock, signal)
    tables.database.write(tx => tx.replace(tables.policyMaps, change.policyMaps))
  }
  await inForce?.policyMaps(signal)
}

/** Addresses that get identities which the policy maps know: one write each. Resolves when they are in the kernel. */
export async function carryOutMoves(
  moves: readonly Move[],
  tables: Tables,
  inForce: InForce | undefined,
  signal: AbortSignal,
): Promise<void> {
  tables.database.write(tx => {
    for (const { prefix, address } of moves)
      if (address) tx.put(tables.addresses, address)
      else tx.delete(tables.addresses, prefix)
  })
  try {
    if (inForce) await Promise.all(moves.map(({ prefix }) => inForce.address(prefix, signal)))
  } finally {
    for (const { release } of moves) release()
  }
}

/** Policies do not wait longer for a proxy: until it has a set, it denies what would be judged by it. */
const RULE_SETS_WAIT_MS = 1000

async function forAMoment(
  wait: (signal: AbortSignal) => Promise<void> | undefined,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const ended = new AbortController()
  const cancel = clock.setTimer(RULE_SETS_WAIT_MS, () => ended.abort())
  try {
    await wait(AbortSignal.any([signal, ended.signal]))
  } catch (error) {
    if (signal.aborted || !ended.signal.aborted) throw error
  } finally {
    cancel()
  }
}
