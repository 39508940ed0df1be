// Reads messages as their bytes come. A reader is told how long the message is, takes
// its bytes in pieces of any size, and keeps only what it has not understood yet. It
// reads nothing beyond the message and makes no more elements than MAX_ELEMENTS, so its
// memory is bounded whatever the bytes are. What is not well-formed ends in `Malformed`,
// which callers in this folder turn into a refusal.

import { type Field, type FieldKind, type Fields, inVersion, isField, mayBeNull, type Span } from './schema.ts'

/** Of all lists of one request together. */
export const MAX_ELEMENTS = 100_000
/** What a length of 16 bits can say; later versions have room for more and do not use it. */
const MAX_TEXT_BYTES = 32_767

/** Thrown inside of this folder alone. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

export type Layout = { readonly version: number; readonly flexible: boolean }

/** Suspended where bytes are missing; it is continued when some have come. */
export type Reading<T> = Generator<undefined, T, undefined>

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bytes of one message: those that have come and have not been read yet. */
export class MessageBytes {
  #view: DataView = new DataView(new ArrayBuffer(0))
  #position = 0
  #consumed = 0
  #skip = 0
  #elements = 0
  readonly length: number
  readonly #maxElements: number

  constructor(length: number, maxElements = MAX_ELEMENTS) {
    this.length = length
    this.#maxElements = maxElements
  }

  /** How many bytes of the message have been read. */
  get consumed(): number {
    return this.#consumed
  }

  push(chunk: Uint8Array): void {
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    const rest = this.#view.byteLength - this.#position
    const fresh = chunk.subarray(skipped)
    const joined = rest === 0 ? fresh : new Uint8Array(rest + fresh.length)
    if (rest > 0) {
      joined.set(new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#position, rest))
      joined.set(fresh, rest)
    }
    this.#view = new DataView(joined.buffer, joined.byteOffset, joined.length)
    this.#position = 0
  }

  /** Where the next `count` bytes are in `view`, which is to be asked for after this; they count as read. */
  *take(count: number): Reading<number> {
    for (;;) {
      const at = this.takeNow(count)
      if (at >= 0) return at
      yield
    }
  }

  /** As `take`, for what is there already. @returns -1 when it is not */
  takeNow(count: number): number {
    this.#within(count)
    if (this.#view.byteLength - this.#position < count) return -1
    const at = this.#position
    this.#position += count
    this.#consumed += count
    return at
  }

  /** Passes over a byte that is there and is 0: no tags follow, as is nearly always so. */
  passZero(): boolean {
    if (this.#position >= this.#view.byteLength || this.#view.getUint8(this.#position) !== 0) return false
    return this.takeNow(1) >= 0
  }

  /** Passes over bytes without keeping them. */
  *pass(count: number): Reading<void> {
    this.#within(count)
    const here = Math.min(count, this.#view.byteLength - this.#position)
    this.#position += here
    this.#consumed += count
    this.#skip = count - here
    while (this.#skip > 0) yield
  }

  get view(): DataView {
    return this.#view
  }

  get left(): number {
    return this.length - this.#consumed
  }

  /** Every element is at least one byte on the wire. */
  countElements(count: number): void {
    this.#elements += count
    if (count > this.left) throw new Malformed('a list is longer than the message')
    if (this.#elements > this.#maxElements) throw new Malformed(`it has more than ${this.#maxElements} elements`)
  }

  #within(count: number): void {
    if (count > this.left) throw new Malformed('a field is longer than the message')
  }
}

/** Unsigned, of at most 5 bytes. */
export function* readVarint(input: MessageBytes): Reading<number> {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const at: number = yield* input.take(1)
    const byte = input.view.getUint8(at)
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) {
      if (value > 0xffffffff) break
      return value
    }
  }
  throw new Malformed('a variable-length number is too long')
}

export function* readTags(input: MessageBytes): Reading<void> {
  const count = yield* readVarint(input)
  if (count === 0) return
  input.countElements(count)
  for (let i = 0; i < count; i++) {
    yield* readVarint(input)
    yield* input.pass(yield* readVarint(input))
  }
}

/** -1: null. */
function* readLength(input: MessageBytes, layout: Layout, wide: boolean): Reading<number> {
  if (layout.flexible) return (yield* readVarint(input)) - 1
  const at: number = yield* input.take(wide ? 4 : 2)
  const length = wide ? input.view.getInt32(at) : input.view.getInt16(at)
  if (length < -1) throw new Malformed('a length is negative')
  return length
}

function* readText(input: MessageBytes, length: number): Reading<string> {
  if (length > MAX_TEXT_BYTES) throw new Malformed(`a text is longer than ${MAX_TEXT_BYTES} bytes`)
  const at: number = yield* input.take(length)
  const { buffer, byteOffset } = input.view
  try {
    return decoder.decode(new Uint8Array(buffer, byteOffset + at, length))
  } catch {
    throw new Malformed('a text is not UTF-8')
  }
}

/** A text of the request header: its length is of 16 bits in every version. */
export function* readHeaderText(input: MessageBytes): Reading<string | null> {
  const length = yield* readLength(input, { version: 0, flexible: false }, false)
  return length < 0 ? null : yield* readText(input, length)
}

function* readBytes(input: MessageBytes, length: number): Reading<Uint8Array> {
  if (length > MAX_TEXT_BYTES) throw new Malformed(`bytes to be kept are more than ${MAX_TEXT_BYTES}`)
  const at: number = yield* input.take(length)
  const { buffer, byteOffset } = input.view
  return new Uint8Array(buffer, byteOffset + at, length).slice()
}

type Fixed = { readonly size: number; readonly read: (view: DataView, at: number) => unknown }
/** Most fields are one of these: what is there already is read without a generator of its own. */
const FIXED: Readonly<Partial<Record<FieldKind, Fixed>>> = {
  bool: { size: 1, read: (view, at) => view.getInt8(at) !== 0 },
  int8: { size: 1, read: (view, at) => view.getInt8(at) },
  int16: { size: 2, read: (view, at) => view.getInt16(at) },
  int32: { size: 4, read: (view, at) => view.getInt32(at) },
  int64: { size: 8, read: (view, at) => view.getBigInt64(at) },
}

function* readValue(field: Field<unknown>, input: MessageBytes, layout: Layout): Reading<unknown> {
  const fixed = FIXED[field.kind]
  if (fixed) {
    const at: number = yield* input.take(fixed.size)
    return fixed.read(input.view, at)
  }
  return field.kind === 'uuid' ? yield* readBytes(input, 16) : yield* readSized(field, input, layout)
}

function* readSized(field: Field<unknown>, input: MessageBytes, layout: Layout): Reading<unknown> {
  const length = yield* readLength(input, layout, field.kind !== 'text')
  if (length < 0) {
    if (!mayBeNull(field, layout.version)) throw new Malformed('a field is null that must not be')
    return null
  }
  if (field.kind === 'text') return yield* readText(input, length)
  if (field.kind === 'bytes') return yield* readBytes(input, length)
  const span: Span = { offset: input.consumed, length }
  yield* input.pass(length)
  return span
}

/** A list is seen while it grows: what has been read so far is in `into` at every suspension. */
export function* readFields(
  fields: Fields,
  input: MessageBytes,
  layout: Layout,
  into: Record<string, unknown>,
): Reading<void> {
  // The whole shape first: who looks between two pieces finds every field.
  for (const name in fields) {
    const field = fields[name]
    if (field) into[name] = field.kind === 'list' ? [] : field.fallback
  }
  for (const name in fields) {
    const field = fields[name]
    if (!field || !inVersion(field, layout.version)) continue
    const fixed = FIXED[field.kind]
    const at = fixed ? input.takeNow(fixed.size) : -1
    if (fixed && at >= 0) into[name] = fixed.read(input.view, at)
    else if (field.kind !== 'list') into[name] = yield* readValue(field, input, layout)
    else yield* readList(field, input, layout, into, name)
  }
  if (layout.flexible && !input.passZero()) yield* readTags(input)
}

function* readList(
  field: Field<unknown>,
  input: MessageBytes,
  layout: Layout,
  into: Record<string, unknown>,
  name: string,
): Reading<void> {
  const count = yield* readLength(input, layout, true)
  const { element } = field
  if (count < 0) {
    if (!mayBeNull(field, layout.version)) throw new Malformed('a list is null that must not be')
    into[name] = null
  }
  if (count <= 0 || !element) return
  input.countElements(count)
  const values = into[name] as unknown[]
  for (let i = 0; i < count; i++)
    if (isField(element)) values.push(yield* readValue(element, input, layout))
    else {
      const value: Record<string, unknown> = {}
      values.push(value)
      yield* readFields(element, input, layout, value)
    }
}
