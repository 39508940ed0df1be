// `BpfMap` in terms of operations on raw elements, so that implementations differ
// only in where the bytes lie. Encodes, decodes, cuts batches to bounded size and
// turns errnos into typed errors; knows nothing of system calls.

import { isIndexed, type MapType } from './constants.ts'
import { BpfError, MapFullError, PermissionError } from './errors.ts'
import type { BpfMap, MapDescription, RawVisitor, UpdateMode } from './map.ts'
import type { Codec } from './value.ts'

/** Packed elements. */
export type Chunk = { readonly keys: DataView; readonly values: DataView; readonly count: number }
/** How far a batch came: `errno` is why the element at index `done` failed, 0 when none did. */
export type BatchOutcome = { readonly done: number; readonly errno: number }

const FLAGS: Readonly<Record<UpdateMode, number>> = { any: 0, noexist: 1, exist: 2 }
const EPERM = 1
const ENOENT = 2
const E2BIG = 7
const ENOSPC = 28
const ENOTSUPP = 524
const BATCH_ENTRIES = 16_384

export abstract class TypedMap<Key, Value, Input> implements BpfMap<Key, Value, Input> {
  readonly name: string
  readonly type: MapType
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly id: number
  readonly valueBytes: number
  /** The element being worked on. */
  protected readonly keyBuffer: Buffer
  protected readonly valueBuffer: Buffer
  readonly #keyCodec: Codec<Key>
  readonly #valueCodec: Codec<Value, Input>
  readonly #keyView: DataView
  readonly #valueView: DataView

  constructor(
    description: MapDescription,
    keyCodec: Codec<Key>,
    valueCodec: Codec<Value, Input>,
    allocate: (size: number) => Buffer,
  ) {
    this.name = description.name
    this.type = description.type
    this.keySize = description.keySize
    this.valueSize = description.valueSize
    this.maxEntries = description.maxEntries
    this.flags = description.flags
    this.id = description.id
    this.valueBytes = valueCodec.size
    this.#keyCodec = keyCodec
    this.#valueCodec = valueCodec
    this.keyBuffer = allocate(description.keySize)
    this.valueBuffer = allocate(valueCodec.size)
    this.#keyView = viewOf(this.keyBuffer)
    this.#valueView = viewOf(this.valueBuffer)
  }

  // Below, work on raw elements; results are 0 or a negated errno.
  /** Reads the element of `keyBuffer` into `valueBuffer`. */
  protected abstract lookupElement(): number
  protected abstract updateElement(flags: number): number
  protected abstract deleteElement(): number
  protected abstract chunks(): Generator<Chunk>
  protected abstract updateElements(keys: Buffer, values: Buffer, count: number, flags: number): BatchOutcome
  protected abstract deleteElements(keys: Buffer, count: number): BatchOutcome
  protected abstract updateElementsAsync(
    keys: Buffer,
    values: Buffer,
    count: number,
    flags: number,
  ): Promise<BatchOutcome>
  protected abstract deleteElementsAsync(keys: Buffer, count: number): Promise<BatchOutcome>
  /** Memory for a batch. */
  protected abstract allocate(size: number): Buffer

  get(key: Key): Value | undefined {
    this.#encodeKey('look up in', key)
    return this.#found('look up in', this.lookupElement()) ? this.#valueCodec.decode(this.#valueView, 0) : undefined
  }

  set(key: Key, value: Input, mode: UpdateMode = 'any'): void {
    this.#encodeKey('update', key)
    this.#valueCodec.encode(value, this.#valueView, 0)
    this.#succeed('update', this.updateElement(FLAGS[mode]))
  }

  delete(key: Key): boolean {
    this.#encodeKey('delete from', key)
    return this.#found('delete from', this.deleteElement())
  }

  *entries(): Generator<[Key, Value]> {
    for (const { keys, values, count } of this.#chunks())
      for (let index = 0; index < count; index++)
        yield [
          this.#keyCodec.decode(keys, index * this.keySize),
          this.#valueCodec.decode(values, index * this.valueBytes),
        ]
  }

  *keys(): Generator<Key> {
    for (const { keys, count } of this.#chunks())
      for (let index = 0; index < count; index++) yield this.#keyCodec.decode(keys, index * this.keySize)
  }

  forEachRaw(visit: RawVisitor): void {
    for (const { keys, values, count } of this.#chunks())
      for (let index = 0; index < count; index++) visit(keys, index * this.keySize, values, index * this.valueBytes)
  }

  clear(): void {
    if (this.type === 'array' || this.type === 'percpu_array') {
      const zero = new Uint8Array(this.valueBytes)
      const key = new Uint8Array(4)
      for (let index = 0; index < this.maxEntries; index++) {
        new DataView(key.buffer).setUint32(0, index, true)
        this.setRaw(key, zero)
      }
    } else this.deleteBatch([...this.keys()])
  }

  count(): number {
    let total = 0
    for (const { count } of this.#chunks()) total += count
    return total
  }

  fill(): number {
    return this.maxEntries === 0 ? 0 : this.count() / this.maxEntries
  }

  lookupBatch(): [Key, Value][] {
    return [...this.entries()]
  }

  updateBatch(entries: Iterable<readonly [Key, Input]>, mode: UpdateMode = 'any'): number {
    let written = 0
    for (const { keys, values, count } of this.#packEntries(entries)) {
      const { done, errno } = this.updateElements(keys, values, count, FLAGS[mode])
      written += done
      if (errno !== 0) this.#fail('update', errno, written, at(keys, done, this.keySize))
    }
    return written
  }

  async updateBatchAsync(entries: Iterable<readonly [Key, Input]>, mode: UpdateMode = 'any'): Promise<number> {
    let written = 0
    for (const { keys, values, count } of this.#packEntries(entries)) {
      const { done, errno } = await this.updateElementsAsync(keys, values, count, FLAGS[mode])
      written += done
      if (errno !== 0) this.#fail('update', errno, written, at(keys, done, this.keySize))
    }
    return written
  }

  deleteBatch(keys: Iterable<Key>): number {
    let deleted = 0
    for (const packed of this.#packKeys(keys))
      for (let next = 0; next < packed.count; ) {
        const rest = packed.keys.subarray(next * this.keySize)
        const { done, errno } = this.deleteElements(rest, packed.count - next)
        deleted += done
        next += this.#afterDelete(done, errno, rest)
      }
    return deleted
  }

  async deleteBatchAsync(keys: Iterable<Key>): Promise<number> {
    let deleted = 0
    for (const packed of this.#packKeys(keys))
      for (let next = 0; next < packed.count; ) {
        const rest = packed.keys.subarray(next * this.keySize)
        const { done, errno } = await this.deleteElementsAsync(rest, packed.count - next)
        deleted += done
        next += this.#afterDelete(done, errno, rest)
      }
    return deleted
  }

  getRaw(key: Uint8Array, value: Uint8Array): boolean {
    this.#requireLength('value', value, this.valueBytes)
    this.#copyKey('look up in', key)
    const found = this.#found('look up in', this.lookupElement())
    if (found) value.set(this.valueBuffer)
    return found
  }

  setRaw(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): void {
    this.#requireLength('value', value, this.valueBytes)
    this.#copyKey('update', key)
    this.valueBuffer.set(value)
    this.#succeed('update', this.updateElement(FLAGS[mode]))
  }

  deleteRaw(key: Uint8Array): boolean {
    this.#copyKey('delete from', key)
    return this.#found('delete from', this.deleteElement())
  }

  #chunks(): Generator<Chunk> {
    if (this.keySize === 0 || this.type === 'sk_storage') this.#fail('read', ENOTSUPP)
    return this.chunks()
  }

  #encodeKey(verb: string, key: Key): void {
    if (this.keySize === 0) this.#fail(verb, ENOTSUPP)
    this.#keyCodec.encode(key, this.#keyView, 0)
  }

  #copyKey(verb: string, key: Uint8Array): void {
    if (this.keySize === 0) this.#fail(verb, ENOTSUPP)
    this.#requireLength('key', key, this.keySize)
    this.keyBuffer.set(key)
  }

  #requireLength(what: string, bytes: Uint8Array, size: number): void {
    if (bytes.length !== size)
      throw new RangeError(`map ${this.name}: a ${what} has ${size} bytes, not ${bytes.length}`)
  }

  *#packEntries(entries: Iterable<readonly [Key, Input]>): Generator<{ keys: Buffer; values: Buffer; count: number }> {
    if (this.keySize === 0) this.#fail('update', ENOTSUPP)
    for (const part of parts(entries)) {
      const keys = this.allocate(part.length * this.keySize)
      const values = this.allocate(part.length * this.valueBytes)
      const keyView = viewOf(keys)
      const valueView = viewOf(values)
      part.forEach(([key, value], index) => {
        this.#keyCodec.encode(key, keyView, index * this.keySize)
        this.#valueCodec.encode(value, valueView, index * this.valueBytes)
      })
      yield { keys, values, count: part.length }
    }
  }

  *#packKeys(keys: Iterable<Key>): Generator<{ keys: Buffer; count: number }> {
    if (this.keySize === 0) this.#fail('delete from', ENOTSUPP)
    for (const part of parts(keys)) {
      const packed = this.allocate(part.length * this.keySize)
      const view = viewOf(packed)
      part.forEach((key, index) => this.#keyCodec.encode(key, view, index * this.keySize))
      yield { keys: packed, count: part.length }
    }
  }

  /** A batch delete stops at a missing element: go on behind it. @returns how many elements are dealt with */
  #afterDelete(done: number, errno: number, keys: Buffer): number {
    if (errno === 0) return done
    if (errno !== ENOENT) this.#fail('delete from', errno, done, at(keys, done, this.keySize))
    return done + 1
  }

  #found(verb: string, result: number): boolean {
    if (result === -ENOENT) return false
    this.#succeed(verb, result)
    return true
  }

  #succeed(verb: string, result: number): void {
    if (result < 0) this.#fail(verb, -result, 0, this.keyBuffer)
  }

  #fail(verb: string, errno: number, done = 0, key?: Uint8Array): never {
    const operation = `${verb} map ${this.name}`
    if ((errno === E2BIG || errno === ENOSPC) && !isIndexed(this.type))
      throw new MapFullError(this.name, this.maxEntries, errno, done)
    if (errno === EPERM) throw new PermissionError(operation, errno)
    throw new BpfError(operation, errno, key && key.length > 0 ? `key ${Buffer.from(key).toString('hex')}` : '')
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

const at = (keys: Buffer, index: number, size: number): Buffer => keys.subarray(index * size, (index + 1) * size)

/** Bounded slices of an iterable, so that a batch of any length takes bounded memory. */
function* parts<Item>(items: Iterable<Item>): Generator<Item[]> {
  let part: Item[] = []
  for (const item of items) {
    part.push(item)
    if (part.length < BATCH_ENTRIES) continue
    yield part
    part = []
  }
  if (part.length > 0) yield part
}
