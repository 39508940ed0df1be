// MurmurHash3 (32 bits) of what names a flow: the same number as flow_hash of
// bpf/lib/service.h on a little-endian machine. It chooses the slot of a Maglev table.

/** As on the wire, and as the maps have it: addresses of 16 bytes, IPv4 mapped. */
export type FlowTuple = {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly sourcePort: number
  readonly destinationPort: number
  readonly protocol: number
}

/** @return 32 bits, unsigned */
export function flowHash({ source, destination, sourcePort, destinationPort, protocol }: FlowTuple): number {
  let hash = mixAddress(mixAddress(0, source), destination)
  hash = mixWord(hash, (swap(sourcePort) | (swap(destinationPort) << 16)) >>> 0)
  return finish(mixWord(hash, protocol), 40)
}

/** Slot of a table of so many that the flow's hash leads to: the high bits of the product, as slot_choose has it. */
export function slotOfHash(hash: number, count: number): number {
  return Math.floor((hash * count) / 2 ** 32)
}

/** Hash of an address and port of a backend, by a seed. */
export function backendHash(address: Uint8Array, port: number, protocol: number, seed: number): number {
  return finish(mixWord(mixAddress(seed, address), (port << 8) | protocol), 20)
}

/** Ports are in network order in the tuple. */
const swap = (port: number): number => ((port & 0xff) << 8) | (port >> 8)

function mixAddress(hash: number, bytes: Uint8Array): number {
  let mixed = hash
  for (let i = 0; i < 16; i += 4) {
    const word =
      (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24)
    mixed = mixWord(mixed, word)
  }
  return mixed
}

function mixWord(hash: number, word: number): number {
  let mixed = Math.imul(word, 0xcc9e2d51)
  mixed = (mixed << 15) | (mixed >>> 17)
  mixed = hash ^ Math.imul(mixed, 0x1b873593)
  mixed = (mixed << 13) | (mixed >>> 19)
  return (Math.imul(mixed, 5) + 0xe6546b64) | 0
}

function finish(hash: number, length: number): number {
  let mixed = hash ^ length
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
