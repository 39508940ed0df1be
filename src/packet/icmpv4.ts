// ICMP for IPv4 (RFC 792): echo and errors. The layers after an error are the packet
// that it is about.

import { formatIpv4, parseIpv4 } from '../ip/index.ts'
import { PacketError, pack, Reader, u8, u16, u32, with16 } from './bytes.ts'
import { internetChecksum } from './checksum.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'

export type Icmpv4Message =
  | { readonly message: 'echoRequest' | 'echoReply'; readonly identifier: number; readonly sequence: number }
  /** Codes: 0 network, 1 host, 2 protocol, 3 port, 4 fragmentation needed (then with `mtu`), 13 prohibited. */
  | { readonly message: 'destinationUnreachable'; readonly code: number; readonly mtu: number }
  | { readonly message: 'redirect'; readonly code: number; readonly gateway: string }
  /** Codes: 0 in transit, 1 in reassembly. */
  | { readonly message: 'timeExceeded'; readonly code: number }
  | { readonly message: 'parameterProblem'; readonly code: number; readonly pointer: number }
  /** Any other; `word` is the second half of the header. */
  | { readonly message: 'other'; readonly type: number; readonly code: number; readonly word: number }

export type Icmpv4 = { readonly kind: 'icmpv4'; readonly checksum?: number } & Icmpv4Message

/** `mtu` of an unreachable destination is 0 unless given. */
type Icmpv4Fields = { readonly checksum?: number } & (
  | Exclude<Icmpv4Message, { message: 'destinationUnreachable' }>
  | { readonly message: 'destinationUnreachable'; readonly code: number; readonly mtu?: number }
)

export function icmpv4(fields: Icmpv4Fields): Icmpv4 {
  if (fields.message === 'destinationUnreachable') return { kind: 'icmpv4', mtu: 0, ...fields }
  return { kind: 'icmpv4', ...fields }
}

export const ICMPV4 = 1
export const ICMPV4_TYPE = {
  echoReply: 0,
  destinationUnreachable: 3,
  redirect: 5,
  echoRequest: 8,
  timeExceeded: 11,
  parameterProblem: 12,
} as const

const ERRORS: readonly number[] = [3, 4, 5, 11, 12]

export function encodeIcmpv4(layer: Icmpv4, { body }: Inside): Uint8Array {
  const type = layer.message === 'other' ? layer.type : ICMPV4_TYPE[layer.message]
  const code = 'code' in layer ? layer.code : 0
  const bytes = pack(u8(type), u8(code), u16(0), encodeWord(layer), body)
  return with16(bytes, 2, layer.checksum ?? internetChecksum(bytes))
}

export function decodeIcmpv4(bytes: Uint8Array): Parsed<Resolved<Icmpv4>> {
  const reader = new Reader(bytes)
  const type = reader.u8()
  const code = reader.u8()
  const checksum = reader.u16()
  const word = reader.u32()
  return {
    layer: { kind: 'icmpv4', checksum, ...decodeMessage(type, code, word) },
    body: reader.rest(),
    next: ERRORS.includes(type) ? { by: 'quoted', value: 4 } : undefined,
  }
}

function encodeWord(layer: Icmpv4Message): Uint8Array | number[] {
  switch (layer.message) {
    case 'echoRequest':
    case 'echoReply':
      return [...u16(layer.identifier), ...u16(layer.sequence)]
    case 'destinationUnreachable':
      return [0, 0, ...u16(layer.mtu)]
    case 'redirect': {
      const gateway = parseIpv4(layer.gateway)
      if (!gateway) throw new PacketError(`"${layer.gateway}" is not an IPv4 address`)
      return gateway
    }
    case 'timeExceeded':
      return u32(0)
    case 'parameterProblem':
      return [...u8(layer.pointer), 0, 0, 0]
    case 'other':
      return u32(layer.word)
  }
}

/** What does not fit the form of its type is told as `other`, so that nothing is lost. */
function decodeMessage(type: number, code: number, word: number): Icmpv4Message {
  const high = Math.floor(word / 0x10000)
  const low = word % 0x10000
  if ((type === ICMPV4_TYPE.echoRequest || type === ICMPV4_TYPE.echoReply) && code === 0)
    return { message: type === ICMPV4_TYPE.echoRequest ? 'echoRequest' : 'echoReply', identifier: high, sequence: low }
  if (type === ICMPV4_TYPE.destinationUnreachable && high === 0)
    return { message: 'destinationUnreachable', code, mtu: low }
  if (type === ICMPV4_TYPE.redirect)
    return { message: 'redirect', code, gateway: formatIpv4(Uint8Array.from(u32(word))) }
  if (type === ICMPV4_TYPE.timeExceeded && word === 0) return { message: 'timeExceeded', code }
  if (type === ICMPV4_TYPE.parameterProblem && word % 0x1000000 === 0)
    return { message: 'parameterProblem', code, pointer: word / 0x1000000 }
  return { message: 'other', type, code, word }
}
