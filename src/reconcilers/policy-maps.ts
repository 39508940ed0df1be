// Swaps policy maps in: a new inner map is filled aside and put in the old one's
// place, so that no packet meets half a policy. The kernel's call returns only after a
// grace period (about 8 ms, for one map or for fifty), so a round's maps go in one
// batch, off the event loop; they are in force long before it returns, which is what
// `update` waits for. A map that the kernel has already, as after a restart, stays.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type BpfMap, MapFullError, type MapReference } from '../bpf/index.ts'
import type { PolicyEntry, PolicyKey } from '../maps/policy.ts'
import { asError, type Operations, rowsEqual } from '../state/index.ts'
import type { NumberedEntry, PolicyMap } from '../tables/index.ts'

type Element = readonly [PolicyKey, PolicyEntry]

/** An inner map that is not closed yet. */
export type OpenMap = MapReference & { close(): void }

export type PolicyMapsTarget = {
  readonly outer: Pick<BpfMap<number, number, MapReference>, 'get' | 'keys' | 'updateBatchAsync' | 'deleteBatchAsync'>
  /** Makes an inner map with these entries; the caller closes it. @throws MapFullError */
  readonly createInner: (elements: readonly Element[]) => OpenMap
  /** Elements of the inner map under a key of the outer one; undefined when there is none. */
  readonly read: (id: number) => readonly Element[] | undefined
  readonly encode: (entry: NumberedEntry) => Element
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
  const swaps = new Swaps(target.outer)
  /** Content that was written last, by id. */
  const written = new Map<number, string>()

  /** A map whose content is new is written; whether any other is still there is looked up. */
  function isInForce(row: PolicyMap): boolean {
    const known = written.get(row.id)
    return (
      (known === undefined || known === row.contentKey) && holds(target.read(row.id), row.entries.map(target.encode))
    )
  }

  /** Writes rows as one batch. @returns those that failed */
  async function write(rows: readonly PolicyMap[]): Promise<Map<PolicyMap, Error>> {
    const failures = new Map<PolicyMap, Error>()
    const batch = [...Map.groupBy(rows, row => row.contentKey).values()].flatMap(same => fill(same, target, failures))
    if (batch.length > 0) await swaps.swap(batch)
    for (const row of rows) if (!failures.has(row)) written.set(row.id, row.contentKey)
    return failures
  }

  /** As `write`; where the batch as a whole fails, row by row, so that one does not hold up the others. */
  async function writeAll(rows: readonly PolicyMap[]): Promise<Map<PolicyMap, Error>> {
    try {
      return await write(rows)
    } catch (error) {
      if (rows.length === 1) return new Map(rows.map(row => [row, asError(error)]))
    }
    const failures = new Map<PolicyMap, Error>()
    for (const row of rows) for (const [failed, error] of await writeAll([row])) failures.set(failed, error)
    return failures
  }

  return {
    async update(rows) {
      const wanting = rows.filter(row => !isInForce(row))
      if (wanting.length === 0) return
      try {
        return await writeAll(wanting)
      } finally {
        // Also of a batch that failed, a part may be in force.
        target.onChanged()
      }
    },
    async delete(rows) {
      for (const row of rows) written.delete(row.id)
      await target.outer.deleteBatchAsync(rows.map(row => row.id))
      target.onChanged()
    },
    async prune(desired) {
      const wanted = new Set(desired.map(row => row.id))
      const surplus = [...target.outer.keys()].filter(id => !wanted.has(id))
      if (surplus.length > 0) await target.outer.deleteBatchAsync(surplus)
    },
  }
}

type Swap = { readonly id: number; readonly inner: OpenMap }

/** Swaps under way. */
class Swaps {
  readonly #outer: PolicyMapsTarget['outer']
  readonly #waiting = new Set<Promise<void>>()

  constructor(outer: PolicyMapsTarget['outer']) {
    this.#outer = outer
  }

  /** Puts maps in force. They are closed when the kernel has let go of the old ones. */
  async swap(batch: readonly Swap[]): Promise<void> {
    while (this.#waiting.size >= MAX_WAITING) await Promise.race(this.#waiting)
    const progress: { settled: boolean; error?: unknown } = { settled: false }
    const call = this.#carryOut(batch, progress).finally(() => this.#waiting.delete(call))
    this.#waiting.add(call)
    const isInForce = ({ id, inner }: Swap) => this.#outer.get(id) === inner.id
    // Once every element is in, nothing is left that could fail.
    while (!progress.settled && !batch.every(isInForce)) await nextTurn()
    if (progress.error !== undefined) throw asError(progress.error)
  }

  /** Resolves after the grace period; what went wrong stands in `progress`. */
  async #carryOut(batch: readonly Swap[], progress: { settled: boolean; error?: unknown }): Promise<void> {
    try {
      await this.#outer.updateBatchAsync(batch.map(({ id, inner }) => [id, inner]))
    } catch (error) {
      progress.error = error
    } finally {
      progress.settled = true
      for (const inner of new Set(batch.map(swapped => swapped.inner))) inner.close()
    }
  }
}

/** One new map for rows with the same entries. */
function fill(rows: readonly PolicyMap[], target: PolicyMapsTarget, failures: Map<PolicyMap, Error>): Swap[] {
  try {
    const inner = createFor(rows, target, failures)
    return rows.map(({ id }) => ({ id, inner }))
  } catch (error) {
    for (const row of rows) failures.set(row, asError(error))
    return []
  }
}

/** A map with the entries of the rows; where they do not fit, an empty one, which denies everything. */
function createFor(
  rows: readonly PolicyMap[],
  { createInner, encode }: PolicyMapsTarget,
  failures: Map<PolicyMap, Error>,
): OpenMap {
  try {
    return createInner((rows[0]?.entries ?? []).map(encode))
  } catch (error) {
    if (!(error instanceof MapFullError)) throw error
    for (const row of rows) failures.set(row, new PolicyTooLargeError(row, error.maxEntries, error))
    return createInner([])
  }
}

function holds(actual: readonly Element[] | undefined, wanted: readonly Element[]): boolean {
  if (actual?.length !== wanted.length) return false
  const values = new Map(actual.map(([key, value]) => [keyText(key), value]))
  return wanted.every(([key, value]) => {
    const found = values.get(keyText(key))
    return found !== undefined && rowsEqual(found, value)
  })
}

const keyText = ({ prefix_length, identity, direction, protocol, port }: PolicyKey): string =>
  `${prefix_length} ${identity} ${direction} ${protocol} ${port}`
