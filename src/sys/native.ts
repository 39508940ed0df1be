// The one file that touches native code. Everything above it is TypeScript over
// bpf(2), mmap(2), setns(2), netlink sockets and poll. A wrong signature here
// crashes the process, so every foreign declaration of the project stands below.
// It promises: results are >= 0 or a negated errno; nothing here throws for a
// failed system call, except `mapMemory`, whose result has no room for an errno.

import koffi from 'koffi'

const SYSCALL_NUMBERS = {
  x64: {
    bpf: 321,
    socket: 41,
    bind: 49,
    connect: 42,
    listen: 50,
    getsockname: 51,
    getpeername: 52,
    sendto: 44,
    recvfrom: 45,
    sendmsg: 46,
    recvmmsg: 299,
    epoll_create1: 291,
    epoll_ctl: 233,
    epoll_pwait: 281,
    setsockopt: 54,
    getsockopt: 55,
    ioctl: 16,
    setns: 308,
    unshare: 272,
    mount: 165,
    umount2: 166,
    pidfd_open: 434,
    open_tree: 428,
    mount_setattr: 442,
    flock: 73,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
  },
  arm64: {
    bpf: 280,
    socket: 198,
    bind: 200,
    connect: 203,
    listen: 201,
    getsockname: 204,
    getpeername: 205,
    sendto: 206,
    recvfrom: 207,
    sendmsg: 211,
    recvmmsg: 243,
    epoll_create1: 20,
    epoll_ctl: 21,
    epoll_pwait: 22,
    setsockopt: 208,
    getsockopt: 209,
    ioctl: 29,
    setns: 268,
    unshare: 97,
    mount: 40,
    umount2: 39,
    pidfd_open: 434,
    open_tree: 428,
    mount_setattr: 442,
    flock: 32,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
  },
} as const

/** Number of each system call the project makes, on this machine's architecture. */
export const SYSCALL = SYSCALL_NUMBERS[process.arch === 'arm64' ? 'arm64' : 'x64']

export type Word = number | bigint

const libc = koffi.load('libc.so.6')
// syscall() is variadic in C; on Linux x86-64 and arm64 integer arguments travel in the same registers either way.
const bpfSyscall = libc.func('long syscall(long number, int command, void *attr, uint size)')
const anySyscall = libc.func('long syscall(long number, int64 a, int64 b, int64 c, int64 d, int64 e, int64 f)')
const mmap = libc.func('void *mmap(void *address, size_t length, int prot, int flags, int fd, int64 offset)')
const munmap = libc.func('int munmap(void *address, size_t length)')
const closeFd = libc.func('int close(int fd)')

const MAP_SHARED = 1
const MAP_FAILED = 0xffffffffffffffffn

// V8 cannot detach a view of foreign memory, and a read through one after munmap is a segmentation fault:
// so memory is unmapped only when the garbage collector proves that nobody holds the view.
const unmapWhenUnreachable = new FinalizationRegistry<{ address: bigint; length: number }>(mapping => {
  munmap(mapping.address, mapping.length)
})

const result = (value: number | bigint): number => {
  const n = Number(value)
  return n < 0 ? -koffi.errno() : n
}

/** bpf(2). @returns >= 0, or a negated errno */
export function bpf(command: number, attr: Buffer): number {
  return result(bpfSyscall(SYSCALL.bpf, command, attr, attr.length))
}

/**
 * bpf(2) on a libuv pool thread: for calls that wait for a grace period or copy much. Never for a call that can block for good.
 * The errno of a call made on another thread is not readable here, so a failure is only ever -1; repeat the call with `bpf` to learn why.
 */
export function bpfAsync(command: number, attr: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    bpfSyscall.async(SYSCALL.bpf, command, attr, attr.length, (error: Error | null, value: number | bigint) => {
      if (error) reject(error)
      else resolve(Number(value))
    })
  })
}

/** Any other system call of `SYSCALL`. @returns >= 0, or a negated errno */
export function syscall(
  number: number,
  a: Word = 0,
  b: Word = 0,
  c: Word = 0,
  d: Word = 0,
  e: Word = 0,
  f: Word = 0,
): number {
  return result(anySyscall(number, a, b, c, d, e, f))
}

/** Address of a buffer made by `stableBuffer`. Valid while the buffer is reachable: keep it so with `keepAlive`. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer)
}

/**
 * Maps a file descriptor's memory, shared. Unmapped after the last reference to the result is gone.
 * @param length bytes, a multiple of the page size
 * @throws Error naming the errno
 */
export function mapMemory(fd: number, length: number, protection: { write: boolean }, offset = 0): ArrayBuffer {
  const address: bigint = mmap(null, length, protection.write ? 3 : 1, MAP_SHARED, fd, offset)
  if (address === MAP_FAILED || address === -1n)
    throw new Error(`mmap of ${length} bytes failed: errno ${koffi.errno()}`)
  const memory = koffi.view(address, length)
  unmapWhenUnreachable.register(memory, { address, length })
  return memory
}

/** close(2). @returns 0, or a negated errno */
export function close(fd: number): number {
  return result(closeFd(fd))
}

export type PollHandle = { close(): void; unref(): void; ref(): void }

/** Calls back on the event loop whenever the descriptor is readable (libuv poll). */
export function poll(fd: number, onReadable: () => void): PollHandle {
  return koffi.node.poll(fd, { readable: true }, onReadable)
}

/** Calls back on the event loop whenever the descriptor can be written to, or has an error. */
export function pollWritable(fd: number, onWritable: () => void): PollHandle {
  return koffi.node.poll(fd, { writable: true }, onWritable)
}

/** Zeroed memory that never moves and is never part of a pool, so that its address can be given to the kernel. */
export function stableBuffer(size: number): Buffer {
  return Buffer.from(new ArrayBuffer(Math.max(size, 8)), 0, size)
}

const anchor: unknown[] = [undefined]

/** Keeps a buffer reachable up to this point: call it after the system call that was given the buffer's raw address. */
export function keepAlive(value: unknown): void {
  anchor[0] = value
  anchor[0] = undefined
}
