// Reads all elements of a map in the kernel, packed chunk by packed chunk: by
// batch look-up where the kernel has it for the map type, else key by key.
// Bounded: a map that others change faster than it can be read ends in EAGAIN.

import { bpf, keepAlive, stableBuffer } from '../sys/native.ts'
import type { MapType } from './constants.ts'
import { BpfError } from './errors.ts'
import { BATCH_COUNT, batchAttr, COMMAND, elementAttr, succeed } from './syscalls.ts'
import type { Chunk } from './typed-map.ts'

const ENOENT = 2
const EINTR = 4
const EAGAIN = 11
const EINVAL = 22
const ENOSPC = 28
const ENOTSUPP = 524

const CHUNK_BYTES = 1 << 18
const MAX_CHUNK = 4096
const MIN_CHUNK = 16

type Shape = {
  readonly name: string
  readonly type: MapType
  readonly keySize: number
  readonly valueBytes: number
  readonly maxEntries: number
}

export class ElementReader {
  readonly #map: Shape
  #batchable: boolean

  constructor(map: Shape) {
    this.#map = map
    // Before 6.9 a batch look-up in an array of maps fails at the first empty slot.
    this.#batchable = map.type !== 'array_of_maps'
  }

  *chunks(fdNow: () => number): Generator<Chunk> {
    // A hash that grows while it is read may show more than max_entries; twice as many means going round in circles.
    let budget = 2 * this.#map.maxEntries + MAX_CHUNK
    for (const chunk of this.#batchable ? this.#batches(fdNow) : this.#singles(fdNow)) {
      budget -= chunk.count
      if (budget < 0) throw this.#restless()
      yield chunk
    }
  }

  *#batches(fdNow: () => number): Generator<Chunk> {
    const { keySize, name } = this.#map
    let size = this.#chunkSize()
    let buffers = this.#buffers(size)
    let from: Buffer | undefined
    let next = stableBuffer(Math.max(keySize, 8))
    let idle = 0
    for (;;) {
      const attr = batchAttr({ mapFd: fdNow(), ...buffers.raw, count: size, from, next })
      const result = bpf(COMMAND.MAP_LOOKUP_BATCH, attr)
      keepAlive([buffers, from, next])
      if (from === undefined && (result === -ENOTSUPP || result === -EINVAL)) {
        this.#batchable = false
        yield* this.#singles(fdNow)
        return
      }
      const count = attr.readUInt32LE(BATCH_COUNT)
      if (result === -ENOSPC) {
        // One hash bucket holds more than a whole chunk.
        size *= 2
        buffers = this.#buffers(size)
        continue
      }
      // No answer of this command: the errno of a call that the thread has made since. It is asked again.
      if (result === -EAGAIN && idle++ < MIN_CHUNK) continue
      const interrupted = result === -EINTR && count > 0 && idle++ < MIN_CHUNK
      if (result < 0 && result !== -ENOENT && !interrupted) succeed(`read map ${name}`, result)
      if (count > 0) yield { keys: buffers.keys, values: buffers.values, count }
      if (result === -ENOENT) return
      const spent = from
      from = next
      next = spent ?? stableBuffer(Math.max(keySize, 8))
    }
  }

  *#singles(fdNow: () => number): Generator<Chunk> {
    const { keySize, valueBytes, name } = this.#map
    const size = this.#chunkSize()
    const { raw, keys, values } = this.#buffers(size)
    const key = stableBuffer(keySize)
    const value = stableBuffer(valueBytes)
    let first = true
    let count = 0
    // A key that vanishes under the reader sends it back to the first one.
    for (let steps = 4 * this.#map.maxEntries + MAX_CHUNK; ; steps--) {
      if (steps === 0) throw this.#restless()
      const step = elementAttr(fdNow(), first ? undefined : key, key)
      const stepped = bpf(COMMAND.MAP_GET_NEXT_KEY, step)
      if (stepped === -ENOENT) break
      succeed(`read map ${name}`, stepped)
      first = false
      const found = bpf(COMMAND.MAP_LOOKUP_ELEM, elementAttr(fdNow(), key, value))
      keepAlive([key, value])
      if (found === -ENOENT) continue // deleted meanwhile, or an empty slot
      succeed(`read map ${name}`, found)
      key.copy(raw.keys, count * keySize)
      value.copy(raw.values, count * valueBytes)
      if (++count < size) continue
      yield { keys, values, count }
      count = 0
    }
    if (count > 0) yield { keys, values, count }
  }

  #restless(): BpfError {
    return new BpfError(`read map ${this.#map.name}`, EAGAIN, 'it changes faster than it can be read')
  }

  #chunkSize(): number {
    const { keySize, valueBytes, maxEntries } = this.#map
    const fitting = Math.floor(CHUNK_BYTES / (keySize + valueBytes))
    return Math.max(Math.min(fitting, MAX_CHUNK, maxEntries), MIN_CHUNK)
  }

  #buffers(count: number) {
    const keys = stableBuffer(count * this.#map.keySize)
    const values = stableBuffer(count * this.#map.valueBytes)
    return {
      raw: { keys, values },
      keys: new DataView(keys.buffer, 0, keys.length),
      values: new DataView(values.buffer, 0, values.length),
    }
  }
}
