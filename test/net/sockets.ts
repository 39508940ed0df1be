// Sockets of the tests, made by system calls so that they belong to a namespace: one
// that sends and hears whole frames on a link, and one that receives UDP as any program.

import type { TestContext } from 'node:test'
import { type Namespace, withNamespace } from '../../src/net/index.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, poll, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'

const AF_INET = 2
const AF_INET6 = 10
const AF_PACKET = 17
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const NONBLOCK_CLOEXEC = 0o2004000
const ETH_P_ALL_BIG_ENDIAN = 0x0300
const EAGAIN = 11

/** Frames on one link. */
export type FrameSocket = {
  send(frame: Uint8Array): void
  /** The next frame, from now or since the socket was opened, that the test is waiting for. */
  receive(isWanted: (frame: Uint8Array) => boolean): Promise<Uint8Array>
}

export function frameSocket(t: TestContext, namespace: Namespace, index: number): FrameSocket {
  const address = stableBuffer(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16LE(ETH_P_ALL_BIG_ENDIAN, 2)
  address.writeInt32LE(index, 4)
  const fd = openBound(namespace, AF_PACKET, SOCK_RAW, ETH_P_ALL_BIG_ENDIAN, address)
  const inbox = new Inbox(t, fd)
  return { send: frame => sendTo(fd, frame), receive: isWanted => inbox.next(isWanted) }
}

/** Payloads of the datagrams to a port. The kernel has checked and reassembled them. */
export function udpReceiver(
  t: TestContext,
  namespace: Namespace,
  family: 4 | 6,
  port: number,
): { receive(): Promise<string> } {
  const address = stableBuffer(family === 4 ? 16 : 28)
  address.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0)
  address.writeUInt16BE(port, 2)
  const inbox = new Inbox(t, openBound(namespace, family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0, address))
  return { receive: async () => new TextDecoder().decode(await inbox.next(() => true)) }
}

function openBound(namespace: Namespace, family: number, type: number, protocol: number, address: Buffer): number {
  const fd = withNamespace(namespace, () =>
    check('socket', syscall(SYSCALL.socket, family, type | NONBLOCK_CLOEXEC, protocol)),
  )
  check('bind', syscall(SYSCALL.bind, fd, addressOf(address), address.length))
  keepAlive(address)
  return fd
}

function sendTo(fd: number, frame: Uint8Array): void {
  const bytes = stableBuffer(frame.length)
  bytes.set(frame)
  check('send', syscall(SYSCALL.sendto, fd, addressOf(bytes), frame.length))
  keepAlive(bytes)
}

/** What a descriptor has received and nobody has asked for yet, or who has asked. */
class Inbox {
  readonly #fd: number
  readonly #received: Uint8Array[] = []
  #waiting: { isWanted: (bytes: Uint8Array) => boolean; resolve: (bytes: Uint8Array) => void } | undefined

  constructor(t: TestContext, fd: number) {
    this.#fd = fd
    const handle = poll(fd, () => this.#read())
    t.after(() => {
      handle.close()
      close(fd)
    })
  }

  next(isWanted: (bytes: Uint8Array) => boolean): Promise<Uint8Array> {
    return new Promise(resolve => {
      this.#waiting = { isWanted, resolve }
      this.#deliver()
    })
  }

  #read(): void {
    const buffer = stableBuffer(70_000)
    for (;;) {
      const length = syscall(SYSCALL.recvfrom, this.#fd, addressOf(buffer), buffer.length)
      if (length === -EAGAIN) break
      check('receive', length)
      this.#received.push(Uint8Array.from(buffer.subarray(0, length)))
    }
    this.#deliver()
  }

  #deliver(): void {
    const waiting = this.#waiting
    const found = waiting ? this.#received.findIndex(waiting.isWanted) : -1
    const [bytes] = found < 0 ? [] : this.#received.splice(found, 1)
    if (!waiting || !bytes) return
    this.#waiting = undefined
    waiting.resolve(bytes)
  }
}
