// What the servers tell of each request, between them and whoever follows: lines that
// nobody here reads, so that tens of thousands a second cost next to nothing. Bounded:
// where nobody takes them in time, the oldest go and are counted. Every line is given to
// each follower once, or counted as missed by it.

import { setTimeout as sleep } from 'node:timers/promises'

const NEWLINE = 0x0a
const MAX_WAITING_BYTES = 16 << 20
const MAX_LINE_BYTES = 1 << 18
const RATE_WINDOW_MS = 1_000
/** How long lines are let gather where there are few of them. A stream that is not read keeps some itself. */
const GATHER_MS = 10
const MANY_BYTES = 32 << 10

type Chunk = { readonly first: number; readonly lines: number; readonly bytes: Buffer }

export class EventLog {
  readonly #maxBytes: number
  readonly #nowMs: () => number
  #chunks: Chunk[] = []
  #waitingBytes = 0
  /** Number of the next line. */
  #next = 0
  /** Lines below have been taken by somebody. */
  #taken = 0
  #lost = 0
  #followers = new Set<{ cursor: number; wake: () => void }>()
  #window = { startMs: 0, lines: 0, perSecond: 0 }

  constructor(options: { readonly maxBytes?: number; readonly nowMs?: () => number } = {}) {
    this.#maxBytes = options.maxBytes ?? MAX_WAITING_BYTES
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** Takes what a server writes until it closes. @throws RangeError for a line that does not end */
  async take(stream: AsyncIterable<unknown>): Promise<void> {
    let rest: Buffer | undefined
    for await (const data of stream) {
      const bytes = rest ? Buffer.concat([rest, data as Buffer]) : (data as Buffer)
      const end = bytes.lastIndexOf(NEWLINE) + 1
      if (end > 0) this.#push(bytes.subarray(0, end))
      rest = end < bytes.length ? bytes.subarray(end) : undefined
      if (rest && rest.length > MAX_LINE_BYTES) throw new RangeError(`a line of more than ${MAX_LINE_BYTES} bytes`)
      // Every read, and every step from here to the agent, costs as much for one line as for hundreds.
      if (bytes.length < MANY_BYTES) await sleep(GATHER_MS)
    }
  }

  /** Lines that nobody has taken yet, then those that come, many at a time; ends with the signal. */
  async *follow(signal: AbortSignal): AsyncGenerator<Buffer | { readonly missed: number }> {
    const follower = { cursor: this.#taken, wake: () => undefined as void }
    this.#followers.add(follower)
    signal.addEventListener('abort', () => follower.wake(), { once: true })
    try {
      while (!signal.aborted) {
        const [item, cursor] = this.#read(follower.cursor)
        if (item === undefined) {
          await new Promise<void>(resolve => {
            follower.wake = resolve
          })
          continue
        }
        // Taken when it is handed over: what a follower that ends has not asked for is for the next one.
        yield item
        follower.cursor = cursor
        this.#taken = Math.max(this.#taken, cursor)
        this.#release()
      }
    } finally {
      this.#followers.delete(follower)
    }
  }

  get counts() {
    const { startMs, lines, perSecond } = this.#window
    const elapsedMs = this.#nowMs() - startMs
    return {
      received: this.#next,
      lost: this.#lost,
      perSecond: Math.round(elapsedMs > RATE_WINDOW_MS ? (1000 * lines) / elapsedMs : perSecond),
      waitingBytes: this.#waitingBytes,
      followers: this.#followers.size,
    }
  }

  #push(bytes: Buffer): void {
    const lines = countLines(bytes)
    this.#chunks.push({ first: this.#next, lines, bytes })
    this.#waitingBytes += bytes.length
    this.#next += lines
    this.#countRate(lines)
    while (this.#waitingBytes > this.#maxBytes) this.#drop()
    for (const { wake } of this.#followers) wake()
  }

  #read(cursor: number): [Buffer | { readonly missed: number } | undefined, number] {
    const [oldest] = this.#chunks
    const first = oldest?.first ?? this.#next
    if (cursor < first) return [{ missed: first - cursor }, first]
    const chunk = this.#chunks.find(({ first: from, lines }) => cursor < from + lines)
    return chunk ? [chunk.bytes, chunk.first + chunk.lines] : [undefined, cursor]
  }

  /** Lets go of what every follower has. */
  #release(): void {
    const slowest = Math.min(...[...this.#followers].map(({ cursor }) => cursor))
    while (this.#chunks[0] && this.#chunks[0].first + this.#chunks[0].lines <= slowest) this.#shift()
  }

  #drop(): void {
    const gone = this.#shift()
    if (gone) this.#lost += gone.lines
  }

  #shift(): Chunk | undefined {
    const gone = this.#chunks.shift()
    if (gone) this.#waitingBytes -= gone.bytes.length
    return gone
  }

  #countRate(lines: number): void {
    const nowMs = this.#nowMs()
    const elapsedMs = nowMs - this.#window.startMs
    if (elapsedMs > RATE_WINDOW_MS)
      this.#window = { startMs: nowMs, lines: 0, perSecond: (1000 * this.#window.lines) / elapsedMs }
    this.#window.lines += lines
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++
  return lines
}
