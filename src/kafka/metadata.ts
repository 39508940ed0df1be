// Metadata for a client that may know some topics and others not, as brokers with access
// lists of their own answer it: of a list of topics those that it may not know are an
// error each, and are not asked for (a broker would make them); of all topics the others
// are left out. Clients ask for all their topics at once, so that one topic too many
// would take the others from them.

import { KAFKA_ERROR } from './api.ts'
import { METADATA } from './catalogue.ts'
import { Malformed, MessageBytes, type Reading, readFields, readTags } from './reader.ts'
import type { KafkaRequest } from './request.ts'
import { MessageWriter, writeFields } from './writer.ts'

/** Of one answer: replicas count too. */
const MAX_ANSWER_ELEMENTS = 5_000_000

export type MetadataCut = {
  /** With its length. */
  readonly request: Uint8Array
  readonly asked: readonly string[]
  readonly denied: readonly string[]
  /** @param answer from its correlation id on. @returns it with its length; undefined where it is not well-formed */
  cut(answer: Uint8Array): Uint8Array | undefined
}

type Topic = { readonly name: string | null; readonly id: Uint8Array }
type Layout = { readonly version: number; readonly flexible: boolean }

/** @returns undefined for other requests, and where nothing is left that could be asked */
export function cutMetadata(request: KafkaRequest, isAllowed: (topic: string) => boolean): MetadataCut | undefined {
  const { api, header, body } = request
  if (api.key !== METADATA || !api.request) return undefined
  const layout = { version: header.apiVersion, flexible: header.apiVersion >= api.flexibleFrom }
  const given = body['topics'] as readonly Topic[] | null
  // In version 0 no topics stand for all of them.
  const isAboutAll = given === null || (layout.version === 0 && given.length === 0)
  const topics = given ?? []
  const asked = topics.filter(({ name }) => name !== null && isAllowed(name))
  const denied = topics.filter(topic => !asked.includes(topic))
  if (layout.version === 0 && !isAboutAll && asked.length === 0) return undefined
  return {
    request: writeRequest(request, { ...body, topics: given && asked }, layout),
    asked: namesOf(asked),
    denied: namesOf(denied),
    cut: answer =>
      rewrite(request, answer, layout, topics => [
        ...topics.filter(({ name }) => !isAboutAll || (name !== null && isAllowed(name))),
        ...denied.map(({ name, id }) => ({ name, id, errorCode: KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED })),
      ]),
  }
}

const namesOf = (topics: readonly Topic[]): readonly string[] => topics.flatMap(({ name }) => name ?? [])

function writeRequest({ api, header }: KafkaRequest, body: Record<string, unknown>, layout: Layout): Uint8Array {
  const writer = new MessageWriter()
  writer.int16(header.apiKey)
  writer.int16(header.apiVersion)
  writer.int32(header.correlationId)
  writer.headerText(header.clientId)
  if (layout.flexible) writer.varint(0)
  writeFields(api.request ?? {}, body, writer, layout)
  return writer.frame()
}

function rewrite(
  { api }: KafkaRequest,
  answer: Uint8Array,
  layout: Layout,
  change: (topics: readonly Topic[]) => readonly object[],
): Uint8Array | undefined {
  const fields = api.response ?? {}
  const input = new MessageBytes(answer.length, MAX_ANSWER_ELEMENTS)
  const values: Record<string, unknown> = {}
  function* read(): Reading<void> {
    yield* input.take(4)
    if (layout.flexible) yield* readTags(input)
    yield* readFields(fields, input, layout, values)
  }
  try {
    input.push(answer)
    if (!read().next().done || input.left > 0) return undefined
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
  const writer = new MessageWriter()
  writer.raw(answer.subarray(0, 4))
  if (layout.flexible) writer.varint(0)
  writeFields(fields, { ...values, topics: change(values['topics'] as readonly Topic[]) }, writer, layout)
  return writer.frame()
}
