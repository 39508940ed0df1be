// BTF in the kernel: loading an object's, and reading back what a map was
// created with. A descriptor with a lifetime, nothing more.

import { addressOf, close, keepAlive, stableBuffer } from '../sys/native.ts'
import type { Btf } from './btf.ts'
import { BpfError } from './errors.ts'
import { btfLoad, COMMAND, fdById, objectInfo, succeed } from './syscalls.ts'

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

/** Raw BTF the kernel holds under a number, such as a map's `btf_id`. */
export function readKernelBtf(id: number): Uint8Array {
  const fd = succeed(`open BTF ${id}`, fdById(COMMAND.BTF_GET_FD_BY_ID, id))
  try {
    const info = stableBuffer(32)
    succeed(`describe BTF ${id}`, objectInfo(fd, info))
    const bytes = stableBuffer(info.readUInt32LE(8))
    info.fill(0)
    info.writeBigUInt64LE(addressOf(bytes), 0)
    info.writeUInt32LE(bytes.length, 8)
    succeed(`read BTF ${id}`, objectInfo(fd, info))
    keepAlive(bytes)
    return bytes
  } finally {
    close(fd)
  }
}
