// Which slots each port of a service has. A port keeps its ranges as long as it gives
// clients the same backends; other backends get a range of their own, which is written
// and put in force by others. Ranges of before a restart stay where they are.

import type { BackendRange } from '../maps/index.ts'
import type { ClientKind } from '../services/index.ts'
import type { NumberedPort, ServiceEntry } from '../tables/index.ts'
import type { ServiceContent } from './service-content.ts'
import { isChosen, type PortRanges } from './service-elements.ts'
import type { SlotAllocator } from './slot-allocator.ts'

/** A range, and what it was filled for. */
export type Choice = { readonly key: string; readonly range: BackendRange }
/** Of clients in the cluster and of those outside; one and the same where both get the same. */
export type PortChoices = readonly [Choice, Choice]

export type FreshSlots = { readonly range: BackendRange; readonly slots: ArrayLike<number> }

/** Backend ids, one for each slot. */
export type SlotsOf = (port: NumberedPort, kind: ClientKind) => ArrayLike<number>

export class ServiceChoices {
  readonly #slots: SlotAllocator
  readonly #slotsOf: SlotsOf
  readonly #now: () => number
  /** Ranges that the kernel's frontends named at the start, and that no service has asked for yet. */
  readonly #inherited = new Map<string, BackendRange>()

  constructor(slots: SlotAllocator, slotsOf: SlotsOf, now: () => number) {
    this.#slots = slots
    this.#slotsOf = slotsOf
    this.#now = now
  }

  /** To be called once, before anything is chosen. */
  inherit({ rangesByService }: ServiceContent): void {
    const all = new Map([...rangesByService.values()].flat().map(range => [rangeText(range), range]))
    for (const range of this.#slots.takeOver([...all.values()])) this.#inherited.set(rangeText(range), range)
  }

  /**
   * Ranges for all ports; those in `fresh` are to be written. Given back by the caller when nothing comes of it.
   * @param held what each port has now, by its number
   * @param content what the kernel has, where it is not taken for granted
   * @throws SlotsExhaustedError; then nothing is taken
   */
  choose(
    row: ServiceEntry,
    held: ReadonlyMap<number, PortChoices>,
    content: ServiceContent | undefined,
  ): { readonly choices: readonly PortChoices[]; readonly fresh: readonly FreshSlots[] } {
    const fresh: FreshSlots[] = []
    try {
      const choices = row.ports.map((port): PortChoices => {
        const known = [...(held.get(port.number) ?? [])]
        const cluster = this.#choice(port, 'cluster', known, content, fresh)
        if (choiceKey(port, 'outside') === cluster.key) return [cluster, cluster]
        return [cluster, this.#choice(port, 'outside', known, content, fresh)]
      })
      return { choices, fresh }
    } catch (error) {
      for (const { range } of fresh) this.#slots.free(range, this.#now())
      throw error
    }
  }

  free(range: BackendRange): void {
    this.#slots.free(range, this.#now())
  }

  /** Gives back the ranges of before that nobody has asked for, except those that must stay. */
  freeInherited(stay: readonly BackendRange[]): void {
    const kept = new Set(stay.map(rangeText))
    for (const [text, range] of this.#inherited) {
      if (kept.has(text)) continue
      this.#inherited.delete(text)
      this.#slots.free(range, this.#now())
    }
  }

  #choice(
    port: NumberedPort,
    kind: ClientKind,
    known: readonly Choice[],
    content: ServiceContent | undefined,
    fresh: FreshSlots[],
  ): Choice {
    const key = choiceKey(port, kind)
    const same = known.find(choice => choice.key === key)
    if (same && (!content || same.range.count === 0)) return same
    const slots = this.#slotsOf(port, kind)
    if (slots.length === 0) return { key, range: { first: 0, count: 0 } }
    if (same && content && holds(content, same.range, slots)) return same
    const before = content && this.#takeInherited(port.number, slots, content)
    if (before) return { key, range: before }
    const range = this.#slots.allocate(slots.length, this.#now())
    fresh.push({ range, slots })
    return { key, range }
  }

  #takeInherited(service: number, slots: ArrayLike<number>, content: ServiceContent): BackendRange | undefined {
    for (const range of content.rangesByService.get(service) ?? []) {
      if (!this.#inherited.has(rangeText(range)) || !holds(content, range, slots)) continue
      this.#inherited.delete(rangeText(range))
      return range
    }
    return undefined
  }
}

const rangeText = ({ first, count }: BackendRange): string => `${first}+${count}`

function holds(content: ServiceContent, range: BackendRange, slots: ArrayLike<number>): boolean {
  const found = content.slots(range)
  if (found?.length !== slots.length) return false
  for (let i = 0; i < slots.length; i++) if (found[i] !== slots[i]) return false
  return true
}

/** Equal where the slots are: they follow from the backends that new clients get, in their order. */
function choiceKey(port: NumberedPort, kind: ClientKind): string {
  const chosen = port.backends.filter(backend => isChosen(backend, kind))
  return `${port.algorithm} ${chosen.map(({ id, weight }) => (weight === 1 ? id : `${id}*${weight}`)).join()}`
}

export const rangesOf = (choices: readonly PortChoices[]): PortRanges[] =>
  choices.map(([cluster, outside]) => [cluster.range, outside.range])

/** Each range once. */
export const distinctRanges = (choices: readonly PortChoices[]): BackendRange[] => [
  ...new Set(choices.flat().map(choice => choice.range)),
]
