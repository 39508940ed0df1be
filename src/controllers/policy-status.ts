// Notes of each policy when its rules came to be in the kernel, and at which revision
// of the maps. Works beside a change, never in its way: it looks when the reconcilers
// have tried what was declared. Everything else about a policy's status is computed
// when somebody asks (policy-status-view.ts).

import { hash } from 'node:crypto'
import type { Policy as PolicyRules } from '../policy/index.ts'
import { type Clock, type Status, systemClock, type Table, waitForAny } from '../state/index.ts'
import type { EnforcedPolicy, Tables } from '../tables/index.ts'
import type { Memory } from './memory.ts'
import { PolicySubjects } from './policy-subjects.ts'

export type PolicyStatusControllerOptions = {
  readonly tables: Tables
  readonly memory: Memory
  /** Status of each policy map in the kernel. */
  readonly mapStatus: Table<Status, 'kind'>
  /** Resolves when what the tables say at the call has been tried in the kernel. @throws when the signal is aborted */
  readonly attempted: (signal: AbortSignal) => Promise<void>
  /** Revision of the maps that packets are judged by. */
  readonly revision: () => number
  readonly clock?: Clock
}

/** What is remembered over a restart: rules that are the same then have been in force all the time. */
type Remembered = Pick<EnforcedPolicy, 'revision' | 'sinceMs'> & { readonly content: string }
const KIND = 'enforced-policy'

export class PolicyStatusController {
  readonly #options: PolicyStatusControllerOptions
  readonly #clock: Clock
  /** Policies that are not known to be in the kernel, by key, with the revision of their rows. */
  readonly #waiting = new Map<string, number>()

  constructor(options: PolicyStatusControllerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { tables, memory } = this.#options
    // Policies are read, and what follows from all of them is written.
    if (!(await tables.policyMaps.whenInitialized(signal))) return
    const markInitialized = tables.enforcedPolicies.registerInitializer('policy status controller')
    for (const key of memory.entries(KIND).keys()) if (!tables.policies.get(key)) memory.delete(KIND, key)
    using watcher = tables.policies.watch()
    try {
      do {
        for (const change of watcher.take()) {
          if (change.kind === 'put') this.#waiting.set(change.key, change.revision)
          else this.#forget(change.key)
        }
        if (this.#waiting.size > 0) await this.#options.attempted(signal)
        this.#record()
        markInitialized()
      } while (await this.#waitForWork(watcher, signal))
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  #forget(key: string): void {
    const { tables, memory } = this.#options
    this.#waiting.delete(key)
    memory.delete(KIND, key)
    tables.database.write(tx => tx.delete(tables.enforcedPolicies, key))
  }

  /** Those that wait, have not changed meanwhile, and are in every map that they are for. */
  #record(): void {
    if (this.#waiting.size === 0) return
    const { tables, mapStatus } = this.#options
    const failing = new Set(mapStatus.by('kind', 'failed').map(({ key }) => Number(key)))
    const subjects = failing.size > 0 ? new PolicySubjects(tables) : undefined
    const current = { revision: this.#options.revision(), sinceMs: this.#clock.nowMs() }
    const rows: EnforcedPolicy[] = []
    for (const [key, version] of this.#waiting) {
      const policy = tables.policies.get(key)
      if (!policy || tables.policies.revisionOf(key) !== version) continue
      if (subjects?.of(policy.rules).some(({ map }) => failing.has(map))) continue
      rows.push({ policy: key, version, ...this.#remember(key, policy.rules, current) })
      this.#waiting.delete(key)
    }
    tables.database.write(tx => {
      for (const row of rows) tx.put(tables.enforcedPolicies, row)
    })
  }

  /** Since when the rules are in force: a restart, or a change of nothing but their place in a file, begins nothing anew. */
  #remember(key: string, rules: PolicyRules, current: Omit<Remembered, 'content'>): Omit<Remembered, 'content'> {
    const { memory } = this.#options
    const content = hash('sha256', JSON.stringify(rules, withoutPlaces), 'base64')
    const known = memory.entries(KIND).get(key) as Remembered | undefined
    // Maps that were made anew count from the start.
    if (known?.content === content && known.revision <= current.revision)
      return { revision: known.revision, sinceMs: known.sinceMs }
    memory.set(KIND, key, { ...current, content })
    return current
  }

  /** Until a policy changes or, while one is not in the kernel, a map does. */
  async #waitForWork(policies: Parameters<typeof waitForAny>[0][number], signal: AbortSignal): Promise<boolean> {
    if (this.#waiting.size === 0) await waitForAny([policies], signal)
    else {
      using maps = this.#options.mapStatus.watch()
      maps.take()
      await waitForAny([policies, maps], signal)
    }
    return !signal.aborted
  }
}

const withoutPlaces = (key: string, value: unknown): unknown => (key === 'origin' || key === 'ref' ? undefined : value)
