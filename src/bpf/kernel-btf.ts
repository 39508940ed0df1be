// An object's BTF in the kernel: what maps and programs are given their types by.
// A descriptor with a lifetime, nothing more.

import { close, stableBuffer } from '../sys/native.ts'
import type { Btf } from './btf.ts'
import { BpfError } from './errors.ts'
import { btfLoad, succeed } from './syscalls.ts'

const EPERM = 1
const LOG_BYTES = 1 << 18

export class KernelBtf {
  readonly btf: Btf
  #fd: number

  private constructor(btf: Btf, fd: number) {
    this.btf = btf
    this.#fd = fd
  }

  /** @throws BpfError with the kernel's log, PermissionError */
  static load(btf: Btf): KernelBtf {
    const fd = btfLoad(btf.bytes)
    if (fd >= 0) return new KernelBtf(btf, fd)
    if (fd === -EPERM) succeed('load BTF', fd)
    const log = stableBuffer(LOG_BYTES)
    const again = btfLoad(btf.bytes, log)
    if (again >= 0) return new KernelBtf(btf, again)
    const text = log.toString('latin1').replace(/\0.*$/s, '')
    throw new BpfError('load BTF', -again, text.trimEnd().split('\n').slice(-3).join('\n'), text)
  }

  get fd(): number {
    return this.#fd
  }

  close(): void {
    if (this.#fd >= 0) close(this.#fd)
    this.#fd = -1
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
