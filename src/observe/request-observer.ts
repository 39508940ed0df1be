// Takes what a proxy tells of requests, line by line: keeps the newest, counts them, and
// hands them to whoever watches. Who brings the lines is not its business. The proxy
// keeps what happens while nobody listens, as far as it has room, and says what it lost.
// Lines of requests that passed are kept as they came, and read for whoever asks.

import type { L7Event } from '../tables/index.ts'
import { type Observed, Recent } from './recent.ts'
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

/** An event, or the line that it is in. */
type Kept = L7Event | { readonly bytes: Buffer; readonly start: number; readonly end: number }

export class RequestObserver {
  /** Lost before they came here, and lines that are no events. */
  lost = 0
  readonly #kept: Kept[] = []
  readonly #recent = new Recent<L7Event>(slot => {
    const kept = this.#kept[slot]
    return kept && 'bytes' in kept ? readKept(kept) : kept
  })
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
    for (let start = 0, end = bytes.indexOf(NEWLINE); end >= 0; start = end + 1, end = bytes.indexOf(NEWLINE, start))
      if (isPassed(bytes, start, end)) {
        this.#count('http', 'FORWARDED')
        this.#keep({ bytes, start, end })
      } else this.#take(readLine(bytes.toString('utf8', start, end)))
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
      this.#count(line.content.parser, line.verdict)
      this.#keep(bounded(line) as L7Event)
    }
  }

  #keep(kept: Kept): void {
    this.#kept[this.#recent.nextSlot()] = kept
  }

  /** The requests that are kept, the newest first. To be read in one go. */
  newestFirst(): Generator<L7Event> {
    return this.#recent.newestFirst()
  }

  /** Requests from this call on, until the signal is aborted. A watcher that lags behind what is kept loses the oldest. */
  watch(signal: AbortSignal): AsyncGenerator<Observed<L7Event>> {
    return this.#recent.watch(signal)
  }

  #count(protocol: string, verdict: string): void {
    const key = `${protocol} ${verdict}`
    const known = this.#counts.get(key)
    if (known) known.count++
    else this.#counts.set(key, { protocol, verdict, count: 1 })
  }
}

/** @returns undefined for what turns out to be no event */
function readKept({ bytes, start, end }: Exclude<Kept, L7Event>): L7Event | undefined {
  const line = readLine(bytes.toString('utf8', start, end))
  return isEvent(line) ? (bounded(line) as L7Event) : undefined
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
