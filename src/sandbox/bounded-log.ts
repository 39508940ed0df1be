// A log file that cannot grow without end: when it is full it becomes `FILE.1`, in place of the one before.

import fs from 'node:fs'

export const LOG_LIMIT_BYTES = 1 << 20

export class BoundedLog implements Disposable {
  readonly #file: string
  #fd: number
  #size: number

  constructor(file: string) {
    this.#file = file
    this.#fd = fs.openSync(file, 'a', 0o640)
    this.#size = fs.fstatSync(this.#fd).size
  }

  write(text: string | Buffer): void {
    const bytes = Buffer.from(text)
    if (this.#size > 0 && this.#size + bytes.length > LOG_LIMIT_BYTES) this.#rotate()
    fs.writeSync(this.#fd, bytes)
    this.#size += bytes.length
  }

  #rotate(): void {
    fs.renameSync(this.#file, `${this.#file}.1`)
    fs.closeSync(this.#fd)
    this.#fd = fs.openSync(this.#file, 'a', 0o640)
    this.#size = 0
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#fd)
  }
}

/** Last lines of a file, for a message about a failure. Empty when there is no file. */
export function lastLines(file: string, count: number): string {
  try {
    return fs.readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
  } catch {
    return ''
  }
}
