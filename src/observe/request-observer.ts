// Takes what a proxy tells of requests, line by line: keeps the newest, counts them, and
// hands them to whoever watches. Who brings the lines is not its business. The proxy
// keeps what happens while nobody listens, as far as it has room, and says what it lost.
// Lines of requests that passed are kept as they came, and read for whoever asks.

import type { L7Event } from '../tables/index.ts'
import { KEPT_EVENTS, type Observed, Recent } from './recent.ts'
import { isEvent, isObject, isPassed, readLine, writtenOut } from './told-line.ts'

/** Most characters kept of a text, of one in a list, and items of a list: senders choose them. */
const MOST_TEXT = 2048
const MOST_LISTED_TEXT = 128
const MOST_LISTED = 32

export type RequestCount = {
  /** `http`, `dns`, `kafka` or `tls`. */
  readonly protocol: string
  readonly verdict: string
  readonly count: number
}

const NEWLINE = 0x0a

export class RequestObserver {
  /** Lost before they came here, and lines that are no events. */
  lost = 0
  /** By slot: events, or the bytes that they are in, from where to where. Nothing is made for a line that only passes through. */
  readonly #kept: (L7Event | Buffer)[] = []
  readonly #starts = new Uint32Array(KEPT_EVENTS)
  readonly #ends = new Uint32Array(KEPT_EVENTS)
  readonly #recent = new Recent<L7Event>(slot => this.#eventIn(slot))
  readonly #counts = new Map<string, { protocol: string; verdict: string; count: number }>()

  get received(): number {
    return this.#recent.received
  }

  /** Since the start, by protocol and verdict. */
  counts(): RequestCount[] {
    return [...this.#counts.keys()].sort().flatMap(key => this.#counts.get(key) ?? [])
  }

  /** Takes whole lines of the stream, and keeps the bytes. What is no event counts as lost. */
  takeLines(bytes: Buffer): void {
    let passed = 0
    for (let start = 0, end = bytes.indexOf(NEWLINE); end >= 0; start = end + 1, end = bytes.indexOf(NEWLINE, start))
      if (isPassed(bytes, start, end)) {
        passed++
        const slot = this.#recent.nextSlot()
        this.#kept[slot] = bytes
        this.#starts[slot] = start
        this.#ends[slot] = end
      } else this.#take(readLine(bytes.toString('utf8', start, end)))
    if (passed > 0) this.#count('http', 'FORWARDED', passed)
    this.#recent.wake()
  }

  /** Takes one line that was read. */
  take(told: unknown): void {
    this.#take(writtenOut(told))
    this.#recent.wake()
  }

  #take(line: unknown): void {
    const missed = missedOf(line)
    if (missed !== undefined) this.lost += missed
    else if (!isEvent(line)) this.lost++
    else {
      this.#count(line.content.parser, line.verdict, 1)
      this.#kept[this.#recent.nextSlot()] = bounded(line) as L7Event
    }
  }

  /** Undefined for a line that turns out to be no event. */
  #eventIn(slot: number): L7Event | undefined {
    const kept = this.#kept[slot]
    if (!Buffer.isBuffer(kept)) return kept
    const line = readLine(kept.toString('utf8', this.#starts[slot], this.#ends[slot]))
    return isEvent(line) ? (bounded(line) as L7Event) : undefined
  }

  /** The requests that are kept, the newest first. To be read in one go. */
  newestFirst(): Generator<L7Event> {
    return this.#recent.newestFirst()
  }

  /** Requests from this call on, until the signal is aborted. A watcher that lags behind what is kept loses the oldest. */
  watch(signal: AbortSignal): AsyncGenerator<Observed<L7Event>> {
    return this.#recent.watch(signal)
  }

  #count(protocol: string, verdict: string, more: number): void {
    const key = `${protocol} ${verdict}`
    const known = this.#counts.get(key)
    if (known) known.count += more
    else this.#counts.set(key, { protocol, verdict, count: more })
  }
}

function missedOf(line: unknown): number | undefined {
  const missed = isObject(line) ? line['missed'] : undefined
  return Number.isSafeInteger(missed) && (missed as number) > 0 ? (missed as number) : undefined
}

/** The same with long texts and lists cut off. */
function bounded(value: unknown, most = MOST_TEXT): unknown {
  if (typeof value === 'string') return value.length > most ? `${value.slice(0, most)}…` : value
  if (Array.isArray(value)) return value.slice(0, MOST_LISTED).map(item => bounded(item, MOST_LISTED_TEXT))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, bounded(field, most)]))
}
