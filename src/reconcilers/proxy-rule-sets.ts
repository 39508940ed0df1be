// Brings rule sets to the node's proxy, which keeps them over its own restarts. What a
// number stands for never changes, so sets are only added and removed; the order of that
// against policy maps is the business of others.

import type { L7RuleSet } from '../policy/index.ts'
import { type Operations, rowsEqual } from '../state/index.ts'

type Failure = { readonly number: number; readonly server: string; readonly error: string }

export type ProxyRuleSetsTarget = {
  /** Absent: no proxy was named to this agent, and whatever needs one is refused. */
  readonly proxy?: RuleSetProxy | undefined
  /** What is wanted under a number. */
  readonly wanted: (number: number) => L7RuleSet | undefined
}

export type RuleSetProxy = {
  /** Those that it keeps. `failures`: those of them that are not in force. */
  ruleSets(
    signal: AbortSignal,
  ): Promise<{ readonly ruleSets: readonly L7RuleSet[]; readonly failures: readonly { readonly number: number }[] }>
  /** Resolves when the sets are in force. @returns those that are not */
  changeRuleSets(
    change: { readonly add: readonly L7RuleSet[]; readonly remove: readonly number[] },
    signal: AbortSignal,
  ): Promise<{ readonly failures: readonly Failure[] }>
}

/** Somebody cannot judge by a set: whatever is to be judged by it is denied. */
export class RuleSetRefusedError extends Error {
  override readonly name = 'RuleSetRefusedError'
  readonly code = 'RULE_SET_REFUSED'
}

/** A proxy that does not answer by then must not hold up other changes of policy. */
const PATIENCE_MS = 2_000

export function proxyRuleSetOperations({ proxy, wanted }: ProxyRuleSetsTarget): Operations<L7RuleSet> {
  if (!proxy) return WITHOUT_PROXY
  const change = (add: readonly L7RuleSet[], remove: readonly number[], signal: AbortSignal) =>
    patiently(signal, patient => proxy.changeRuleSets({ add, remove }, patient))
  const stored = (signal: AbortSignal) => patiently(signal, patient => proxy.ruleSets(patient))
  return {
    async update(rows, signal) {
      const { failures } = await change(rows, [], signal)
      return failuresOf(rows, failures)
    },
    async delete(rows, signal) {
      const remove = rows.map(({ number }) => number)
      await change([], remove, signal)
    },
    async prune(desired, signal) {
      const numbers = new Set(desired.map(({ number }) => number))
      const remove = (await stored(signal)).ruleSets.map(({ number }) => number).filter(number => !numbers.has(number))
      if (remove.length > 0) await change([], remove, signal)
    },
    async current(signal) {
      const { ruleSets, failures } = await stored(signal)
      const failed = new Set(failures.map(({ number }) => number))
      // Numbers begin anew where the agent has lost its journal: then the proxy has something else under them.
      return ruleSets.flatMap(set => {
        const row = failed.has(set.number) ? undefined : wanted(set.number)
        return row && rowsEqual(set, asStored(row)) ? [row] : []
      })
    },
  }
}

const WITHOUT_PROXY: Operations<L7RuleSet> = {
  async update() {
    throw new Error('no proxy was named to the agent, so what is to be judged by the rule set is refused: give --proxy')
  },
  async delete() {},
  async prune() {},
}

/** @throws Error when the proxy has not answered in time */
async function patiently<T>(signal: AbortSignal, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = AbortSignal.timeout(PATIENCE_MS)
  try {
    return await ask(AbortSignal.any([signal, late]))
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error
    throw new Error(`the proxy has not had its rules in force for ${PATIENCE_MS / 1000} s`, { cause: error })
  }
}

/** As it is after it was sent. */
const asStored = (row: L7RuleSet): L7RuleSet => JSON.parse(JSON.stringify(row)) as L7RuleSet

function failuresOf(rows: readonly L7RuleSet[], failures: readonly Failure[]): Map<L7RuleSet, Error> {
  const byNumber = new Map(rows.map(row => [row.number, row]))
  return new Map(
    failures.flatMap(({ number, server, error }) => {
      const row = byNumber.get(number)
      const text = `${server} cannot judge by rule set ${number}, and denies what is to be judged by it: ${error}`
      return row ? [[row, new RuleSetRefusedError(text)]] : []
    }),
  )
}
