// A map in this process's memory that behaves as the kernel's maps do: the same
// types, limits and errors. For tests and for predicting what the datapath will
// find. Eviction of an LRU map is exact here and approximate in the kernel.

import { elementCodecs, possibleCpus } from './codecs-of-map.ts'
import { isIndexed } from './constants.ts'
import type { MapSpec } from './map-spec.ts'
import { type BatchOutcome, type Chunk, TypedMap } from './typed-map.ts'
import type { Codec } from './value.ts'

const ENOENT = 2
const E2BIG = 7
const EEXIST = 17
const EINVAL = 22
const ENOSPC = 28
const NOEXIST = 1
const EXIST = 2

type Element = { readonly key: Buffer; readonly value: Buffer }

let nextId = 1

export class MemoryMap<Key = unknown, Value = unknown, Input = Value> extends TypedMap<Key, Value, Input> {
  /** By key bytes; in an LRU map the least recently written first: look-ups by system call do not count as use. */
  readonly #elements = new Map<string, Element>()
  /** How many elements of a trie have a prefix length: only those that occur need be tried. */
  readonly #lengths = new Map<number, number>()

  private constructor(spec: MapSpec, key: Codec<Key>, value: Codec<Value, Input>) {
    super({ ...spec, id: nextId++ }, key, value, size => Buffer.alloc(size))
  }

  /** @param cpus how many values an element of a per-CPU map has */
  static create<Key = unknown, Value = unknown, Input = Value>(
    spec: MapSpec,
    cpus = possibleCpus(),
  ): MemoryMap<Key, Value, Input> {
    const { key, value } = elementCodecs(spec, cpus, reference => reference.id)
    return new MemoryMap(spec, key as Codec<Key>, value as Codec<Value, Input>)
  }

  protected lookupElement(): number {
    const found = this.type === 'lpm_trie' ? this.#longestMatch() : this.#elements.get(this.#name())
    if (found) {
      found.value.copy(this.valueBuffer)
      return 0
    }
    if (!this.#isAlwaysFull() || this.#index() >= this.maxEntries) return -ENOENT
    this.valueBuffer.fill(0)
    return 0
  }

  protected updateElement(flags: number): number {
    if (this.type === 'lpm_trie' && this.#prefixLength() > this.#maxPrefixLength()) return -EINVAL
    if (isIndexed(this.type) && !this.#isAlwaysFull() && flags !== 0) return -EINVAL
    if (isIndexed(this.type) && this.#index() >= this.maxEntries) return -E2BIG
    const name = this.#name()
    const exists = this.#isAlwaysFull() || this.#elements.has(name)
    if (flags === NOEXIST && exists) return -EEXIST
    if (flags === EXIST && !exists) return -ENOENT
    if (!exists && !isIndexed(this.type) && this.maxEntries > 0 && this.#elements.size >= this.maxEntries) {
      if (!this.#isLru()) return this.type === 'lpm_trie' ? -ENOSPC : -E2BIG
      const [oldest] = this.#elements.keys()
      if (oldest !== undefined) this.#elements.delete(oldest)
    }
    if (this.#isLru()) this.#elements.delete(name)
    if (!exists && this.type === 'lpm_trie') this.#countLength(1)
    this.#elements.set(name, { key: Buffer.from(this.keyBuffer), value: Buffer.from(this.valueBuffer) })
    return 0
  }

  protected deleteElement(): number {
    if (this.#isAlwaysFull()) return -EINVAL
    if (isIndexed(this.type) && this.#index() >= this.maxEntries) return -E2BIG
    if (this.type === 'lpm_trie' && this.#prefixLength() > this.#maxPrefixLength()) return -EINVAL
    if (!this.#elements.delete(this.#name())) return -ENOENT
    if (this.type === 'lpm_trie') this.#countLength(-1)
    return 0
  }

  protected *chunks(): Generator<Chunk> {
    if (this.#isAlwaysFull()) {
      yield this.#allSlots()
      return
    }
    const elements = [...this.#elements.values()]
    if (elements.length === 0) return
    const keys = Buffer.concat(elements.map(element => element.key))
    const values = Buffer.concat(elements.map(element => element.value))
    yield chunkOf(keys, values, elements.length)
  }

  protected updateElements(keys: Buffer, values: Buffer, count: number, flags: number): BatchOutcome {
    return this.#each(keys, count, index => {
      values.copy(this.valueBuffer, 0, index * this.valueBytes, (index + 1) * this.valueBytes)
      return this.updateElement(flags)
    })
  }

  protected deleteElements(keys: Buffer, count: number): BatchOutcome {
    return this.#each(keys, count, () => this.deleteElement())
  }

  protected async updateElementsAsync(keys: Buffer, values: Buffer, count: number, flags: number) {
    return this.updateElements(keys, values, count, flags)
  }

  protected async deleteElementsAsync(keys: Buffer, count: number) {
    return this.deleteElements(keys, count)
  }

  protected allocate(size: number): Buffer {
    return Buffer.alloc(size)
  }

  #each(keys: Buffer, count: number, act: (index: number) => number): BatchOutcome {
    for (let index = 0; index < count; index++) {
      keys.copy(this.keyBuffer, 0, index * this.keySize, (index + 1) * this.keySize)
      const result = act(index)
      if (result < 0) return { done: index, errno: -result }
    }
    return { done: count, errno: 0 }
  }

  /** Arrays of values have all their elements from the start. */
  #isAlwaysFull(): boolean {
    return this.type === 'array' || this.type === 'percpu_array'
  }

  #isLru(): boolean {
    return this.type === 'lru_hash' || this.type === 'lru_percpu_hash'
  }

  #index(): number {
    return this.keyBuffer.readUInt32LE(0)
  }

  #allSlots(): Chunk {
    const keys = Buffer.alloc(4 * this.maxEntries)
    for (let index = 0; index < this.maxEntries; index++) keys.writeUInt32LE(index, 4 * index)
    const values = Buffer.alloc(this.valueBytes * this.maxEntries)
    for (const { key, value } of this.#elements.values()) value.copy(values, key.readUInt32LE(0) * this.valueBytes)
    return chunkOf(keys, values, this.maxEntries)
  }

  /** What tells elements apart: the key's bytes; of a prefix only the bits that count. */
  #name(): string {
    return this.type === 'lpm_trie'
      ? prefixName(this.keyBuffer, this.#prefixLength())
      : this.keyBuffer.toString('latin1')
  }

  #prefixLength(): number {
    return this.keyBuffer.readUInt32LE(0)
  }

  #maxPrefixLength(): number {
    return (this.keySize - 4) * 8
  }

  #countLength(step: 1 | -1): void {
    const length = this.#prefixLength()
    this.#lengths.set(length, (this.#lengths.get(length) ?? 0) + step)
  }

  #longestMatch(): Element | undefined {
    if (this.#prefixLength() > this.#maxPrefixLength()) return undefined
    for (let length = this.#prefixLength(); length >= 0; length--) {
      if (!this.#lengths.get(length)) continue
      const found = this.#elements.get(prefixName(this.keyBuffer, length))
      if (found) return found
    }
    return undefined
  }
}

const chunkOf = (keys: Buffer, values: Buffer, count: number): Chunk => ({
  keys: new DataView(keys.buffer, keys.byteOffset, keys.length),
  values: new DataView(values.buffer, values.byteOffset, values.length),
  count,
})

/** `struct bpf_lpm_trie_key`: prefix length, then the bits in network order. */
function prefixName(key: Buffer, length: number): string {
  const bits = Buffer.from(key.subarray(4, 4 + Math.ceil(length / 8)))
  const spare = (8 - (length % 8)) % 8
  const last = bits.length - 1
  if (spare > 0 && last >= 0) bits[last] = (bits[last] ?? 0) & (0xff << spare)
  return `${length}/${bits.toString('latin1')}`
}
