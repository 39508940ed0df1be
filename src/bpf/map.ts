// A BPF map as typed keys and values: the interface that the map in the kernel
// (kernel-map.ts) and the one in memory (memory-map.ts) share. One contract suite
// (testing/map-contract.ts) holds both to the same behaviour.

import type { MapType } from './constants.ts'

/** `noexist` refuses to overwrite (EEXIST), `exist` refuses to add (ENOENT). */
export type UpdateMode = 'any' | 'noexist' | 'exist'

/** Called for an element where it lies: views and offsets are valid only during the call. */
export type RawVisitor = (key: DataView, keyOffset: number, value: DataView, valueOffset: number) => void

/** Anything a map of maps or a program array can hold. A map in the kernel wants `fd`, one in memory `id`. */
export type MapReference = { readonly id: number; readonly fd?: number }

export type MapDescription = {
  readonly name: string
  readonly type: MapType
  /** Bytes. */
  readonly keySize: number
  /** Bytes; of one CPU's value in a per-CPU map. */
  readonly valueSize: number
  readonly maxEntries: number
  /** `MAP_FLAG` bits. */
  readonly flags: number
  /** Kernel-wide number of the map. */
  readonly id: number
}

/**
 * Per-CPU maps have arrays as values, one element for every possible CPU. A map of maps and a program array take
 * `MapReference`s and give back ids. A longest-prefix map answers `get` with the longest prefix that covers the key.
 *
 * Errors of every operation: CodecError (the value does not fit), MapFullError (no room), PermissionError,
 * BpfError with the kernel's code (ENOTSUPP where the map type knows no such operation, EBADF after close).
 */
export interface BpfMap<Key = unknown, Value = unknown, Input = Value> extends MapDescription {
  get(key: Key): Value | undefined
  set(key: Key, value: Input, mode?: UpdateMode): void
  /** @returns whether there was such an element */
  delete(key: Key): boolean
  /**
   * Elements in no order. Read in batches: while others write, an element may be missed or seen twice.
   * @throws BpfError EAGAIN when the map changes so fast that reading it does not end
   */
  entries(): Generator<[Key, Value]>
  keys(): Generator<Key>
  /** Empties the map; an array is set to zero. Elements that others add meanwhile may stay. */
  clear(): void
  /** Number of elements, by reading them all. */
  count(): number
  /** Part of `maxEntries` in use, 0 to 1, by reading all elements. */
  fill(): number
  /** @returns the number written, which is all of them. @throws MapFullError with the number `done` before */
  updateBatch(entries: Iterable<readonly [Key, Input]>, mode?: UpdateMode): number
  /** Missing elements are passed over. @returns the number deleted */
  deleteBatch(keys: Iterable<Key>): number
  /** All elements at once. */
  lookupBatch(): [Key, Value][]
  /** As `updateBatch`, off the event loop: for maps of maps, whose update waits for a grace period, and for large tries. */
  updateBatchAsync(entries: Iterable<readonly [Key, Input]>, mode?: UpdateMode): Promise<number>
  deleteBatchAsync(keys: Iterable<Key>): Promise<number>
  /** Copies an element's bytes into `value` (`valueBytes` long). @returns whether there is such an element */
  getRaw(key: Uint8Array, value: Uint8Array): boolean
  setRaw(key: Uint8Array, value: Uint8Array, mode?: UpdateMode): void
  deleteRaw(key: Uint8Array): boolean
  /** Visits all elements without making an object for each. */
  forEachRaw(visit: RawVisitor): void
  /** Bytes of one element's value with all CPUs: what `getRaw` and `setRaw` exchange. */
  readonly valueBytes: number
}
