// Swaps policy maps in: a new inner map is filled aside and put in the old one's
// place, so that no packet meets half a policy. The kernel's call returns only after a
// grace period (about 8 ms, for one map or for fifty), so a round's maps go in one
// batch, off the event loop; they are in force long before it returns, which is what
// `update` waits for.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type BpfMap, type KernelMap, MapFullError, type MapReference } from '../bpf/index.ts'
import type { PolicyEntry, PolicyKey } from '../maps/policy.ts'
import { asError, type Failures, type Operations } from '../state/index.ts'
import type { NumberedEntry, PolicyMap } from '../tables/index.ts'

export type PolicyMapsTarget = {
  readonly outer: BpfMap<number, number, MapReference>
  /** Makes an inner map with these entries; the caller closes it. @throws MapFullError */
  readonly createInner: (elements: readonly (readonly [PolicyKey, PolicyEntry])[]) => KernelMap<PolicyKey, PolicyEntry>
  readonly encode: (entry: NumberedEntry) => readonly [PolicyKey, PolicyEntry]
  /** Called when what packets are judged by has changed. */
  readonly onChanged: () => void
}

/** A policy needs more entries than a map has. Until it shrinks, the endpoints that it is for get no packet. */
export class PolicyTooLargeError extends Error {
  override readonly name = 'PolicyTooLargeError'
  readonly code = 'POLICY_TOO_LARGE'

  constructor(map: PolicyMap, limit: number, cause: unknown) {
    const { ingress, egress } = map.isolatedBy
    const policies = new Set(
      [...ingress, ...egress].map(({ kind, namespace, name }) => `${kind} ${namespace ? `${namespace}/` : ''}${name}`),
    )
    super(
      `policy map ${map.id} needs ${map.entries.length} entries and has room for ${limit}: all traffic of its endpoints ` +
        `(${map.subject}) is denied; select fewer peers or ports in ${[...policies].join(', ')}`,
      { cause },
    )
  }
}

/** Swaps that wait for their grace period. More would fill libuv's pool of threads. */
const MAX_WAITING = 2

export function policyMapOperations(target: PolicyMapsTarget): Operations<PolicyMap> {
  const waiting = new Set<Promise<void>>()

  /** Puts maps in force. They stay open until the kernel has let go of the old ones. */
  async function swap(batch: readonly Swap[]): Promise<void> {
    while (waiting.size >= MAX_WAITING) await Promise.race(waiting)
    const progress = { settled: false }
    const call = target.outer
      .updateBatchAsync(batch.map(({ id, inner }) => [id, inner]))
      .then(() => undefined)
      .finally(() => {
        progress.settled = true
        waiting.delete(call)
        for (const inner of new Set(batch.map(swapped => swapped.inner))) inner.close()
      })
    waiting.add(call)
    const isInForce = ({ id, inner }: Swap) => target.outer.get(id) === inner.id
    while (!progress.settled && !batch.every(isInForce)) await nextTurn()
    if (progress.settled) await call
    else call.catch(() => undefined) // every element is in: what can still fail is nothing
  }

  return {
    async update(rows) {
      const failures = new Map<PolicyMap, Error>()
      const batch = [...Map.groupBy(rows, row => row.contentKey).values()].flatMap(same => fill(same, target, failures))
      try {
        if (batch.length > 0) await swap(batch)
      } finally {
        // Also of a batch that failed, a part may be in force.
        target.onChanged()
      }
      return failures satisfies Failures<PolicyMap>
    },
    async delete(rows) {
      await target.outer.deleteBatchAsync(rows.map(row => row.id))
      target.onChanged()
    },
    async prune(desired) {
      const wanted = new Set(desired.map(row => row.id))
      await target.outer.deleteBatchAsync([...target.outer.keys()].filter(id => !wanted.has(id)))
    },
  }
}

type Swap = { readonly id: number; readonly inner: KernelMap<PolicyKey, PolicyEntry> }

/** One new map for rows with the same entries; where they do not fit, an empty one, which denies everything. */
function fill(
  rows: readonly PolicyMap[],
  { createInner, encode }: PolicyMapsTarget,
  failures: Map<PolicyMap, Error>,
): Swap[] {
  const swapTo = (inner: Swap['inner']): Swap[] => rows.map(({ id }) => ({ id, inner }))
  try {
    return swapTo(createInner((rows[0]?.entries ?? []).map(encode)))
  } catch (error) {
    if (!(error instanceof MapFullError)) {
      for (const row of rows) failures.set(row, asError(error))
      return []
    }
    for (const row of rows) failures.set(row, new PolicyTooLargeError(row, error.maxEntries, error))
    return swapTo(createInner([]))
  }
}
