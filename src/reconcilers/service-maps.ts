// Puts services in force: a service as a whole or, where a map has no room, nothing of its
// change, and what was there before stays. A service that is unchanged costs nothing, also
// over a restart: what the kernel has is compared once, then known. What nobody wants any
// more is removed after what takes its place is there; slots and backends stay a while
// longer, for packets that read of them a moment ago.

import type { BackendRange, Schema } from '../maps/index.ts'
import { type Clock, type Failures, type Operations, rowsEqual, systemClock } from '../state/index.ts'
import { objectKey, type ServiceEntry } from '../tables/index.ts'
import { distinctRanges, type PortChoices, rangesOf, ServiceChoices, type SlotsOf } from './service-choices.ts'
import { readServiceContent, type ServiceContent } from './service-content.ts'
import { elementsOf, frontendText, type ServiceElements } from './service-elements.ts'
import { ServiceRemovals } from './service-removals.ts'
import { explained } from './service-room.ts'
import { difference, type ServiceWrite, ServiceWriter, type WritesTarget } from './service-writes.ts'
import { type ServiceInForce, ServicesInForce } from './services-in-force.ts'
import { SlotAllocator } from './slot-allocator.ts'

export type ServiceMapsTarget = Omit<WritesTarget, 'pageLength'> & {
  readonly schema: Schema
  readonly slotsOf: SlotsOf
  /** Called when addresses begin or cease to stand for a service: packets are judged by what is behind them. */
  readonly onChanged: () => void
  readonly clock?: Clock
}

/** How long slots and backends stay that nothing leads to any more. */
const REST_MS = 1000
/** Services that are written at once. */
const BATCH = 2048

type Plan = ServiceWrite & {
  readonly row: ServiceEntry
  readonly key: string
  readonly held: ServiceInForce | undefined
  readonly choices: readonly PortChoices[]
  /** Its elements until now. */
  readonly old: ServiceElements | undefined
}

export function serviceMapOperations(target: ServiceMapsTarget): Operations<ServiceEntry> {
  const services = new ServiceMapsState(target)
  return {
    update: (rows, signal) => services.alone(() => services.update(rows, signal)),
    delete: (rows, signal) => services.alone(() => services.delete(rows, signal)),
    prune: desired => services.alone(() => services.prune(desired)),
  }
}

class ServiceMapsState {
  readonly #target: ServiceMapsTarget
  readonly #pageLength: number
  readonly #clock: Clock
  readonly #writer: ServiceWriter
  readonly #choices: ServiceChoices
  readonly #removals: ServiceRemovals
  readonly #inForce: ServicesInForce
  /** Changes that could not be taken back yet, by service. */
  readonly #stuck = new Map<string, Plan>()
  /** Services of which the kernel may hold something from before the start that is not known here. */
  readonly #unread = new Set<string>()
  #isRead = false
  #last: Promise<unknown> = Promise.resolve()

  constructor(target: ServiceMapsTarget) {
    const { PAGE_LENGTH: pageLength, PAGES } = target.schema.slotPages.number
    this.#target = target
    this.#inForce = new ServicesInForce(target.schema)
    this.#pageLength = pageLength
    this.#clock = target.clock ?? systemClock
    const pages = Math.min(PAGES, target.maps.slot_pages.maxEntries)
    const now = () => this.#clock.nowMs()
    this.#choices = new ServiceChoices(new SlotAllocator({ pageLength, pages }, REST_MS), target.slotsOf, now)
    this.#writer = new ServiceWriter({ ...target, pageLength })
    this.#removals = new ServiceRemovals({
      maps: target.maps,
      clock: this.#clock,
      restMs: REST_MS,
      removeBackends: ids => this.#writer.removeBackends(ids),
      freeRange: range => this.#choices.free(range),
      isFrontendOwned: text => this.#inForce.isOwned(text),
      isBackendExpected: id => this.#writer.isExpected(id),
      elementsInForce: key => this.#inForce.elements(key),
      alone: work => this.alone(work),
      onChanged: target.onChanged,
    })
  }

  /** One after the other: removals that were put off come at a time of their own. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async update(rows: readonly ServiceEntry[], signal: AbortSignal): Promise<Failures<ServiceEntry>> {
    this.#removals.follow(signal)
    const failures = new Map<ServiceEntry, Error>()
    await this.#unstick()
    // A row that is in force already is handed in again by a full compare: then the kernel is asked.
    const isCompare = rows.some(row => this.#inForce.get(objectKey(row))?.row === row)
    const mustRead = !this.#isRead || isCompare || rows.some(row => this.#unread.has(objectKey(row)))
    const content = mustRead ? this.#read() : undefined
    for (let from = 0; from < rows.length; from += BATCH) {
      signal.throwIfAborted()
      await this.#updateBatch(rows.slice(from, from + BATCH), content, failures)
    }
    return failures
  }

  async delete(rows: readonly ServiceEntry[], signal: AbortSignal): Promise<Failures<ServiceEntry>> {
    this.#removals.follow(signal)
    await this.#unstick()
    const failures = new Map<ServiceEntry, Error>()
    const content = rows.some(row => this.#unread.has(objectKey(row))) ? this.#read() : undefined
    for (const row of rows) {
      if (this.#stuck.has(objectKey(row))) failures.set(row, new Error(STUCK))
      else this.#drop(row, content)
    }
    for (const [row, error] of await this.#remove(rows)) failures.set(row, error)
    return failures
  }

  async prune(desired: readonly ServiceEntry[]): Promise<void> {
    await this.#unstick()
    const content = this.#read()
    // What failed from the start on is in force as it was before.
    const failed = desired.filter(row => !this.#inForce.has(objectKey(row)))
    const kept = new Set(failed.flatMap(row => inheritedNumbers(row, content)))
    this.#inForce.inherit([...kept].filter(number => this.#inForce.isInherited(number)))
    const stuck = [...this.#stuck.values()]
    const held = this.#inForce.elementsBesideFrontends()
    this.#choices.freeInherited(await this.#removals.prune(content, { services: kept, held, stuck }))
  }

  #read(): ServiceContent {
    const content = readServiceContent({ ...this.#target, pageLength: this.#pageLength })
    if (!this.#isRead) {
      this.#choices.inherit(content)
      this.#inForce.inherit(Array.from(content.frontends.values(), ([, { service }]) => service))
    }
    this.#isRead = true
    this.#writer.sync(content.pages, content.backends.keys())
    return content
  }

  async #updateBatch(
    rows: readonly ServiceEntry[],
    content: ServiceContent | undefined,
    failures: Map<ServiceEntry, Error>,
  ): Promise<void> {
    const plans: Plan[] = []
    for (const row of rows) {
      try {
        const plan = this.#plan(row, content)
        this.#writer.expect(plan)
        plans.push(plan)
      } catch (error) {
        this.#fail(row, error, failures)
      }
    }
    const written = await this.#writeAll(plans, failures)
    if (written.some(({ frontends }) => frontends.remove.length > 0)) this.#target.onChanged()
    for (const [row, error] of await this.#remove(rows)) failures.set(row, error)
  }

  #plan(row: ServiceEntry, content: ServiceContent | undefined): Plan {
    const key = objectKey(row)
    if (this.#stuck.has(key)) throw new Error(STUCK)
    const held = this.#inForce.get(key)
    const known = new Map(held?.row.ports.map(({ number }, i) => [number, held.choices[i] as PortChoices]))
    const { choices, fresh } = this.#choices.choose(row, known, content)
    const wanted = elementsOf(this.#target.schema, row, rangesOf(choices))
    const inherited = content && !held ? content.elementsOf(inheritedNumbers(row, content)) : undefined
    const old = this.#inForce.elements(key) ?? inherited
    for (const [id, backend] of wanted.backends) {
      const found = content?.backends.get(id)
      if (found && !rowsEqual(found, backend)) this.#writer.forget(id)
    }
    const frontendBefore = (text: string) =>
      content ? content.frontends.get(text) : (old?.frontends.get(text) ?? this.#inForce.frontend(text))
    return {
      row,
      key,
      held,
      choices,
      fresh,
      wanted,
      old,
      frontends: difference(wanted.frontends, frontendBefore),
      affinity: difference(wanted.affinity, text => (content ?? old)?.affinity.get(text)),
      sourceRanges: difference(wanted.sourceRanges, text => (content ?? old)?.sourceRanges.get(text)),
    }
  }

  /** In one go; where that fails, one by one, so that those can be written that there is room for. */
  async #writeAll(plans: readonly Plan[], failures: Map<ServiceEntry, Error>): Promise<readonly Plan[]> {
    try {
      await this.#writer.write(plans)
      for (const plan of plans) this.#putInForce(plan)
      return plans
    } catch (error) {
      if (plans.length === 1) {
        await this.#takeBack(plans, error, failures)
        return []
      }
    }
    const written: Plan[] = []
    for (const [index, plan] of plans.entries()) {
      try {
        await this.#writer.write([plan])
        this.#putInForce(plan)
        written.push(plan)
      } catch (error) {
        await this.#takeBack(plans.slice(index, index + 1), error, failures)
      }
    }
    return written
  }

  #putInForce(plan: Plan): void {
    const { key, row, choices, wanted, old, held } = plan
    this.#inForce.set(key, { row, choices })
    this.#unread.delete(key)
    this.#inForce.own(key, wanted.frontends.keys())
    this.#writer.settle(plan)
    this.#removals.hold(wanted.backends.keys())
    const ranges = new Set<BackendRange>(distinctRanges(choices))
    const left = held ? distinctRanges(held.choices).filter(range => !ranges.has(range)) : []
    this.#leave(key, { old, wanted, ranges: left, releases: held && old })
  }

  #drop(row: ServiceEntry, content: ServiceContent | undefined): void {
    const key = objectKey(row)
    const held = this.#inForce.get(key)
    const old = this.#inForce.elements(key) ?? (content && content.elementsOf(inheritedNumbers(row, content)))
    const ranges = held ? distinctRanges(held.choices) : []
    this.#inForce.set(key, undefined)
    this.#unread.delete(key)
    this.#leave(key, { old, wanted: undefined, ranges, releases: held && old })
  }

  /** What a service no longer needs is to be removed. */
  #leave(
    key: string,
    left: {
      readonly old: ServiceElements | undefined
      readonly wanted: ServiceElements | undefined
      readonly ranges: readonly BackendRange[]
      /** Whose backends it lets go of. */
      readonly releases: ServiceElements | undefined
    },
  ): void {
    const { old, wanted, ranges, releases } = left
    const frontends = [...(old?.frontends ?? [])].filter(([text]) => !wanted?.frontends.has(text))
    this.#inForce.disown(
      key,
      frontends.map(([text]) => text),
    )
    for (const [, [, { service }]] of frontends) this.#inForce.disinherit(service)
    this.#removals.add({
      service: key,
      frontends: frontends.map(([text, [one]]) => [text, one]),
      affinity: [...(old?.affinity ?? [])].flatMap(([text, [one]]) =>
        wanted?.affinity.has(text) ? [] : [[text, one]],
      ),
      sourceRanges: [...(old?.sourceRanges ?? [])].flatMap(([text, [one]]) =>
        wanted?.sourceRanges.has(text) ? [] : [[text, one]],
      ),
      backends: [...(releases?.backends.keys() ?? [])],
      ranges,
    })
  }

  /** @returns the rows of those services for which it failed */
  async #remove(rows: readonly ServiceEntry[]): Promise<Map<ServiceEntry, Error>> {
    const failed = await this.#removals.carryOut()
    if (!failed) return new Map()
    return new Map(rows.filter(row => failed.services.has(objectKey(row))).map(row => [row, failed.error]))
  }

  async #takeBack(plans: readonly Plan[], error: unknown, failures: Map<ServiceEntry, Error>): Promise<void> {
    for (const plan of plans) {
      this.#fail(plan.row, error, failures)
      this.#stuck.set(plan.key, plan)
    }
    await this.#unstick()
  }

  async #unstick(): Promise<void> {
    for (const [key, plan] of this.#stuck) {
      try {
        await this.#writer.takeBack({ ...plan, frontends: this.#undo(plan) })
      } catch {
        continue // told when the service is tried again
      }
      this.#stuck.delete(key)
      for (const { range } of plan.fresh) this.#choices.free(range)
    }
  }

  /**
   * An address that was to change hands is again as its owner of now has it; that need not be the one of before. Of a service
   * that has not been put in force since the start, it is as it was.
   */
  #undo({ frontends }: Plan): ServiceWrite['frontends'] {
    const touched = [...frontends.restore, ...frontends.remove.map(key => [key, undefined] as const)]
    const inForce = touched.map(([key, before]) => {
      const isInherited = before !== undefined && this.#inForce.isInherited(before.service)
      return [key, this.#inForce.frontend(frontendText(key))?.[1] ?? (isInherited ? before : undefined)] as const
    })
    return {
      put: frontends.put,
      restore: inForce.flatMap(([key, value]) => (value ? [[key, value] as const] : [])),
      remove: inForce.flatMap(([key, value]) => (value ? [] : [key])),
    }
  }

  #fail(row: ServiceEntry, error: unknown, failures: Map<ServiceEntry, Error>): void {
    const key = objectKey(row)
    if (!this.#inForce.has(key)) this.#unread.add(key)
    failures.set(row, explained(key, error))
  }
}

/** Service numbers that the kernel may have something of this service under: it may have had other ports before the start. */
function inheritedNumbers({ ports }: ServiceEntry, { numbersByAddress }: ServiceContent): number[] {
  const addresses = ports.flatMap(({ frontends }) => frontends.filter(({ kind }) => kind === 'ClusterIP'))
  const others = addresses.flatMap(({ address }) => [...(numbersByAddress.get(address) ?? [])])
  return [...new Set([...ports.map(({ number }) => number), ...others])]
}

const STUCK = 'an earlier change of this service could not be taken back yet; it is tried again'
