// One server of the proxy as a process: started when it is needed, told rule sets, started
// again when it ends (at once the first time, then with growing pauses). It is given
// everything at each start, so nothing that was told to a process that died is lost. How
// it is started and spoken to is left to its launcher.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProxyServerState } from '../api/index.ts'
import type { L7Parser, L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange, RuleSetFailure } from './child.ts'
import type { Log } from './log.ts'
import { type Use, whenSomebodyWaits, whenUnneeded } from './need.ts'
import { end, endOf, lastLinesOf } from './process-end.ts'

/** A process that was started, and how it is spoken to. */
export type Launched = {
  readonly process: ChildProcess
  /** Resolves when it serves by the rule sets that it was launched with. @returns those that it cannot judge by */
  readonly serving: Promise<readonly RuleSetFailure[]>
  /** Resolves when the change is in force. Never called before `serving`, nor twice at a time. An error ends the process. */
  apply(change: RuleSetChange): Promise<readonly RuleSetFailure[]>
  counts(): Readonly<Record<string, number>>
  /** Undefined while it is not known. */
  use(): Promise<Use | undefined>
}

export type Launcher = {
  readonly name: string
  readonly parsers: readonly L7Parser[]
  /** Which sets of its parsers are for it; all unless given. */
  readonly isFor?: (set: L7RuleSet) => boolean
  /** Listening sockets. A process is there only while there are rule sets for it, or connections, or some that wait here. */
  readonly sockets: readonly number[]
  launch(ruleSets: readonly L7RuleSet[]): Promise<Launched>
}

export type ServerProcessOptions = {
  readonly launcher: Launcher
  /** All rule sets as they are now. */
  readonly ruleSets: () => readonly L7RuleSet[]
  readonly log: Log
  /** How long nobody needs it before it is ended. */
  readonly unneededMs?: number
}

const PAUSE = { firstMs: 0, secondMs: 100, mostMs: 5_000, resetAfterMs: 10_000 } as const
const UNNEEDED_NOW = 'nobody needs it'
/** More take memory for nothing: it is faster started again with everything. */
const MOST_WAITING = 1000
const PATIENCE_AT_START_MS = 10_000

type State = ProxyServerState['state']

export class ServerProcess {
  readonly name: string
  readonly #options: ServerProcessOptions
  /** Changes that the process that runs has not been told. */
  #waiting: { readonly revision: number; readonly change: RuleSetChange }[] = []
  /** More changes came than may wait: it has to be started again. */
  #isBehind = false
  #changesDropped = 0
  #wanted = 0
  #applied = -1
  readonly #failures = new Map<number, string>()
  readonly #waiters = new Set<() => void>()
  #state: State = 'stopped'
  #launched: Launched | undefined
  #restarts = 0
  /** How often in a row it ended before it served. */
  #vainStarts = 0
  #lastEnd: string | undefined
  #wake: (() => void) | undefined

  constructor(options: ServerProcessOptions) {
    this.#options = options
    this.name = options.launcher.name
  }

  get status(): ProxyServerState {
    const pid = this.#launched?.process.pid
    return {
      name: this.name,
      state: this.#state,
      ...(pid !== undefined && { pid }),
      restarts: this.#restarts,
      ...(this.#lastEnd !== undefined && { lastEnd: this.#lastEnd }),
      upToDate: this.#applied === this.#wanted,
      ...(this.#changesDropped > 0 && { changesDropped: this.#changesDropped }),
      counts: this.#launched?.counts() ?? {},
    }
  }

  /** Sets that it cannot judge by: all, when it does not even start. */
  get failures(): RuleSetFailure[] {
    if (this.#vainStarts > 1)
      return this.#ownSets().map(({ number }) => ({ number, error: `${this.name} does not start: ${this.#lastEnd}` }))
    return Array.from(this.#failures, ([number, error]) => ({ number, error }))
  }

  /** Whether it is who judges by the set. */
  isFor(set: L7RuleSet): boolean {
    const { parsers, isFor } = this.#options.launcher
    return parsers.includes(set.rules.parser) && (isFor?.(set) ?? true)
  }

  /** Undefined while it is not known. */
  async use(): Promise<Use | undefined> {
    return this.#launched?.use()
  }

  /** Tells it of a change that is in the store already. What is not its business is left out. */
  tell({ add, remove }: RuleSetChange): void {
    const own = { whole: false, add: add.filter(set => this.isFor(set)), remove }
    if (own.add.length + own.remove.length === 0) return
    this.#wanted++
    // It starts with everything.
    if (this.#state === 'waiting' || this.#state === 'stopped') return
    if (this.#state === 'idle') {
      // That sets are gone is nothing to somebody who has none.
      if (own.add.length === 0) this.#isAt(this.#wanted)
      else this.#wake?.()
      return
    }
    this.#waiting.push({ revision: this.#wanted, change: own })
    if (this.#waiting.length > MOST_WAITING) this.#isBehind = true
    if (this.#isBehind) this.#changesDropped += this.#waiting.splice(0).length
    this.#wake?.()
  }

  /** Resolves when all that it was told is in force. @throws the reason of the signal */
  async upToDate(signal: AbortSignal): Promise<void> {
    const revision = this.#wanted
    while (this.#applied < revision) {
      signal.throwIfAborted()
      const { promise, resolve } = Promise.withResolvers<void>()
      const wake = () => resolve()
      this.#waiters.add(wake)
      signal.addEventListener('abort', wake, { once: true })
      await promise
      signal.removeEventListener('abort', wake)
      this.#waiters.delete(wake)
    }
  }

  /** Until the signal is aborted; then the process is ended. */
  async run(signal: AbortSignal): Promise<void> {
    let pauseMs: number = PAUSE.firstMs
    while (!signal.aborted) {
      if (!this.#hasOwnSets()) await this.#whenNeeded(signal)
      const startedAtMs = performance.now()
      const wasEnded = await this.#live(signal)
      if (signal.aborted) break
      if (wasEnded) continue
      if (performance.now() - startedAtMs > PAUSE.resetAfterMs) pauseMs = PAUSE.firstMs
      this.#options.log.error({ server: this.name, end: this.#lastEnd, pauseMs }, 'a server ended; it is started again')
      this.#state = 'waiting'
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
      pauseMs = Math.min(Math.max(pauseMs * 2, PAUSE.secondMs), PAUSE.mostMs)
      this.#restarts++
    }
    this.#state = 'stopped'
  }

  #ownSets(): L7RuleSet[] {
    return this.#options.ruleSets().filter(set => this.isFor(set))
  }

  #hasOwnSets(): boolean {
    return this.#options.ruleSets().some(set => this.isFor(set))
  }

  async #whenNeeded(signal: AbortSignal): Promise<void> {
    this.#state = 'idle'
    this.#vainStarts = 0
    this.#failures.clear()
    // Nobody is judged by what it does not have.
    this.#isAt(this.#wanted)
    const told = new AbortController()
    this.#wake = () => told.abort()
    await whenSomebodyWaits(this.#options.launcher.sockets, AbortSignal.any([signal, told.signal]))
  }

  /** One process, from its start to its end. @returns whether it ended because nobody needs it */
  async #live(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false
    this.#state = 'starting'
    this.#vainStarts++
    this.#applied = -1
    this.#waiting = []
    this.#isBehind = false
    const revision = this.#wanted
    try {
      const launched = await this.#options.launcher.launch(this.#ownSets())
      this.#launched = launched
      const ended = endOf(launched.process)
      const lastWords = lastLinesOf(launched.process)
      const stop = new AbortController()
      const either = AbortSignal.any([signal, stop.signal])
      const serving = this.#serve(launched, revision, either)
      const reason = await Promise.race([ended, serving, this.#unneeded(launched, either)])
      // What it is told from here on is for the next process.
      if (reason === UNNEEDED_NOW) this.#state = 'idle'
      stop.abort()
      await end(launched.process, ended)
      await serving
      if (reason === UNNEEDED_NOW) return true
      const how = await ended
      this.#lastEnd = [reason === how ? how : `${reason} (${how})`, ...lastWords()].join(': ')
    } catch (error) {
      this.#lastEnd = error instanceof Error ? error.message : String(error)
    } finally {
      this.#launched = undefined
    }
    return false
  }

  async #unneeded(launched: Launched, signal: AbortSignal): Promise<string> {
    await whenUnneeded(
      () => this.#hasOwnSets(),
      () => launched.use(),
      signal,
      this.#options.unneededMs,
    )
    if (signal.aborted) return 'stopped'
    this.#options.log.info({ server: this.name }, 'nobody needs a server; it is ended')
    return UNNEEDED_NOW
  }

  /** @returns why it is to end */
  async #serve(launched: Launched, revision: number, signal: AbortSignal): Promise<string> {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
    try {
      this.#failures.clear()
      this.#record(await inTime(launched.serving, signal, 'it does not serve'))
      this.#state = 'serving'
      this.#vainStarts = 0
      this.#options.log.info({ server: this.name, pid: launched.process.pid }, 'a server serves')
      this.#isAt(revision)
      while (!signal.aborted) {
        if (this.#isBehind) return `more than ${MOST_WAITING} changes waited`
        const next = this.#waiting.shift()
        if (next) {
          for (const number of next.change.remove) this.#failures.delete(number)
          this.#record(await inTime(launched.apply(next.change), signal, 'it does not take rule sets'))
          this.#isAt(next.revision)
        } else await this.#work()
      }
      return 'stopped'
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  #work(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    return promise
  }

  #isAt(revision: number): void {
    this.#applied = revision
    for (const wake of this.#waiters) wake()
  }

  #record(failures: readonly RuleSetFailure[]): void {
    for (const { number, error } of failures) this.#failures.set(number, error)
  }
}

async function inTime<T>(work: Promise<T>, signal: AbortSignal, complaint: string): Promise<T> {
  const late = AbortSignal.timeout(PATIENCE_AT_START_MS)
  const either = AbortSignal.any([signal, late])
  const given = once(either, 'abort').then(() => {
    throw new Error(late.aborted ? complaint : 'stopped')
  })
  return Promise.race([work, given])
}
