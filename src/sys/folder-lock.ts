// A lock of a folder, among processes: one has it at a time, and the kernel takes it back
// from a process that ends, however it ends.

import fs from 'node:fs'
import { check } from './errors.ts'
import { SYSCALL, syscall } from './native.ts'

const EXCLUSIVE = 2
const AT_ONCE = 4
const EAGAIN = 11

export class FolderLock implements Disposable {
  readonly #folder: string
  /** Open only as long as it is taken: it keeps the file system busy. */
  #fd: number | undefined

  /** Not taken yet. */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** @returns false when somebody else has it. @throws Error when there is no such folder, or it cannot be locked */
  take(): boolean {
    const fd = fs.openSync(this.#folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    const result = syscall(SYSCALL.flock, fd, EXCLUSIVE | AT_ONCE)
    if (result >= 0) this.#fd = fd
    else fs.closeSync(fd)
    if (result === -EAGAIN) return false
    check(`lock ${this.#folder}`, result)
    return true
  }

  release(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd)
    this.#fd = undefined
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
