// Addresses of sockets as system calls take them: struct sockaddr_in and sockaddr_in6.
// Source: include/uapi/linux/in.h, in6.h.

import { isMapped, mapIpv4 } from '../ip/index.ts'
import { AF_INET, AF_INET6 } from './addresses.ts'

/** Room for either. */
export const SOCKET_ADDRESS_BYTES = 28

/** One end of a connection. */
export type SocketEnd = {
  /** 16 bytes: IPv4 in mapped form, which is a socket of IPv4. */
  readonly address: Uint8Array
  readonly port: number
}

export const familyOf = (address: Uint8Array): typeof AF_INET | typeof AF_INET6 =>
  isMapped(address) ? AF_INET : AF_INET6

/** @returns how many bytes it took */
export function writeSocketAddress(buffer: Buffer, at: number, { address, port }: SocketEnd): 16 | 28 {
  buffer.fill(0, at, at + SOCKET_ADDRESS_BYTES)
  buffer.writeUInt16BE(port, at + 2)
  if (familyOf(address) === AF_INET) {
    buffer.writeUInt16LE(AF_INET, at)
    buffer.set(address.subarray(12), at + 4)
    return 16
  }
  buffer.writeUInt16LE(AF_INET6, at)
  buffer.set(address, at + 8)
  return 28
}

/** @returns undefined for an address of another family */
export function readSocketAddress(buffer: Buffer, at: number): SocketEnd | undefined {
  const family = buffer.readUInt16LE(at)
  const port = buffer.readUInt16BE(at + 2)
  if (family === AF_INET) return { address: mapIpv4(buffer.subarray(at + 4, at + 8)), port }
  if (family === AF_INET6) return { address: Uint8Array.from(buffer.subarray(at + 8, at + 24)), port }
  return undefined
}
