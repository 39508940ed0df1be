// Which slots are free: ranges inside pages, the smallest free one that is large enough
// first. A range that was given back rests until nobody can be reading it any more. Pure;
// what stands in the slots, and making pages, is the business of others.

import type { BackendRange } from '../maps/service.ts'

/** No page has so many free slots side by side, and no further page may be made. */
export class SlotsExhaustedError extends Error {
  override readonly name = 'SlotsExhaustedError'
  readonly code = 'SLOTS_EXHAUSTED'

  constructor(count: number, pages: number, pageLength: number) {
    super(
      count > pageLength
        ? `${count} slots are wanted side by side and a page has ${pageLength}`
        : `${count} slots are wanted side by side and none of the ${pages} pages (of ${pageLength}) has so many free`,
    )
  }
}

export type SlotSpace = { readonly pageLength: number; readonly pages: number }

export class SlotAllocator {
  readonly #space: SlotSpace
  readonly #restMs: number
  /** Pages whose slots are handed out. */
  readonly #pages = new Set<number>()
  /** Free ranges: how long the one is that begins at a slot, and where the one begins that ends before a slot. */
  readonly #countByStart = new Map<number, number>()
  readonly #startByEnd = new Map<number, number>()
  /** Starts of the free ranges of each length. */
  readonly #startsByCount = new Map<number, Set<number>>()
  /** The lengths that there are, rising. */
  readonly #counts: number[] = []
  /** Given back, oldest first. */
  #resting: { readonly range: BackendRange; readonly sinceMs: number }[] = []
  #used = 0

  /** @param restMs how long a range that was given back is not used again */
  constructor(space: SlotSpace, restMs: number) {
    this.#space = space
    this.#restMs = restMs
  }

  /** Slots handed out and not given back. */
  get used(): number {
    return this.#used
  }

  /** Pages that some range was taken from, ever. */
  get pages(): readonly number[] {
    return [...this.#pages]
  }

  /** @throws SlotsExhaustedError */
  allocate(count: number, nowMs: number): BackendRange {
    if (count <= 0) return { first: 0, count: 0 }
    this.#endRest(nowMs)
    const start = this.#bestFit(count) ?? this.#addPage(count)
    this.#take(start, count)
    return { first: start, count }
  }

  /**
   * Takes over ranges that are in use since before; to be called before anything is allocated.
   * @returns those that are whole: not those that another one overlaps, or that are in no page
   */
  takeOver(ranges: readonly BackendRange[]): BackendRange[] {
    const { pageLength, pages } = this.#space
    const taken: BackendRange[] = []
    /** First slot that is not looked at yet, of each page. */
    const next = new Map<number, number>()
    for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
      const { first, count } = range
      const page = Math.floor(first / pageLength)
      const from = next.get(page) ?? page * pageLength
      if (count <= 0 || page >= pages || first + count > (page + 1) * pageLength || first < from) continue
      this.#addFree(from, first - from)
      next.set(page, first + count)
      taken.push(range)
    }
    for (const [page, from] of next) {
      this.#pages.add(page)
      this.#addFree(from, (page + 1) * pageLength - from)
    }
    this.#used = taken.reduce((total, { count }) => total + count, 0)
    return taken
  }

  /** Gives a range back that was allocated or taken over. */
  free(range: BackendRange, nowMs: number): void {
    if (range.count === 0) return
    this.#used -= range.count
    this.#resting.push({ range, sinceMs: nowMs })
  }

  #endRest(nowMs: number): void {
    const ended = this.#resting.findIndex(({ sinceMs }) => nowMs - sinceMs < this.#restMs)
    const over = this.#resting.splice(0, ended < 0 ? this.#resting.length : ended)
    for (const { range } of over) this.#release(range.first, range.count)
  }

  #bestFit(count: number): number | undefined {
    const length = this.#counts[lowerBound(this.#counts, count)]
    if (length === undefined) return undefined
    const [start] = this.#startsByCount.get(length) ?? []
    return start
  }

  #addPage(count: number): number {
    const { pageLength, pages } = this.#space
    let page = 0
    while (this.#pages.has(page)) page++
    if (page >= pages || count > pageLength) throw new SlotsExhaustedError(count, pages, pageLength)
    this.#openPage(page)
    return page * pageLength
  }

  #openPage(page: number): void {
    this.#pages.add(page)
    this.#addFree(page * this.#space.pageLength, this.#space.pageLength)
  }

  #take(start: number, count: number): void {
    const length = this.#countByStart.get(start) ?? 0
    this.#removeFree(start, length)
    this.#addFree(start + count, length - count)
    this.#used += count
  }

  /** Joins what is free on both sides, but never over the border of a page. */
  #release(first: number, count: number): void {
    const { pageLength } = this.#space
    let [start, length] = [first, count]
    const before = start % pageLength === 0 ? undefined : this.#startByEnd.get(start)
    if (before !== undefined) {
      this.#removeFree(before, start - before)
      length += start - before
      start = before
    }
    const end = start + length
    const after = end % pageLength === 0 ? undefined : this.#countByStart.get(end)
    if (after !== undefined) {
      this.#removeFree(end, after)
      length += after
    }
    this.#addFree(start, length)
  }

  #addFree(start: number, count: number): void {
    if (count <= 0) return
    this.#countByStart.set(start, count)
    this.#startByEnd.set(start + count, start)
    const starts = this.#startsByCount.get(count)
    if (starts) starts.add(start)
    else {
      this.#startsByCount.set(count, new Set([start]))
      this.#counts.splice(lowerBound(this.#counts, count), 0, count)
    }
  }

  #removeFree(start: number, count: number): void {
    this.#countByStart.delete(start)
    this.#startByEnd.delete(start + count)
    const starts = this.#startsByCount.get(count)
    starts?.delete(start)
    if (starts?.size !== 0) return
    this.#startsByCount.delete(count)
    this.#counts.splice(lowerBound(this.#counts, count), 1)
  }
}

/** Index of the first number that is not less. */
function lowerBound(sorted: readonly number[], wanted: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) < wanted) low = middle + 1
    else high = middle
  }
  return low
}
