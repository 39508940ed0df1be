// Network namespaces: open, create, compare, delete, and run code inside one. A thread
// is in one namespace; what it opens (sockets, /proc/sys, children) belongs there for
// good. So code runs inside synchronously, on the calling thread, and the thread is
// always brought back, or the process ends: anything else would act on the wrong network.

import fs from 'node:fs'
import { types } from 'node:util'
import { check, SystemError, systemErrorOf } from '../sys/errors.ts'
import { addressOf, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'

const CLONE_NEWNET = 0x40000000
const MS_BIND = 0x1000
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
const NSFS_MAGIC = 0x6e736673
const ENOENT = 2
const EINVAL = 22

/** An open network namespace. It lives at least as long as the descriptor, a process in it or its bind mount. */
export class Namespace implements Disposable {
  /** Valid until `close`. */
  readonly fd: number
  /** Two descriptors name the same namespace if, and only if, their inodes are equal. */
  readonly inode: number
  #open = true

  private constructor(fd: number, inode: number) {
    this.fd = fd
    this.inode = inode
  }

  /** Opens a namespace file, such as `/run/netns/x` or `/proc/1/ns/net`. @throws SystemError */
  static open(path: string): Namespace {
    let fd: number
    try {
      fd = fs.openSync(path, fs.constants.O_RDONLY)
    } catch (error) {
      throw systemErrorOf(`open network namespace ${path}`, error)
    }
    // Any file opens; one that is no namespace would only fail later, when it is entered.
    if (fs.statfsSync(`/proc/self/fd/${fd}`).type !== NSFS_MAGIC) {
      fs.closeSync(fd)
      throw new SystemError(`open network namespace ${path}`, EINVAL, 'the file is not a namespace')
    }
    return new Namespace(fd, fs.fstatSync(fd).ino)
  }

  /** @throws SystemError (ENOENT when there is no such process) */
  static ofProcess(pid: number): Namespace {
    return Namespace.open(`/proc/${pid}/ns/net`)
  }

  /** That of the calling thread. */
  static current(): Namespace {
    return Namespace.open('/proc/thread-self/ns/net')
  }

  isSame(other: Namespace): boolean {
    return this.inode === other.inode
  }

  close(): void {
    if (this.#open) fs.closeSync(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** `never`, which no argument fits, when a `T` may be a `Refused`. */
type Unless<Refused, T> = [Extract<T, Refused>] extends [never] ? unknown : never

/**
 * Runs `body` with the calling thread inside the namespace and returns its result. What it opens synchronously belongs to
 * that namespace. An async body would go on in whatever namespace the thread is in by then, so it is refused.
 * @throws SystemError when the namespace cannot be entered; TypeError for an async body; what `body` throws
 */
export function withNamespace<T>(
  namespace: { readonly fd: number },
  body: (() => T) & Unless<PromiseLike<unknown>, T>,
): T {
  if (types.isAsyncFunction(body)) throw new TypeError('the body of withNamespace must be synchronous')
  using home = Namespace.current()
  check('enter network namespace', syscall(SYSCALL.setns, namespace.fd, CLONE_NEWNET))
  let result: T
  try {
    result = body()
  } finally {
    returnTo(home)
  }
  if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function')
    throw new TypeError('the body of withNamespace must be synchronous, and returned a promise')
  return result
}

/**
 * Makes a network namespace, with its loopback device down. Without a path it is anonymous: it ends with the last
 * descriptor, process and device that holds it. With one it is kept by a bind mount there, as `ip netns` does.
 * @throws SystemError (EEXIST when the path is taken)
 */
export function createNamespace(options: { readonly path?: string } = {}): Namespace {
  using home = Namespace.current()
  check('create network namespace', syscall(SYSCALL.unshare, CLONE_NEWNET))
  let namespace: Namespace
  try {
    namespace = Namespace.current()
  } finally {
    returnTo(home)
  }
  if (options.path !== undefined) {
    try {
      bindNamespace(namespace, options.path)
    } catch (error) {
      namespace.close()
      throw error
    }
  }
  return namespace
}

/** Removes a namespace's bind mount and file. Processes in it keep it alive. Idempotent. @throws SystemError */
export function deleteNamespace(path: string): void {
  const target = cString(path)
  const unmounted = syscall(SYSCALL.umount2, addressOf(target), MNT_DETACH | UMOUNT_NOFOLLOW)
  keepAlive(target)
  // EINVAL: nothing is mounted there, as after a crash between the two steps of making one.
  if (unmounted !== -EINVAL && unmounted !== -ENOENT) check(`unmount network namespace ${path}`, unmounted)
  fs.rmSync(path, { force: true })
}

function bindNamespace(namespace: Namespace, path: string): void {
  try {
    fs.closeSync(fs.openSync(path, 'wx', 0o444))
  } catch (error) {
    throw systemErrorOf(`create network namespace at ${path}`, error)
  }
  const source = cString(`/proc/self/fd/${namespace.fd}`)
  const target = cString(path)
  const mounted = syscall(SYSCALL.mount, addressOf(source), addressOf(target), 0, MS_BIND)
  keepAlive([source, target])
  if (mounted < 0) {
    fs.rmSync(path, { force: true })
    check(`mount network namespace at ${path}`, mounted)
  }
}

function returnTo(home: Namespace): void {
  if (syscall(SYSCALL.setns, home.fd, CLONE_NEWNET) >= 0) return
  fs.writeSync(2, 'axoneme: cannot leave a network namespace again; ending before acting on the wrong network\n')
  process.abort()
}

function cString(text: string): Buffer {
  const bytes = stableBuffer(Buffer.byteLength(text) + 1)
  bytes.write(text)
  return bytes
}
