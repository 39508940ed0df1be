// Removes what services have left behind: frontends first, then what frontends led to.
// A backend goes when no service has held it for a while; that has a time of its own, so
// that datagrams of a backend that is gone find another one soon. What could not be
// removed is tried again with the next change.

import type { AffinityBackend, BackendRange, FrontendKey, SourceRangeKey } from '../maps/index.ts'
import { asError, type Clock } from '../state/index.ts'
import type { ServiceContent, ServiceMaps } from './service-content.ts'
import type { ServiceElements } from './service-elements.ts'
import { removeAll, type ServiceWrite } from './service-writes.ts'

/** Of one service. Keys stand with their texts. */
export type Leftover = {
  readonly service: string
  readonly frontends: readonly (readonly [string, FrontendKey])[]
  readonly affinity: readonly (readonly [string, AffinityBackend])[]
  readonly sourceRanges: readonly (readonly [string, SourceRangeKey])[]
  /** Ids that it lets go of. */
  readonly backends: readonly number[]
  readonly ranges: readonly BackendRange[]
}

export type RemovalsTarget = {
  readonly maps: ServiceMaps
  readonly clock: Clock
  /** How long a backend stays that nobody holds. */
  readonly restMs: number
  readonly removeBackends: (ids: readonly number[]) => Promise<void>
  readonly freeRange: (range: BackendRange) => void
  readonly isFrontendOwned: (text: string) => boolean
  /** Whether a change is on its way that leads to the backend. */
  readonly isBackendExpected: (id: number) => boolean
  readonly elementsInForce: (service: string) => ServiceElements | undefined
  /** Runs work while nothing else is written. */
  readonly alone: (work: () => Promise<void>) => Promise<void>
  readonly onChanged: () => void
}

type Wanted = {
  /** Of services that are in force as they were before the start. */
  readonly services: ReadonlySet<number>
  /** Of those in force, all that have affinity or source ranges. */
  readonly held: Iterable<ServiceElements>
  readonly stuck: readonly ServiceWrite[]
}

export class ServiceRemovals {
  readonly #target: RemovalsTarget
  #leftovers: Leftover[] = []
  /** Leftovers before this one have failed before: what they name may be wanted again. */
  #failed = 0
  /** How many services hold a backend. */
  readonly #holders = new Map<number, number>()
  /** Backends that nobody holds, and since when; oldest first. */
  readonly #resting = new Map<number, number>()
  #cancelTimer: (() => void) | undefined
  #signal: AbortSignal | undefined

  constructor(target: RemovalsTarget) {
    this.#target = target
  }

  /** Nothing is removed any more once this signal is aborted. */
  follow(signal: AbortSignal): void {
    this.#signal = signal
  }

  hold(backends: Iterable<number>): void {
    for (const id of backends) {
      this.#holders.set(id, (this.#holders.get(id) ?? 0) + 1)
      this.#resting.delete(id)
    }
  }

  add(leftover: Leftover): void {
    const { frontends, affinity, sourceRanges, backends, ranges } = leftover
    if (frontends.length + affinity.length + sourceRanges.length + backends.length + ranges.length > 0)
      this.#leftovers.push(leftover)
  }

  /** @returns the services with leftovers still, where it failed */
  async carryOut(): Promise<{ readonly services: ReadonlySet<string>; readonly error: Error } | undefined> {
    const { maps, onChanged, freeRange } = this.#target
    if (this.#leftovers.length === 0) return undefined
    const leftovers = this.#leftovers.map((leftover, i) => (i < this.#failed ? this.#stillLeft(leftover) : leftover))
    try {
      const frontends = leftovers.flatMap(one => one.frontends).filter(([text]) => !this.#target.isFrontendOwned(text))
      await removeAll(maps.frontends, keysOf(frontends))
      if (frontends.length > 0) onChanged()
      await removeAll(maps.source_ranges, keysOf(leftovers.flatMap(one => one.sourceRanges)))
      await removeAll(maps.affinity_backends, keysOf(leftovers.flatMap(one => one.affinity)))
    } catch (error) {
      this.#failed = this.#leftovers.length
      return { services: new Set(this.#leftovers.map(({ service }) => service)), error: asError(error) }
    }
    for (const { backends, ranges } of leftovers) {
      for (const id of backends) this.#release(id)
      for (const range of ranges) freeRange(range)
    }
    this.#leftovers = []
    this.#failed = 0
    this.#setTimer()
    return undefined
  }

  /**
   * Removes what is neither of a service in force nor of one of these numbers, nor about to be taken back.
   * @returns ranges that frontends lead to which stay although they are of no service in force
   */
  async prune(content: ServiceContent, wanted: Wanted): Promise<readonly BackendRange[]> {
    const { maps, isFrontendOwned, removeBackends, onChanged } = this.#target
    const isKept = (service: number): boolean => wanted.services.has(service)
    const stuck = wanted.stuck.map(write => write.wanted)
    const affinity = new Set<string>()
    const sourceRanges = new Set<string>()
    const want = (elements: ServiceElements): void => {
      for (const text of elements.affinity.keys()) affinity.add(text)
      for (const text of elements.sourceRanges.keys()) sourceRanges.add(text)
    }
    for (const elements of wanted.held) want(elements)
    for (const elements of stuck) want(elements)
    const others = [...content.frontends].filter(([text]) => !isFrontendOwned(text))
    const stays = ([text, [, { service }]]: (typeof others)[number]): boolean =>
      isKept(service) || stuck.some(elements => elements.frontends.has(text))
    const frontends = others.filter(element => !stays(element))
    await removeAll(maps.frontends, keysOf(frontends.map(([text, [key]]) => [text, key])))
    if (frontends.length > 0) onChanged()
    const surplus = <Key extends { readonly service: number }>(
      elements: ReadonlyMap<string, readonly [Key, number]>,
      texts: ReadonlySet<string>,
    ): Key[] => [...elements].flatMap(([text, [key]]) => (texts.has(text) || isKept(key.service) ? [] : [key]))
    await removeAll(maps.source_ranges, surplus(content.sourceRanges, sourceRanges))
    await removeAll(maps.affinity_backends, surplus(content.affinity, affinity))
    const ranges = others.filter(stays).flatMap(([, [, { backends }]]) => backends.filter(({ count }) => count > 0))
    const kept = new Set(stuck.flatMap(elements => [...elements.backends.keys()]))
    for (const range of ranges) for (const id of content.slots(range) ?? []) kept.add(id)
    const isHeld = (id: number): boolean => this.#holders.has(id) || this.#resting.has(id) || kept.has(id)
    await removeBackends([...content.backends.keys()].filter(id => !isHeld(id)))
    return ranges
  }

  #stillLeft(leftover: Leftover): Leftover {
    const inForce = this.#target.elementsInForce(leftover.service)
    return {
      ...leftover,
      affinity: leftover.affinity.filter(([text]) => !inForce?.affinity.has(text)),
      sourceRanges: leftover.sourceRanges.filter(([text]) => !inForce?.sourceRanges.has(text)),
    }
  }

  #release(id: number): void {
    const holders = (this.#holders.get(id) ?? 0) - 1
    if (holders > 0) this.#holders.set(id, holders)
    else {
      this.#holders.delete(id)
      this.#resting.set(id, this.#target.clock.nowMs())
    }
  }

  #setTimer(): void {
    const { clock, restMs, alone } = this.#target
    const [sinceMs] = this.#resting.values()
    if (sinceMs === undefined || this.#cancelTimer) return
    this.#cancelTimer = clock.setTimer(sinceMs + restMs - clock.nowMs(), () => {
      this.#cancelTimer = undefined
      void alone(() => this.#removeRested())
    })
  }

  async #removeRested(): Promise<void> {
    if (this.#signal?.aborted) return
    const { clock, restMs, removeBackends, isBackendExpected } = this.#target
    const nowMs = clock.nowMs()
    const rested = [...this.#resting].filter(([, sinceMs]) => nowMs - sinceMs >= restMs).map(([id]) => id)
    for (const id of rested) this.#resting.delete(id)
    const removed = rested.filter(id => !isBackendExpected(id))
    const isDone = await removeBackends(removed).then(
      () => true,
      () => false,
    )
    // The others rest on, and are looked at again after as long a time.
    for (const id of rested) if (!isDone || isBackendExpected(id)) this.#resting.set(id, nowMs)
    this.#setTimer()
  }
}

const keysOf = <Key>(elements: readonly (readonly [string, Key])[]): Key[] => elements.map(([, key]) => key)
