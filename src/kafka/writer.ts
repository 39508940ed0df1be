// Writes messages by their description: answers of our own, and in tests the requests
// and answers of others. What a message leaves out is written as its fallback.

import type { Layout } from './reader.ts'
import { type Field, type Fields, inVersion, isField, mayBeNull } from './schema.ts'

const encoder = new TextEncoder()

/** Grows as it is written to. */
export class MessageWriter {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  int8(value: number): void {
    const at = this.#room(1)
    this.#view.setInt8(at, value)
  }

  int16(value: number): void {
    const at = this.#room(2)
    this.#view.setInt16(at, value)
  }

  int32(value: number): void {
    const at = this.#room(4)
    this.#view.setInt32(at, value)
  }

  int64(value: bigint): void {
    const at = this.#room(8)
    this.#view.setBigInt64(at, value)
  }

  varint(value: number): void {
    let rest = value
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) this.int8((rest % 128) - 128)
    this.int8(rest)
  }

  /** A text of the request header: its length is of 16 bits in every version. */
  headerText(text: string | undefined): void {
    const bytes = text === undefined ? undefined : encoder.encode(text)
    this.int16(bytes?.length ?? -1)
    if (bytes) this.raw(bytes)
  }

  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
  }

  /** With its length of 4 bytes before it, as it goes over a connection. */
  frame(): Uint8Array {
    const frame = new Uint8Array(4 + this.#length)
    new DataView(frame.buffer).setInt32(0, this.#length)
    frame.set(this.#bytes.subarray(0, this.#length), 4)
    return frame
  }

  /** The buffer may be another one after this. */
  #room(count: number): number {
    const at = this.#length
    this.#length += count
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    return at
  }
}

export function writeFields(
  fields: Fields,
  values: Readonly<Record<string, unknown>>,
  writer: MessageWriter,
  layout: Layout,
): void {
  for (const name in fields) {
    const field = fields[name]
    if (field && inVersion(field, layout.version))
      writeValue(field, values[name] ?? missing(field, values, name), writer, layout)
  }
  if (layout.flexible) writer.varint(0)
}

/** Null stays null where it was said. */
const missing = (field: Field<unknown>, values: Readonly<Record<string, unknown>>, name: string): unknown =>
  values[name] === null ? null : field.fallback

function writeValue(field: Field<unknown>, value: unknown, writer: MessageWriter, layout: Layout): void {
  switch (field.kind) {
    case 'bool':
      return writer.int8(value === true ? 1 : 0)
    case 'int8':
      return writer.int8(Number(value))
    case 'int16':
      return writer.int16(Number(value))
    case 'int32':
      return writer.int32(Number(value))
    case 'int64':
      return writer.int64(value as bigint)
    case 'uuid':
      return writer.raw(value as Uint8Array)
    case 'list':
      return writeList(field, value as readonly unknown[] | null, writer, layout)
    case 'text':
      return writeSized(field, typeof value === 'string' ? encoder.encode(value) : null, writer, layout)
    case 'bytes':
    case 'records':
      return writeSized(field, value as Uint8Array | null, writer, layout)
  }
}

function writeSized(field: Field<unknown>, value: Uint8Array | null, writer: MessageWriter, layout: Layout): void {
  const bytes = value ?? (mayBeNull(field, layout.version) ? undefined : new Uint8Array(0))
  writeLength(bytes ? bytes.length : -1, field.kind !== 'text', writer, layout)
  if (bytes) writer.raw(bytes)
}

function writeLength(length: number, wide: boolean, writer: MessageWriter, layout: Layout): void {
  if (layout.flexible) writer.varint(length + 1)
  else if (wide) writer.int32(length)
  else writer.int16(length)
}

function writeList(
  field: Field<unknown>,
  value: readonly unknown[] | null,
  writer: MessageWriter,
  layout: Layout,
): void {
  const values = value ?? (mayBeNull(field, layout.version) ? undefined : [])
  writeLength(values ? values.length : -1, true, writer, layout)
  const { element } = field
  if (!element) return
  for (const each of values ?? [])
    if (isField(element)) writeValue(element, each, writer, layout)
    else writeFields(element, each as Record<string, unknown>, writer, layout)
}
