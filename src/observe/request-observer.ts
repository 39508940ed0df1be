// Takes what a proxy tells of requests, line by line: keeps the newest, counts them, and
// hands them to whoever watches. Who brings the lines is not its business. The proxy
// keeps what happens while nobody listens, as far as it has room, and says what it lost.

import type { L7Event } from '../tables/index.ts'
import { eventOfHttpRecord } from './http-record.ts'
import { type Observed, Recent } from './recent.ts'
import { eventOfTlsRecord } from './tls-record.ts'

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

const PARSERS: ReadonlySet<string> = new Set(['http', 'dns', 'kafka', 'tls'])
const VERDICTS: ReadonlySet<string> = new Set(['FORWARDED', 'DROPPED', 'REDIRECTED', 'ERROR'])

export class RequestObserver {
  /** Lost before they came here, and lines that are no events. */
  lost = 0
  readonly #kept: L7Event[] = []
  readonly #recent = new Recent<L7Event>(slot => {
    const event = this.#kept[slot]
    if (!event) throw new Error(`there is no request in slot ${slot}`)
    return event
  })
  readonly #counts = new Map<string, { protocol: string; verdict: string; count: number }>()

  get received(): number {
    return this.#recent.received
  }

  /** Since the start, by protocol and verdict. */
  counts(): RequestCount[] {
    return [...this.#counts.keys()].sort().flatMap(key => this.#counts.get(key) ?? [])
  }

  /** Takes one line of the stream. What is no event counts as lost. */
  take(told: unknown): void {
    const line = lineOf(told)
    const missed = missedOf(line)
    if (missed !== undefined) this.lost += missed
    else if (!isEvent(line)) this.lost++
    else {
      this.#count(line)
      const event = bounded(line) as L7Event
      this.#kept[this.#recent.nextSlot()] = event
      this.#recent.wake()
    }
  }

  /** The requests that are kept, the newest first. To be read in one go. */
  newestFirst(): Generator<L7Event> {
    return this.#recent.newestFirst()
  }

  /** Requests from this call on, until the signal is aborted. A watcher that lags behind what is kept loses the oldest. */
  watch(signal: AbortSignal): AsyncGenerator<Observed<L7Event>> {
    return this.#recent.watch(signal)
  }

  #count({ content: { parser: protocol }, verdict }: L7Event): void {
    const key = `${protocol} ${verdict}`
    const known = this.#counts.get(key)
    if (known) known.count++
    else this.#counts.set(key, { protocol, verdict, count: 1 })
  }
}

/** Written out, where HAProxy tells it in short. */
function lineOf(told: unknown): unknown {
  if (!isObject(told)) return told
  if ('http' in told) return eventOfHttpRecord(told['http'])
  return 'tls' in told ? eventOfTlsRecord(told['tls']) : told
}

function missedOf(line: unknown): number | undefined {
  const missed = isObject(line) ? line['missed'] : undefined
  return Number.isSafeInteger(missed) && (missed as number) > 0 ? (missed as number) : undefined
}

/** As far as a proxy of another version might have it differently. */
function isEvent(line: unknown): line is L7Event {
  if (!isObject(line) || !Number.isFinite(line['timeMicros']) || !VERDICTS.has(line['verdict'] as string)) return false
  const { opener, responder, egress, ingress, content } = line
  return (
    [opener, responder].every(end => isObject(end) && typeof end['address'] === 'string') &&
    [egress, ingress].every(side => isObject(side) && Number.isInteger(side['set'])) &&
    isObject(content) &&
    PARSERS.has(content['parser'] as string)
  )
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

/** The same with long texts and lists cut off. */
function bounded(value: unknown, most = MOST_TEXT): unknown {
  if (typeof value === 'string') return value.length > most ? `${value.slice(0, most)}…` : value
  if (Array.isArray(value)) return value.slice(0, MOST_LISTED).map(item => bounded(item, MOST_LISTED_TEXT))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, bounded(field, most)]))
}
