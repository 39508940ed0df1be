// A map in the kernel: the raw element operations of `TypedMap` as bpf(2) calls.
// Owns its descriptor. Uses batch commands where the kernel has them for the map
// type and single commands where it does not.

import { bpf, bpfAsync, close, keepAlive, stableBuffer } from '../sys/native.ts'
import { elementCodecs, possibleCpus } from './codecs-of-map.ts'
import { MAP_TYPE, mapTypeName } from './constants.ts'
import { ElementReader } from './element-reader.ts'
import { BpfError, MapMismatchError } from './errors.ts'
import type { MapDescription } from './map.ts'
import type { MapSpec } from './map-spec.ts'
import {
  BATCH_COUNT,
  batchAttr,
  COMMAND,
  ELEMENT_FLAGS,
  elementAttr,
  fdById,
  memoryBytes,
  objectInfo,
  succeed,
} from './syscalls.ts'
import { type BatchOutcome, type Chunk, TypedMap } from './typed-map.ts'
import type { Codec } from './value.ts'

const EBADF = 9
const ENOTSUPP = 524

export class KernelMap<Key = unknown, Value = unknown, Input = Value> extends TypedMap<Key, Value, Input> {
  #fd: number
  /** Asynchronous calls under way: the descriptor must outlive them. */
  #pending = 0
  #closed = false
  readonly #batchable = new Map<number, boolean>()
  readonly #attr: Buffer
  /** The same memory up to the key: a delete with anything behind it is refused. */
  readonly #keyAttr: Buffer
  readonly #reader: ElementReader

  private constructor(fd: number, description: MapDescription, key: Codec<Key>, value: Codec<Value, Input>) {
    super(description, key, value, stableBuffer)
    this.#fd = fd
    this.#attr = elementAttr(fd, this.keyBuffer, this.valueBuffer)
    this.#keyAttr = this.#attr.subarray(0, 16)
    this.#reader = new ElementReader({ ...description, valueBytes: this.valueBytes })
  }

  /**
   * Takes over a map's descriptor; it is closed if that fails.
   * @param spec gives keys and values their types; without it they are raw bytes
   * @throws MapMismatchError where type, key size or value size are not the declared ones
   */
  static adopt<Key = unknown, Value = unknown, Input = Value>(
    fd: number,
    spec?: MapSpec,
  ): KernelMap<Key, Value, Input> {
    try {
      const description = describeMap(fd)
      if (spec) requireLayout(spec, description)
      const { btf, keyType, valueType } = spec ?? {}
      const layout = {
        ...description,
        ...(btf ? { btf } : {}),
        ...(keyType === undefined ? {} : { keyType }),
        ...(valueType === undefined ? {} : { valueType }),
      }
      const { key, value } = elementCodecs(layout, possibleCpus(), reference => reference.fd)
      return new KernelMap(
        fd,
        spec ? { ...description, name: spec.name } : description,
        key as Codec<Key>,
        value as Codec<Value, Input>,
      )
    } catch (error) {
      close(fd)
      throw error
    }
  }

  /** Opens a map by its kernel-wide number, such as an inner map found in a map of maps. */
  static byId<Key = unknown, Value = unknown, Input = Value>(id: number, spec?: MapSpec): KernelMap<Key, Value, Input> {
    return KernelMap.adopt(succeed(`open map ${id}`, fdById(COMMAND.MAP_GET_FD_BY_ID, id)), spec)
  }

  get fd(): number {
    return this.#fd
  }

  /** Bytes of kernel memory the map takes. */
  get memoryBytes(): number {
    return memoryBytes(this.#fd)
  }

  /** Gives the descriptor back. The map lives on while a pin, a program or another descriptor holds it. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#pending === 0) this.#release()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  protected lookupElement(): number {
    return this.#single(COMMAND.MAP_LOOKUP_ELEM, 0)
  }

  protected updateElement(flags: number): number {
    return this.#single(COMMAND.MAP_UPDATE_ELEM, flags)
  }

  protected deleteElement(): number {
    return bpf(COMMAND.MAP_DELETE_ELEM, this.#keyAttr)
  }

  protected chunks(): Generator<Chunk> {
    return this.#reader.chunks(() => this.#fd)
  }

  protected updateElements(keys: Buffer, values: Buffer, count: number, flags: number): BatchOutcome {
    if (!this.#hasBatches(COMMAND.MAP_UPDATE_BATCH, flags)) return this.#oneByOne(count, keys, values, flags)
    return this.#batch(COMMAND.MAP_UPDATE_BATCH, keys, values, count, flags)
  }

  protected deleteElements(keys: Buffer, count: number): BatchOutcome {
    if (!this.#hasBatches(COMMAND.MAP_DELETE_BATCH)) return this.#oneByOne(count, keys)
    return this.#batch(COMMAND.MAP_DELETE_BATCH, keys, undefined, count, 0)
  }

  protected updateElementsAsync(keys: Buffer, values: Buffer, count: number, flags: number): Promise<BatchOutcome> {
    return this.#offLoop(COMMAND.MAP_UPDATE_BATCH, keys, values, count, flags)
  }

  protected deleteElementsAsync(keys: Buffer, count: number): Promise<BatchOutcome> {
    return this.#offLoop(COMMAND.MAP_DELETE_BATCH, keys, undefined, count, 0)
  }

  protected allocate(size: number): Buffer {
    return stableBuffer(size)
  }

  #release(): void {
    close(this.#fd)
    this.#fd = -1
    this.#attr.writeInt32LE(-1, 0)
  }

  #single(command: number, flags: number): number {
    this.#attr.writeUInt32LE(flags, ELEMENT_FLAGS)
    return bpf(command, this.#attr)
  }

  /**
   * An empty batch does nothing, and says whether the map type knows the command at all. No batch command takes
   * BPF_NOEXIST or BPF_EXIST (generic_map_update_batch in kernel/bpf/syscall.c).
   */
  #hasBatches(command: number, flags = 0): boolean {
    if (flags !== 0) return false
    const known = this.#batchable.get(command)
    if (known !== undefined) return known
    const { errno } = this.#batch(command, stableBuffer(8), stableBuffer(8), 0, 0)
    if (errno === EBADF) return false
    this.#batchable.set(command, errno === 0)
    return errno === 0
  }

  #batch(command: number, keys: Buffer, values: Buffer | undefined, count: number, flags: number): BatchOutcome {
    const attr = batchAttr({
      mapFd: this.#fd,
      keys,
      ...(values ? { values } : {}),
      count,
      elementFlags: flags,
    })
    const result = bpf(command, attr)
    keepAlive([keys, values])
    return outcome(result, attr.readUInt32LE(BATCH_COUNT), count)
  }

  #oneByOne(count: number, keys: Buffer, values?: Buffer, flags = 0): BatchOutcome {
    for (let index = 0; index < count; index++) {
      keys.copy(this.keyBuffer, 0, index * this.keySize, (index + 1) * this.keySize)
      values?.copy(this.valueBuffer, 0, index * this.valueBytes, (index + 1) * this.valueBytes)
      const result = values ? this.updateElement(flags) : this.deleteElement()
      if (result < 0) return { done: index, errno: -result }
    }
    return { done: count, errno: 0 }
  }

  /**
   * The same work on a pool thread. A failure there is only ever "-1", so the element that failed is tried once more
   * here, to learn why or to find that the reason has passed.
   */
  async #offLoop(
    command: number,
    keys: Buffer,
    values: Buffer | undefined,
    count: number,
    flags: number,
  ): Promise<BatchOutcome> {
    const batchable = this.#hasBatches(command, flags)
    const width = batchable ? count : 1
    this.#pending++
    try {
      for (let done = 0; done < count; ) {
        const part = this.#slice(keys, values, done, Math.min(width, count - done))
        const advanced = batchable
          ? await this.#batchOffLoop(command, part, flags)
          : await this.#elementOffLoop(command, part, flags)
        done += advanced
        if (advanced === part.count) continue
        const again = this.#slice(keys, values, done, 1)
        const { errno } =
          command === COMMAND.MAP_UPDATE_BATCH && again.values
            ? this.updateElements(again.keys, again.values, 1, flags)
            : this.deleteElements(again.keys, 1)
        if (errno !== 0) return { done, errno }
        done++
      }
      return { done: count, errno: 0 }
    } finally {
      this.#pending--
      if (this.#closed && this.#pending === 0) this.#release()
    }
  }

  #slice(keys: Buffer, values: Buffer | undefined, from: number, count: number) {
    return {
      keys: keys.subarray(from * this.keySize, (from + count) * this.keySize),
      values: values?.subarray(from * this.valueBytes, (from + count) * this.valueBytes),
      count,
    }
  }

  /** @returns how many elements were done */
  async #batchOffLoop(
    command: number,
    part: { keys: Buffer; values: Buffer | undefined; count: number },
    flags: number,
  ): Promise<number> {
    const attr = batchAttr({
      mapFd: this.#fd,
      keys: part.keys,
      ...(part.values ? { values: part.values } : {}),
      count: part.count,
      elementFlags: flags,
    })
    const result = await bpfAsync(command, attr)
    keepAlive([part.keys, part.values])
    const done = attr.readUInt32LE(BATCH_COUNT)
    // A call refused at the door leaves the count as it was given.
    return result >= 0 ? part.count : done < part.count ? done : 0
  }

  async #elementOffLoop(
    command: number,
    part: { keys: Buffer; values: Buffer | undefined },
    flags: number,
  ): Promise<number> {
    const attr = elementAttr(this.#fd, part.keys, part.values)
    attr.writeUInt32LE(flags, ELEMENT_FLAGS)
    const single = command === COMMAND.MAP_UPDATE_BATCH ? COMMAND.MAP_UPDATE_ELEM : COMMAND.MAP_DELETE_ELEM
    const result = await bpfAsync(single, attr)
    keepAlive([part.keys, part.values])
    return result >= 0 ? 1 : 0
  }
}

function outcome(result: number, done: number, count: number): BatchOutcome {
  if (result >= 0) return { done: count, errno: 0 }
  return { done: -result === ENOTSUPP || done >= count ? 0 : done, errno: -result }
}

/** Whether elements of the declared layout fit: the codecs rely on it. @throws MapMismatchError */
function requireLayout(wanted: MapSpec, found: MapDescription): void {
  for (const field of ['type', 'keySize', 'valueSize'] as const)
    if (wanted[field] !== found[field]) throw new MapMismatchError(wanted.name, field, wanted[field], found[field])
}

/** What the kernel says of a map. */
export function describeMap(fd: number): MapDescription {
  const info = stableBuffer(88)
  succeed('describe map', objectInfo(fd, info))
  const number = info.readUInt32LE(0)
  const type = mapTypeName(number)
  if (!type)
    throw new BpfError('describe map', 95, `map type ${number} is unknown here (known up to ${MAP_TYPE.cgrp_storage})`)
  return {
    name: info.toString('latin1', 24, 40).replace(/\0.*$/s, ''),
    type,
    id: info.readUInt32LE(4),
    keySize: info.readUInt32LE(8),
    valueSize: info.readUInt32LE(12),
    maxEntries: info.readUInt32LE(16),
    flags: info.readUInt32LE(20),
  }
}
