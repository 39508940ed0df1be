// Cuts what a broker says of the versions it speaks down to those that are let through:
// clients then choose versions that can be judged, in which topics have names.

import { KAFKA_ERROR } from './api.ts'
import { KAFKA_APIS } from './catalogue.ts'
import { Malformed, MessageBytes, type Reading, readVarint } from './reader.ts'
import { MessageWriter } from './writer.ts'

type Range = { readonly key: number; readonly from: number; readonly to: number }
type Cut = {
  readonly ranges: readonly Range[]
  readonly errorCode: number
  readonly flexible: boolean
  readonly rest: number
}

/**
 * @param answer a broker's answer to ApiVersions, from its correlation id on
 * @param apiVersion of the request
 * @returns the answer with its length, its other fields as they were; undefined where it is not well-formed
 */
export function capApiVersions(answer: Uint8Array, apiVersion: number): Uint8Array | undefined {
  const input = new MessageBytes(answer.length)
  input.push(answer)
  try {
    const step = readVersions(input, apiVersion >= (KAFKA_APIS.get(18)?.flexibleFrom ?? 3)).next()
    return step.done ? write(answer, step.value) : undefined
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

function* readVersions(input: MessageBytes, requested: boolean): Reading<Cut> {
  yield* input.take(4)
  const at: number = yield* input.take(2)
  const errorCode = input.view.getInt16(at)
  // A broker that does not have the version of the request answers in version 0.
  const flexible = requested && errorCode !== KAFKA_ERROR.UNSUPPORTED_VERSION
  const count = flexible ? (yield* readVarint(input)) - 1 : yield* readCount(input)
  if (count > 0) input.countElements(count)
  const ranges: Range[] = []
  for (let i = 0; i < count; i++) {
    const start: number = yield* input.take(6)
    const { view } = input
    ranges.push({ key: view.getInt16(start), from: view.getInt16(start + 2), to: view.getInt16(start + 4) })
    if (flexible) yield* passTags(input)
  }
  return { ranges: ranges.flatMap(cap), errorCode, flexible, rest: input.consumed }
}

function* readCount(input: MessageBytes): Reading<number> {
  const at: number = yield* input.take(4)
  return input.view.getInt32(at)
}

function* passTags(input: MessageBytes): Reading<void> {
  for (let tags = yield* readVarint(input); tags > 0; tags--) {
    yield* readVarint(input)
    yield* input.pass(yield* readVarint(input))
  }
}

function cap(range: Range): readonly Range[] {
  const api = KAFKA_APIS.get(range.key)
  if (!api) return []
  const [first, last] = api.versions
  const from = Math.max(range.from, first)
  const to = Math.min(range.to, last)
  return from <= to ? [{ key: range.key, from, to }] : []
}

function write(answer: Uint8Array, { ranges, errorCode, flexible, rest }: Cut): Uint8Array {
  const writer = new MessageWriter()
  writer.raw(answer.subarray(0, 4))
  writer.int16(errorCode)
  if (flexible) writer.varint(ranges.length + 1)
  else writer.int32(ranges.length)
  for (const { key, from, to } of ranges) {
    writer.int16(key)
    writer.int16(from)
    writer.int16(to)
    if (flexible) writer.varint(0)
  }
  writer.raw(answer.subarray(rest))
  return writer.frame()
}
