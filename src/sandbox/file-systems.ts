// Mounts of the sandbox's own mount namespace. They end with its last process.

import { check } from '../sys/errors.ts'
import { addressOf, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'

const MS_NOSUID = 2
const MS_NODEV = 4
const MS_NOEXEC = 8

/** Mounts a BPF file system of its own on an existing folder. @throws SystemError */
export function mountBpf(folder: string): void {
  const [type, target, options] = [cString('bpf'), cString(folder), cString('mode=700')]
  const flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
  const result = syscall(SYSCALL.mount, addressOf(type), addressOf(target), addressOf(type), flags, addressOf(options))
  keepAlive([type, target, options])
  check(`mount a BPF file system on ${folder}`, result)
}

function cString(text: string): Buffer {
  const bytes = stableBuffer(Buffer.byteLength(text) + 1)
  bytes.write(text)
  return bytes
}
