// What a codec is, and how an error names a value. Apart from codec.ts so that
// the codecs of integers and of composite types can share it.

/** `Input` is what may be written where it differs from what is read: a map to put in a map of maps reads back as its id. */
export interface Codec<Value, Input = Value> {
  /** Bytes. */
  readonly size: number
  /** Writes every byte of the value, padding included. @throws CodecError */
  encode(value: Input, view: DataView, offset: number): void
  decode(view: DataView, offset: number): Value
}

export function describe(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'string' ? `"${value}"` : String(value)
}
