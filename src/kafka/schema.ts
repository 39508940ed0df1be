// What a message of Kafka's protocol is made of: fields with the versions that have them.
// A message is described once, as an object of fields in the order of the wire; its type
// follows from that, and reader.ts and writer.ts both work by it. The source is
// kafka.apache.org/protocol and the message definitions of the Kafka project.

export type FieldKind =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uuid'
  | 'text'
  | 'bytes'
  /** Bytes that may be long: the reader passes over them and tells where they are. */
  | 'records'
  | 'list'

/** `T` is what a value of it is in TypeScript. */
export type Field<T> = {
  readonly kind: FieldKind
  /** The versions that have it, both ends included. */
  readonly from: number
  readonly to: number
  /** First version where it may be null; absent: none. */
  readonly nullableFrom?: number | undefined
  /** What it is in versions that do not have it. */
  readonly fallback: T
  /** Of a list. */
  readonly element?: Fields | Field<unknown>
}

/** In the order of the wire. */
export type Fields = { readonly [name: string]: Field<unknown> }

export type Values<F extends Fields> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never }

/** What is left out is the field's fallback. */
export type Partly<T> = T extends readonly (infer E)[]
  ? readonly Partly<E>[]
  : T extends Uint8Array
    ? T
    : T extends object
      ? { readonly [K in keyof T]?: Partly<T[K]> }
      : T

/** Where the bytes of `records` stand in the frame. */
export type Span = { readonly offset: number; readonly length: number }

export type Versions = { readonly from?: number; readonly to?: number }
type Nullable = Versions & { readonly nullableFrom?: number }

const LAST = Number.MAX_SAFE_INTEGER
const NOTHING: Uint8Array = new Uint8Array(0)
const NO_UUID: Uint8Array = new Uint8Array(16)

function field<T>(kind: FieldKind, fallback: T, options: Nullable, element?: Fields | Field<unknown>): Field<T> {
  const { from = 0, to = LAST, nullableFrom } = options
  return { kind, from, to, nullableFrom, fallback, ...(element && { element }) }
}

export const bool = (versions: Versions = {}): Field<boolean> => field('bool', false, versions)
export const int8 = (versions: Versions = {}): Field<number> => field('int8', 0, versions)
export const int16 = (versions: Versions = {}, fallback = 0): Field<number> => field('int16', fallback, versions)
export const int32 = (versions: Versions = {}, fallback = 0): Field<number> => field('int32', fallback, versions)
export const int64 = (versions: Versions = {}, fallback = 0n): Field<bigint> => field('int64', fallback, versions)
export const uuid = (versions: Versions = {}): Field<Uint8Array> => field('uuid', NO_UUID, versions)
export const text = (versions: Versions = {}): Field<string> => field('text', '', versions)
export const bytes = (versions: Versions = {}): Field<Uint8Array> => field('bytes', NOTHING, versions)
export const records = (versions: Versions = {}): Field<Span | null> =>
  field('records', null, { ...versions, nullableFrom: 0 })

/** `nullableFrom`: in earlier versions it is never null on the wire. */
export const nullableText = (options: Nullable = {}): Field<string | null> =>
  field('text', null, { nullableFrom: 0, ...options })

type Elements<E extends Fields | Field<unknown>> =
  E extends Field<infer T> ? T[] : E extends Fields ? Values<E>[] : never

export const list = <E extends Fields | Field<unknown>>(element: E, versions: Versions = {}): Field<Elements<E>> =>
  field('list', [] as unknown as Elements<E>, versions, element)

export const nullableList = <E extends Fields | Field<unknown>>(
  element: E,
  options: Nullable = {},
): Field<Elements<E> | null> =>
  field('list', [] as unknown as Elements<E> | null, { nullableFrom: 0, ...options }, element)

export const isField = (element: Fields | Field<unknown>): element is Field<unknown> =>
  typeof (element as Field<unknown>).kind === 'string'

/** Whether a version has the field. */
export const inVersion = (field: Field<unknown>, version: number): boolean =>
  version >= field.from && version <= field.to

export const mayBeNull = (field: Field<unknown>, version: number): boolean =>
  field.nullableFrom !== undefined && version >= field.nullableFrom
