// Requests as @platformatic/kafka encodes them, and its own reading of answers: for tests
// of what we read and write. The client knows every version with a name such as fetchV12.

import * as client from '@platformatic/kafka'

type Bytes = { readonly buffer: Buffer }
type Module = {
  createRequest(...args: readonly unknown[]): Bytes
  parseResponse(correlationId: number, apiKey: number, apiVersion: number, reader: unknown): unknown
  readonly api: (connection: unknown, ...args: readonly unknown[]) => void
}

export type ClientRequest = {
  readonly apiKey: number
  readonly apiVersion: number
  /** From the header on, without the length. */
  readonly bytes: Buffer
  /** An answer from its correlation id on, without the length. @throws what the client throws on errors in it */
  parse(answer: Uint8Array): unknown
}

export const CLIENT_ID = 'client-1'
export const CORRELATION_ID = 77

/** @param name of the kind, such as `fetch`. @returns undefined where the client does not have the version */
export function clientRequest(name: string, version: number, args: readonly unknown[]): ClientRequest | undefined {
  const module = (client as unknown as Record<string, Module | undefined>)[`${name}V${version}`]
  if (!module) return undefined
  let captured: ClientRequest | undefined
  // What the client hands to its connection: the only place that tells whether headers have tags.
  const send = (
    apiKey: number,
    apiVersion: number,
    _create: unknown,
    parse: Module['parseResponse'],
    requestTags: boolean,
    answerTags: boolean,
  ): void => {
    const header = client.Writer.create()
      .appendInt16(apiKey)
      .appendInt16(apiVersion)
      .appendInt32(CORRELATION_ID)
      .appendString(CLIENT_ID, false)
    if (requestTags) header.appendTaggedFields()
    const bytes = Buffer.concat([header.buffer, module.createRequest(...args).buffer])
    captured = { apiKey, apiVersion, bytes, parse: answer => read(parse, apiKey, apiVersion, answer, answerTags) }
  }
  module.api({ send }, ...args)
  return captured
}

function read(
  parse: Module['parseResponse'],
  key: number,
  version: number,
  answer: Uint8Array,
  tags: boolean,
): unknown {
  const reader = client.Reader.from(Buffer.from(answer))
  const correlationId = reader.readInt32()
  if (correlationId !== CORRELATION_ID) throw new Error(`answer to another request: ${correlationId}`)
  if (tags) reader.readTaggedFields()
  const parsed: { value?: unknown; error?: unknown } = {}
  try {
    parsed.value = parse(correlationId, key, version, reader)
  } catch (error) {
    parsed.error = error
  }
  if (reader.remaining !== 0) throw new Error(`the client left ${reader.remaining} bytes of the answer unread`)
  if (parsed.error) throw parsed.error
  return parsed.value
}
