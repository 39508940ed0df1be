// Reads a BPF ring buffer where it lies: the consumer gets a view and an offset,
// no copy and no object for an event. Records come in the order they were
// reserved; a record not yet committed holds back those behind it.
// Source: kernel/bpf/ringbuf.c, Documentation/bpf/ringbuf.rst.

import { readFileSync } from 'node:fs'
import { close, mapMemory, type PollHandle, poll } from '../sys/native.ts'
import { BpfError } from './errors.ts'
import type { KernelMap } from './kernel-map.ts'
import { COMMAND, fdById, succeed } from './syscalls.ts'

/** Valid only during the call: the kernel may overwrite the bytes after it. */
export type EventVisitor = (view: DataView, offset: number, length: number) => void

const HEADER = 8
const BUSY = 1 << 31
const DISCARDED = 1 << 30
const LENGTH_MASK = ~(BUSY | DISCARDED)
/** Space is given back to the kernel this often, so that it need not wait for the end of a long drain. */
const GIVE_BACK_BYTES = 1 << 16
const EINVAL = 22

export class RingBuffer {
  /** Bytes. */
  readonly size: number
  /** Own descriptor, so that closing the map does not pull it from under the poll. */
  readonly #fd: number
  /** The kernel's positions are 64-bit byte counts that never go back. */
  readonly #consumerPosition: BigInt64Array
  /** Low halves suffice: a ring holds at most 2 GiB. */
  readonly #producerPosition: Int32Array
  readonly #headers: Int32Array
  readonly #records: DataView
  #consumed: number
  #closed = false
  #polls: PollHandle | undefined

  private constructor(fd: number, size: number, page: number) {
    this.size = size
    this.#fd = fd
    // First page: ours to write. Second: the kernel's position. Then the records, mapped twice in a row, so that one
    // that wraps around is still in one piece.
    const consumer = mapMemory(fd, page, { write: true })
    const producer = mapMemory(fd, page + 2 * size, { write: false }, page)
    this.#consumerPosition = new BigInt64Array(consumer, 0, 1)
    this.#producerPosition = new Int32Array(producer, 0, 2)
    this.#headers = new Int32Array(producer, page)
    this.#records = new DataView(producer, page)
    this.#consumed = Number(Atomics.load(this.#consumerPosition, 0))
  }

  /** A ring has one reader: two would share its events between them in no order. @throws BpfError EINVAL for another map type */
  static open(map: KernelMap): RingBuffer {
    if (map.type !== 'ringbuf') throw new BpfError(`read map ${map.name}`, EINVAL, `it is of type ${map.type}`)
    const fd = succeed(`open ring buffer ${map.name}`, fdById(COMMAND.MAP_GET_FD_BY_ID, map.id))
    try {
      return new RingBuffer(fd, map.maxEntries, pageSize())
    } catch (error) {
      close(fd)
      throw error
    }
  }

  /**
   * Hands over the events there are. Nothing is handed over after `close`.
   * @param max at most so many events
   * @returns how many it were
   */
  drain(visit: EventVisitor, max = Number.POSITIVE_INFINITY): number {
    const headers = this.#headers
    const records = this.#records
    const size = this.size
    let count = 0
    let consumed = this.#consumed
    let givenBack = consumed
    const giveBack = (): void => {
      if (consumed === givenBack) return
      Atomics.store(this.#consumerPosition, 0, BigInt(consumed))
      this.#consumed = givenBack = consumed
    }
    try {
      while (!this.#closed && count < max) {
        // An acquire: the headers up to this position are visible after it.
        let available = ((Atomics.load(this.#producerPosition, 0) >>> 0) - (consumed % 2 ** 32)) >>> 0
        if (available === 0) break
        while (available > 0 && count < max && !this.#closed) {
          const offset = consumed % size
          let header = Atomics.load(headers, offset >>> 2)
          if (header < 0) {
            // Reserved, not yet committed. The commit wakes the reader only if it finds the reader's position right
            // here: publish it, then look again, or the wake-up may be lost between the two.
            giveBack()
            header = Atomics.load(headers, offset >>> 2)
            if (header < 0) return count
          }
          const length = header & LENGTH_MASK
          const taken = (HEADER + length + 7) & ~7
          consumed += taken
          available -= taken
          if ((header & DISCARDED) === 0) {
            count++
            visit(records, offset + HEADER, length)
          }
          if (consumed - givenBack >= GIVE_BACK_BYTES) giveBack()
        }
        // For the same reason before looking whether there is more.
        giveBack()
      }
      return count
    } finally {
      giveBack()
    }
  }

  /** Bytes waiting to be read, headers included. */
  get pendingBytes(): number {
    if (this.#closed) return 0
    return ((Atomics.load(this.#producerPosition, 0) >>> 0) - (this.#consumed % 2 ** 32)) >>> 0
  }

  /**
   * Calls back on the event loop when there are events; the callback drains. Keeps the process alive until closed.
   * @param limits.unref lets the process end nevertheless
   */
  onReadable(callback: () => void, limits: { readonly unref?: boolean } = {}): void {
    if (this.#closed) throw new BpfError('poll ring buffer', EINVAL, 'it is closed')
    this.#polls?.close()
    this.#polls = poll(this.#fd, () => {
      if (!this.#closed) callback()
    })
    if (limits.unref) this.#polls.unref()
  }

  /** Stops polling and reading. The memory goes when nothing can reach it any more: a view may still be in use. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#polls?.close()
    close(this.#fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const AT_PAGESZ = 6n

/** Bytes of a memory page, which arm64 has in three sizes. */
function pageSize(): number {
  const vector = readFileSync('/proc/self/auxv')
  for (let at = 0; at + 16 <= vector.length; at += 16)
    if (vector.readBigUInt64LE(at) === AT_PAGESZ) return Number(vector.readBigUInt64LE(at + 8))
  return 4096
}
