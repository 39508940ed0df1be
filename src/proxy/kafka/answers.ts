// What a client gets back: the broker's answers as they come, and ours between them, in
// the order of the requests, as clients of Kafka rely on it. An answer that nobody asked
// for ends the connection.

import { FrameCutter, type FrameHandler, lengthPrefix } from './frames.ts'

/** Of an answer that is changed: what is said of all topics of a cluster. */
const MAX_COLLECTED_BYTES = 16 << 20

export type FromBroker = {
  readonly correlationId: number
  /** It is not known whether the request wanted an answer. */
  readonly mayBeAbsent?: boolean
  /** Makes of an answer, from its correlation id on, what the client gets; undefined where it is not well-formed. */
  readonly change?: ((answer: Uint8Array) => Uint8Array | undefined) | undefined
  /** Called when the first bytes of the answer are there; `false` when they never came. */
  readonly answered: (isThere: boolean) => void
}

export type AnswersPort = {
  toClient(bytes: Uint8Array): void
  close(reason: string): void
}

export class Answers implements FrameHandler {
  readonly #port: AnswersPort
  readonly #cutter = new FrameCutter(this)
  /** Ours as bytes. One that has begun stays until its last byte. */
  #queue: (FromBroker | Uint8Array)[] = []
  #length = 0
  readonly #correlation = new Uint8Array(4)
  #correlationBytes = 0
  #collected: Uint8Array[] | undefined
  #isRaw = false

  constructor(port: AnswersPort) {
    this.#port = port
  }

  /** Requests that are not answered yet. */
  get outstanding(): number {
    return this.#queue.length
  }

  expect(answer: FromBroker): void {
    this.#queue.push(answer)
  }

  /** An answer of our own, with its length, to the request that came last. */
  give(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    this.#flush()
  }

  /** From now on all is passed as it is. @returns false where answers are outstanding, of which nobody could tell the end */
  makeRaw(): boolean {
    this.#isRaw = this.#queue.length === 0
    return this.#isRaw
  }

  fromBroker(chunk: Uint8Array): void {
    if (this.#isRaw) this.#port.toClient(chunk)
    else this.#cutter.push(chunk)
  }

  /** The connection is at its end. */
  abandon(): void {
    const queue = this.#queue
    this.#queue = []
    for (const each of queue) if (!(each instanceof Uint8Array)) each.answered(false)
  }

  begin(length: number): boolean {
    this.#length = length
    this.#correlationBytes = 0
    this.#collected = undefined
    return length >= 4 || this.#close(`the broker sent an answer of ${length} bytes`)
  }

  piece(bytes: Uint8Array): boolean {
    let rest = bytes
    if (this.#correlationBytes < 4) {
      const part = rest.subarray(0, 4 - this.#correlationBytes)
      this.#correlation.set(part, this.#correlationBytes)
      this.#correlationBytes += part.length
      rest = rest.subarray(part.length)
      if (this.#correlationBytes < 4) return true
      if (!this.#start()) return false
    }
    if (this.#collected) this.#collected.push(rest.slice())
    else if (rest.length > 0) this.#port.toClient(rest)
    return true
  }

  end(): boolean {
    const answer = this.#queue.shift()
    if (this.#collected && answer && !(answer instanceof Uint8Array)) {
      const changed = answer.change?.(Buffer.concat(this.#collected))
      if (!changed) return this.#close('the broker sent an answer that is not well-formed')
      this.#port.toClient(changed)
    }
    this.#flush()
    return true
  }

  /** The correlation id is there. */
  #start(): boolean {
    const correlationId = new DataView(this.#correlation.buffer).getInt32(0)
    this.#passAbsent(correlationId)
    const [answer] = this.#queue
    if (!answer || answer instanceof Uint8Array || answer.correlationId !== correlationId)
      return this.#close(`the broker answered a request ${correlationId} that is not the next one`)
    answer.answered(true)
    if (!answer.change) {
      this.#port.toClient(lengthPrefix(this.#length))
      this.#port.toClient(this.#correlation.slice())
      return true
    }
    this.#collected = [this.#correlation.slice()]
    return this.#length <= MAX_COLLECTED_BYTES || this.#close('the broker sent a very long answer')
  }

  /** A later request is answered: those before it that may have wanted no answer have none. */
  #passAbsent(correlationId: number): void {
    for (let first = this.#queue[0]; first && !(first instanceof Uint8Array); first = this.#queue[0]) {
      if (!first.mayBeAbsent || first.correlationId === correlationId) return
      first.answered(false)
      this.#queue.shift()
      this.#flush()
    }
  }

  #flush(): void {
    for (let first = this.#queue[0]; first instanceof Uint8Array; first = this.#queue[0]) {
      this.#port.toClient(first)
      this.#queue.shift()
    }
  }

  #close(reason: string): false {
    this.#port.close(reason)
    return false
  }
}
