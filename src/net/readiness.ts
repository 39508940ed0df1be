// Which of many descriptors can be read (epoll), for sockets that come and go too fast
// to be watched by the event loop one by one: the loop watches the set as one.

import { check } from '../sys/errors.ts'
import { addressOf, close, type PollHandle, poll, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'

const EPOLL_CLOEXEC = 0o2000000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLLIN = 1
/** struct epoll_event is packed on x86-64 alone. */
const EVENT = process.arch === 'x64' ? { bytes: 12, data: 4 } : { bytes: 16, data: 8 }

export class ReadableSet implements Disposable {
  readonly #fd = check('make an epoll set', syscall(SYSCALL.epoll_create1, EPOLL_CLOEXEC))
  readonly #events: Buffer
  readonly #eventsAt: bigint
  readonly #change = stableBuffer(16)
  readonly #changeAt = addressOf(this.#change)
  readonly #capacity: number
  #handle: PollHandle | undefined

  /** @param capacity how many `ready` tells at a time */
  constructor(capacity: number) {
    this.#capacity = capacity
    this.#events = stableBuffer(capacity * EVENT.bytes)
    this.#eventsAt = addressOf(this.#events)
  }

  /** A descriptor leaves the set by itself when it is closed. @returns 0, or a negated errno */
  add(fd: number): number {
    this.#change.writeUInt32LE(EPOLLIN, 0)
    this.#change.writeUInt32LE(fd, EVENT.data)
    return syscall(SYSCALL.epoll_ctl, this.#fd, EPOLL_CTL_ADD, fd, this.#changeAt)
  }

  remove(fd: number): number {
    return syscall(SYSCALL.epoll_ctl, this.#fd, EPOLL_CTL_DEL, fd, this.#changeAt)
  }

  /** Those that can be read, or have an error, now. @returns how many `at` knows, or a negated errno */
  ready(): number {
    return syscall(SYSCALL.epoll_pwait, this.#fd, this.#eventsAt, this.#capacity, 0, 0, 0)
  }

  at(index: number): number {
    return this.#events.readUInt32LE(index * EVENT.bytes + EVENT.data)
  }

  /** Calls back on the event loop whenever one of them can be read. */
  watch(onReadable: () => void): void {
    this.#handle ??= poll(this.#fd, onReadable)
  }

  [Symbol.dispose](): void {
    this.#handle?.close()
    close(this.#fd)
  }
}
