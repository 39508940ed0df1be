// Reads a request as far as it must be understood to be judged: its header, the topics
// that it names, and what an answer that denies it has to repeat. It takes any bytes and
// refuses what is not well-formed, not known or not of a version that is let through.

import type { Api, Topics } from './api.ts'
import { KAFKA_APIS } from './catalogue.ts'
import { Malformed, MessageBytes, type Reading, readFields, readHeaderText, readTags } from './reader.ts'

export type RequestHeader = {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | undefined
}

export type KafkaRequest = {
  readonly header: RequestHeader
  readonly api: Api
  /** `undefined`: all topics, or some without a name. Empty: it is about no topic. */
  readonly topics: Topics
  /** By the names of the kind's fields. */
  readonly body: Readonly<Record<string, unknown>>
  /** Where the body begins, from the start of the header. */
  readonly bodyOffset: number
}

export type Refusal = {
  /** `version`: the kind or its version is not let through. `malformed`: it is no request of Kafka. */
  readonly code: 'version' | 'malformed'
  /** For people. */
  readonly reason: string
  /** As far as it was read. */
  readonly header?: RequestHeader
}

/** The longest request that a broker takes unless told otherwise (socket.request.max.bytes). */
export const MAX_REQUEST_BYTES = 100 << 20
/** Key, version and correlation id. */
export const MIN_REQUEST_BYTES = 8

/** Reads one request in pieces. Memory: what is not understood yet, and the names and numbers that were read. */
export class RequestReader {
  readonly #bytes: MessageBytes
  readonly #reading: Reading<void>
  readonly #body: Record<string, unknown> = {}
  #header: RequestHeader | undefined
  #api: Api | undefined
  #bodyOffset = 0
  #refusal: Refusal | undefined
  #complete = false

  /** @param length of the request, without the 4 bytes that tell it */
  constructor(length: number) {
    this.#bytes = new MessageBytes(length)
    this.#reading = this.#read()
    if (length < MIN_REQUEST_BYTES || length > MAX_REQUEST_BYTES)
      this.#refusal = { code: 'malformed', reason: `a request cannot be of ${length} bytes` }
  }

  /** No more than the request's own bytes. @returns why the request is refused, from then on always */
  push(chunk: Uint8Array): Refusal | undefined {
    if (this.#refusal || this.#complete) return this.#refusal
    try {
      this.#bytes.push(chunk)
      this.#complete = this.#reading.next().done === true
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#refuse('malformed', error.message)
    }
    return this.#refusal
  }

  get header(): RequestHeader | undefined {
    return this.#header
  }

  /** What the request is once it is complete; before that, with the topics that were named so far. */
  get soFar(): KafkaRequest | undefined {
    if (!this.#header || !this.#api || this.#refusal) return undefined
    const { apiVersion } = this.#header
    return {
      header: this.#header,
      api: this.#api,
      topics: this.#bodyOffset > 0 && this.#api.topics ? this.#api.topics(this.#body, apiVersion) : [],
      body: this.#body,
      bodyOffset: this.#bodyOffset,
    }
  }

  get request(): KafkaRequest | undefined {
    return this.#complete ? this.soFar : undefined
  }

  #refuse(code: Refusal['code'], reason: string): void {
    this.#refusal = { code, reason, ...(this.#header && { header: this.#header }) }
  }

  *#read(): Reading<void> {
    const bytes = this.#bytes
    const at: number = yield* bytes.take(MIN_REQUEST_BYTES)
    const numbers = {
      apiKey: bytes.view.getInt16(at),
      apiVersion: bytes.view.getInt16(at + 2),
      correlationId: bytes.view.getInt32(at + 4),
    }
    this.#header = { ...numbers, clientId: undefined }
    const api = KAFKA_APIS.get(numbers.apiKey)
    const known = api && numbers.apiVersion >= api.versions[0] && numbers.apiVersion <= api.versions[1]
    // Keys and versions are small: these are bytes of something else.
    if (numbers.apiKey < 0 || numbers.apiVersion < 0 || numbers.apiKey > 1000 || numbers.apiVersion > 1000)
      throw new Malformed('it does not begin as a request of Kafka')
    const clientId = (yield* readHeaderText(bytes)) ?? undefined
    this.#header = { ...numbers, clientId }
    if (!api || !known) {
      this.#refuse(
        'version',
        `version ${numbers.apiVersion} of ${api?.name ?? `key ${numbers.apiKey}`} is not let through`,
      )
      return
    }
    const layout = { version: numbers.apiVersion, flexible: numbers.apiVersion >= api.flexibleFrom }
    if (layout.flexible) yield* readTags(bytes)
    this.#api = api
    if (api.request) {
      const reading = readFields(api.request, bytes, layout, this.#body)
      this.#bodyOffset = bytes.consumed
      yield* reading
      if (bytes.left > 0) throw new Malformed('it is longer than its fields')
    } else yield* bytes.pass(bytes.left)
  }
}

/** A request that is there as a whole. */
export function parseRequest(bytes: Uint8Array): KafkaRequest | Refusal {
  const reader = new RequestReader(bytes.length)
  const refusal = reader.push(bytes)
  return refusal ?? reader.request ?? { code: 'malformed', reason: 'it ends too early' }
}
