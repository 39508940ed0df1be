// Where a pod comes from when a service gives it to itself: addresses of no host, so that
// its answers pass the datapath (bpf/lib/translation.h).

import { isMapped } from '../ip/index.ts'

const LOOPBACK = {
  4: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 169, 254, 42, 1),
  6: Uint8Array.of(0xfd, 0x61, 0x78, 0x6f, 0x6e, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
}

/** Of the same family as the address. */
export const loopbackOf = (address: Uint8Array): Uint8Array => LOOPBACK[isMapped(address) ? 4 : 6]

export const isLoopback = (address: Uint8Array): boolean =>
  loopbackOf(address).every((byte, index) => byte === address[index])
