// What the servers tell of each request, between them and whoever follows. It is kept as
// it came and read only for a follower, so that tens of thousands a second cost little.
// Bounded: where nobody takes it in time, the oldest goes and is counted. Every record is
// given to each follower once, or counted as missed by it.

const NEWLINE = 0x0a
const MAX_WAITING_BYTES = 16 << 20
const MAX_RECORD_BYTES = 1 << 18
const RATE_WINDOW_MS = 1_000

/** How a server writes records. */
export type RecordFormat = {
  /** How many whole records the bytes begin with, and where these end. @throws where they are none */
  measure(bytes: Buffer): { readonly records: number; readonly end: number }
  /** Whole records as lines of JSON, each an `L7EventLine`. */
  lines(bytes: Buffer): Buffer
}

/** Lines of JSON already. */
export const EVENT_LINES: RecordFormat = {
  measure(bytes) {
    let records = 0
    let end = 0
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, end)) {
      records++
      end = at + 1
    }
    return { records, end }
  },
  lines: bytes => bytes,
}

type Chunk = { readonly first: number; readonly records: number; readonly bytes: Buffer; readonly format: RecordFormat }

export class EventLog {
  readonly #maxBytes: number
  readonly #nowMs: () => number
  #chunks: Chunk[] = []
  #waitingBytes = 0
  /** Number of the next record. */
  #next = 0
  /** Records below have been taken by somebody. */
  #taken = 0
  #lost = 0
  #followers = new Set<{ cursor: number; wake: () => void }>()
  #window = { startMs: 0, records: 0, perSecond: 0 }

  constructor(options: { readonly maxBytes?: number; readonly nowMs?: () => number } = {}) {
    this.#maxBytes = options.maxBytes ?? MAX_WAITING_BYTES
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  /** Takes what a server writes until it closes. @throws where the server breaks its format */
  async take(stream: AsyncIterable<unknown>, format: RecordFormat = EVENT_LINES): Promise<void> {
    let rest: Buffer | undefined
    for await (const data of stream) {
      const bytes = rest ? Buffer.concat([rest, data as Buffer]) : (data as Buffer)
      const { records, end } = format.measure(bytes)
      if (records > 0) this.#push({ first: this.#next, records, bytes: bytes.subarray(0, end), format })
      rest = end < bytes.length ? bytes.subarray(end) : undefined
      if (rest && rest.length > MAX_RECORD_BYTES)
        throw new RangeError(`a record of more than ${MAX_RECORD_BYTES} bytes`)
    }
  }

  /** Lines of what nobody has taken yet, then of what comes; the generator ends with the signal. */
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
    const { startMs, records, perSecond } = this.#window
    const elapsedMs = this.#nowMs() - startMs
    return {
      received: this.#next,
      lost: this.#lost,
      perSecond: Math.round(elapsedMs > RATE_WINDOW_MS ? (1000 * records) / elapsedMs : perSecond),
      waitingBytes: this.#waitingBytes,
      followers: this.#followers.size,
    }
  }

  #push(chunk: Chunk): void {
    this.#chunks.push(chunk)
    this.#waitingBytes += chunk.bytes.length
    this.#next += chunk.records
    this.#countRate(chunk.records)
    while (this.#waitingBytes > this.#maxBytes) this.#drop()
    for (const { wake } of this.#followers) wake()
  }

  #read(cursor: number): [Buffer | { readonly missed: number } | undefined, number] {
    const [oldest] = this.#chunks
    const first = oldest?.first ?? this.#next
    if (cursor < first) return [{ missed: first - cursor }, first]
    const chunk = this.#chunks.find(({ first: from, records }) => cursor < from + records)
    return chunk ? [chunk.format.lines(chunk.bytes), chunk.first + chunk.records] : [undefined, cursor]
  }

  /** Lets go of what every follower has. */
  #release(): void {
    const slowest = Math.min(...[...this.#followers].map(({ cursor }) => cursor))
    while (this.#chunks[0] && this.#chunks[0].first + this.#chunks[0].records <= slowest) this.#shift()
  }

  #drop(): void {
    const gone = this.#shift()
    if (gone) this.#lost += gone.records
  }

  #shift(): Chunk | undefined {
    const gone = this.#chunks.shift()
    if (gone) this.#waitingBytes -= gone.bytes.length
    return gone
  }

  #countRate(records: number): void {
    const nowMs = this.#nowMs()
    const elapsedMs = nowMs - this.#window.startMs
    if (elapsedMs > RATE_WINDOW_MS)
      this.#window = { startMs: nowMs, records: 0, perSecond: (1000 * this.#window.records) / elapsedMs }
    this.#window.records += records
  }
}
