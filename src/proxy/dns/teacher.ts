// Tells the agent which addresses answers give to names, before or after those who asked
// hear of it: an answer for a name that selectors mean waits until the agent has its
// addresses in force, unless they are already. Works without the agent: then answers
// wait only shortly, or not at all, and the kernel denies what it was never told of and
// what the stand-in cannot give.

import { ApiError } from '../../api/index.ts'
import {
  allMatches,
  indexNames,
  type NameIndex,
  type NamesAnswer,
  type TaughtName,
  type TaughtNames,
} from '../../dns/index.ts'
import type { DnsCounts } from './counts.ts'
import { KnownNames } from './known-names.ts'
import type { StandIn, StandInOutcome } from './stand-in.ts'
import { TaughtQueue, type Waiter, type Waiting } from './taught-queue.ts'

export type TeacherOptions = {
  /** Resolves when the names are in force. Undefined: nobody can be told. */
  readonly tell: ((names: TaughtNames, signal: AbortSignal) => Promise<NamesAnswer>) | undefined
  /** Does what it can while no agent is there. */
  readonly standIn?: Pick<StandIn, 'teach'> | undefined
  /** How long an answer waits at most. */
  readonly waitMs: number
  readonly counts: Pick<DnsCounts, 'held' | 'heldInVain' | 'untaught'>
}

const MAX_TOLD_AT_ONCE = 2
/** What nobody waits for is told together. */
const LAZY_MS = 200
const RETRY_MS = 100
const PATIENCE_MS = 5_000
/** The agent is asked for its selectors at least this often. */
const ASK_AGAIN_MS = 1_000
/** An agent that has been away for longer is not waited for. */
const AWAY_MS = 5_000

export class Teacher implements Disposable {
  readonly #options: TeacherOptions
  readonly #known = new KnownNames()
  readonly #queue: TaughtQueue
  readonly #ended = new AbortController()
  #selectors: { readonly revision: string; readonly index: NameIndex } | undefined
  #telling = 0
  #timer: NodeJS.Timeout | undefined
  #isSoon = false
  #timerAtMs = Number.POSITIVE_INFINITY
  #toldAtMs = Number.NEGATIVE_INFINITY
  #awaySinceMs: number | undefined

  constructor(options: TeacherOptions) {
    this.#options = options
    this.#queue = new TaughtQueue(options.counts)
    if (options.tell) this.#tellIn(0)
  }

  /** Names that the agent has not heard of yet. */
  get waiting(): number {
    return this.#queue.size + this.#telling
  }

  /** @param pass called once, perhaps before this returns, when those who asked may hear the answer */
  teach(taught: TaughtName, pass: () => void): void {
    const knowledge = this.#options.tell ? this.#known.look(taught) : 'known'
    const alone = knowledge !== 'known' && this.#awaySinceMs !== undefined ? this.#teachAlone(taught) : 'not mine'
    if (alone === 'in force') return pass()
    if (knowledge === 'news' && this.#isWaitedFor(taught.name, alone === 'agent there')) {
      this.#queue.add(taught, this.#holdBack(taught.name, pass))
      this.#tellIn(0)
      return
    }
    if (knowledge !== 'known') {
      this.#queue.add(taught)
      this.#tellIn(LAZY_MS)
    }
    pass()
  }

  #teachAlone(taught: TaughtName): StandInOutcome {
    const outcome = this.#options.standIn?.teach(taught) ?? 'not mine'
    if (outcome === 'in force') this.#known.add(taught)
    return outcome
  }

  #holdBack(name: string, pass: () => void): Waiter {
    const { counts, waitMs } = this.#options
    const waiter = {
      isOver: false,
      end(inForce: boolean): void {
        if (waiter.isOver) return
        waiter.isOver = true
        clearTimeout(timer)
        if (!inForce) counts.heldInVain++
        pass()
      },
    }
    const timer = setTimeout(() => {
      waiter.end(false)
      this.#queue.forget(name, waiter)
    }, waitMs)
    counts.held++
    return waiter
  }

  /** Whether its answers are to be in force first. As long as no selectors are known, any may mean it. */
  #isWaitedFor(name: string, isAgentStarting: boolean): boolean {
    const awayMs = this.#awaySinceMs === undefined ? 0 : performance.now() - this.#awaySinceMs
    if (awayMs > AWAY_MS && !isAgentStarting) return false
    return !this.#selectors || allMatches(this.#selectors.index, name).length > 0
  }

  #tellIn(ms: number): void {
    if (ms === 0 && this.#awaySinceMs === undefined) {
      // A timer would take a millisecond of the time of those who wait.
      if (this.#isSoon) return
      this.#isSoon = true
      setImmediate(() => {
        this.#isSoon = false
        if (!this.#ended.signal.aborted) this.#tell()
      })
      return
    }
    const atMs = performance.now() + (this.#awaySinceMs === undefined ? ms : Math.max(ms, RETRY_MS))
    if (atMs >= this.#timerAtMs || this.#ended.signal.aborted) return
    clearTimeout(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = setTimeout(
      () => {
        this.#timerAtMs = Number.POSITIVE_INFINITY
        this.#tell()
      },
      Math.max(0, atMs - performance.now()),
    )
  }

  #tell(): void {
    while (this.#telling < MAX_TOLD_AT_ONCE) {
      const isDue = performance.now() - this.#toldAtMs >= ASK_AGAIN_MS
      if (this.#queue.size === 0 && (!isDue || this.#telling > 0)) break
      void this.#tellSome()
    }
    this.#tellIn(ASK_AGAIN_MS)
  }

  async #tellSome(): Promise<void> {
    const some = this.#queue.take()
    const names = some.map(({ taught }) => taught)
    const revision = this.#selectors?.revision
    this.#telling++
    this.#toldAtMs = performance.now()
    try {
      const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(PATIENCE_MS)])
      const answer = await this.#options.tell?.(
        { names, ...(revision !== undefined && { selectorsRevision: revision }) },
        signal,
      )
      if (answer) this.#learnSelectors(answer)
      this.#awaySinceMs = undefined
      for (const name of names) this.#known.add(name)
      endAll(some, true)
      if (this.#queue.size > 0) this.#tellIn(0)
    } catch (error) {
      this.#failed(some, error)
    } finally {
      this.#telling--
    }
  }

  #failed(some: readonly Waiting[], error: unknown): void {
    if (error instanceof ApiError && error.status < 500) {
      // The agent will have none of it, however often it is told.
      this.#options.counts.untaught += some.length
      this.#awaySinceMs = undefined
      endAll(some, false)
      return
    }
    this.#awaySinceMs ??= performance.now()
    const isLeft = ({ taught, waiters }: Waiting): boolean => {
      if (waiters.size === 0 || this.#teachAlone(taught) !== 'in force') return true
      for (const waiter of waiters) waiter.end(true)
      return false
    }
    // Whoever waits still goes on waiting until his time is over: the agent may come back before.
    this.#queue.putBack(some.filter(isLeft))
    this.#tellIn(RETRY_MS)
  }

  #learnSelectors({ selectorsRevision, selectors }: NamesAnswer): void {
    if (!selectors) return
    this.#selectors = { revision: selectorsRevision, index: indexNames(selectors.map(pattern => ({ pattern }))) }
  }

  [Symbol.dispose](): void {
    this.#ended.abort()
    clearTimeout(this.#timer)
  }
}

function endAll(some: readonly Waiting[], inForce: boolean): void {
  for (const { waiters } of some) for (const waiter of waiters) waiter.end(inForce)
}
