// ICMP for IPv6: echo and errors (RFC 4443), neighbour discovery (RFC 4861), multicast
// listener discovery (RFC 2710, RFC 3810). The layers after an error are the packet that
// it is about.

import { formatIpv6 } from '../ip/index.ts'
import { pack, Reader, UnparsedError, u8, u16, u32, with16 } from './bytes.ts'
import { type Addresses, transportChecksum } from './checksum.ts'
import { ipv6Address } from './ipv6.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'
import { decodeOptions, encodeOptions, type NeighbourOption } from './neighbour-options.ts'

/** A record of an MLDv2 report. Types: 1 is include, 2 is exclude, 3 to include, 4 to exclude, 5 allow, 6 block. */
export type GroupRecord = { readonly type: number; readonly group: string; readonly sources: readonly string[] }

type Options = { readonly options: readonly NeighbourOption[] }

export type Icmpv6Message =
  | { readonly message: 'echoRequest' | 'echoReply'; readonly identifier: number; readonly sequence: number }
  /** Codes: 0 no route, 1 prohibited, 3 address, 4 port. */
  | { readonly message: 'destinationUnreachable'; readonly code: number }
  | { readonly message: 'packetTooBig'; readonly mtu: number }
  | { readonly message: 'timeExceeded'; readonly code: number }
  | { readonly message: 'parameterProblem'; readonly code: number; readonly pointer: number }
  | ({ readonly message: 'routerSolicitation' } & Options)
  | ({
      readonly message: 'routerAdvertisement'
      readonly hopLimit: number
      readonly managed: boolean
      readonly otherConfiguration: boolean
      readonly lifetimeSeconds: number
      readonly reachableTimeMs: number
      readonly retransmitTimerMs: number
    } & Options)
  | ({ readonly message: 'neighbourSolicitation'; readonly target: string } & Options)
  | ({
      readonly message: 'neighbourAdvertisement'
      readonly target: string
      readonly router: boolean
      readonly solicited: boolean
      readonly override: boolean
    } & Options)
  /** MLDv1; a query of group `::` asks about all. */
  | {
      readonly message: 'listenerQuery' | 'listenerReport' | 'listenerDone'
      readonly maximumDelayMs: number
      readonly group: string
    }
  /** MLDv2. */
  | { readonly message: 'listenerReport2'; readonly records: readonly GroupRecord[] }
  /** Any other; its content follows as payload. */
  | { readonly message: 'other'; readonly type: number; readonly code: number }

export type Icmpv6 = { readonly kind: 'icmpv6'; readonly checksum?: number } & Icmpv6Message

export function icmpv6(fields: { readonly checksum?: number } & Icmpv6Message): Icmpv6 {
  return { kind: 'icmpv6', ...fields }
}

export const ICMPV6 = 58
export const ICMPV6_TYPE = {
  destinationUnreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echoRequest: 128,
  echoReply: 129,
  listenerQuery: 130,
  listenerReport: 131,
  listenerDone: 132,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
  listenerReport2: 143,
} as const

type MessageName = keyof typeof ICMPV6_TYPE
const NAME_BY_TYPE = new Map(
  (Object.keys(ICMPV6_TYPE) as MessageName[]).map(name => [ICMPV6_TYPE[name] as number, name]),
)
const IS_ERROR = (type: number): boolean => type < 128

export function encodeIcmpv6(layer: Icmpv6, { body }: Inside, addresses: Addresses | undefined): Uint8Array {
  const type = layer.message === 'other' ? layer.type : ICMPV6_TYPE[layer.message]
  const code = 'code' in layer ? layer.code : 0
  const bytes = pack(u8(type), u8(code), u16(0), encodeContent(layer), body)
  return with16(bytes, 2, layer.checksum ?? transportChecksum(ICMPV6, bytes, addresses))
}

export function decodeIcmpv6(bytes: Uint8Array): Parsed<Resolved<Icmpv6>> {
  const reader = new Reader(bytes)
  const type = reader.u8()
  const code = reader.u8()
  const checksum = reader.u16()
  const name = NAME_BY_TYPE.get(type)
  // Only errors have codes; anything else with one is not what its type says.
  const isKnown = name !== undefined && (IS_ERROR(type) ? type !== ICMPV6_TYPE.packetTooBig || code === 0 : code === 0)
  const message: Icmpv6Message = isKnown ? decodeContent(name, code, reader) : { message: 'other', type, code }
  return {
    layer: { kind: 'icmpv6', checksum, ...message },
    body: reader.rest(),
    next: isKnown && IS_ERROR(type) ? { by: 'quoted', value: 6 } : undefined,
  }
}

function encodeContent(layer: Icmpv6Message): Uint8Array {
  switch (layer.message) {
    case 'echoRequest':
    case 'echoReply':
      return pack(u16(layer.identifier), u16(layer.sequence))
    case 'destinationUnreachable':
    case 'timeExceeded':
      return pack(u32(0))
    case 'packetTooBig':
      return pack(u32(layer.mtu))
    case 'parameterProblem':
      return pack(u32(layer.pointer))
    case 'routerSolicitation':
      return pack(u32(0), encodeOptions(layer.options))
    case 'routerAdvertisement': {
      const flags = (layer.managed ? 0x80 : 0) + (layer.otherConfiguration ? 0x40 : 0)
      const times = pack(u16(layer.lifetimeSeconds), u32(layer.reachableTimeMs), u32(layer.retransmitTimerMs))
      return pack(u8(layer.hopLimit), u8(flags), times, encodeOptions(layer.options))
    }
    case 'neighbourSolicitation':
      return pack(u32(0), ipv6Address(layer.target), encodeOptions(layer.options))
    case 'neighbourAdvertisement': {
      const flags = (layer.router ? 0x80 : 0) + (layer.solicited ? 0x40 : 0) + (layer.override ? 0x20 : 0)
      return pack(u8(flags), [0, 0, 0], ipv6Address(layer.target), encodeOptions(layer.options))
    }
    case 'listenerQuery':
    case 'listenerReport':
    case 'listenerDone':
      return pack(u16(layer.maximumDelayMs), u16(0), ipv6Address(layer.group))
    case 'listenerReport2':
      return pack(u16(0), u16(layer.records.length), ...layer.records.map(encodeRecord))
    case 'other':
      return new Uint8Array(0)
  }
}

function decodeContent(message: MessageName, code: number, reader: Reader): Icmpv6Message {
  switch (message) {
    case 'echoRequest':
    case 'echoReply':
      return { message, identifier: reader.u16(), sequence: reader.u16() }
    case 'destinationUnreachable':
    case 'timeExceeded':
      reader.u32()
      return { message, code }
    case 'packetTooBig':
      return { message, mtu: reader.u32() }
    case 'parameterProblem':
      return { message, code, pointer: reader.u32() }
    case 'routerSolicitation':
      reader.u32()
      return { message, options: decodeOptions(reader) }
    case 'routerAdvertisement': {
      const hopLimit = reader.u8()
      const flags = reader.u8()
      const [managed, otherConfiguration] = [(flags & 0x80) !== 0, (flags & 0x40) !== 0]
      const [lifetimeSeconds, reachableTimeMs, retransmitTimerMs] = [reader.u16(), reader.u32(), reader.u32()]
      const options = decodeOptions(reader)
      return {
        message,
        hopLimit,
        managed,
        otherConfiguration,
        lifetimeSeconds,
        reachableTimeMs,
        retransmitTimerMs,
        options,
      }
    }
    case 'neighbourSolicitation':
      reader.u32()
      return { message, target: formatIpv6(reader.take(16)), options: decodeOptions(reader) }
    case 'neighbourAdvertisement': {
      const flags = reader.u8()
      reader.take(3)
      const [router, solicited, override] = [(flags & 0x80) !== 0, (flags & 0x40) !== 0, (flags & 0x20) !== 0]
      return {
        message,
        target: formatIpv6(reader.take(16)),
        router,
        solicited,
        override,
        options: decodeOptions(reader),
      }
    }
    case 'listenerQuery':
    case 'listenerReport':
    case 'listenerDone': {
      // A longer query is one of version 2: what it adds follows as payload.
      const maximumDelayMs = reader.u16()
      reader.u16()
      return { message, maximumDelayMs, group: formatIpv6(reader.take(16)) }
    }
    case 'listenerReport2': {
      reader.u16()
      return { message, records: Array.from({ length: reader.u16() }, () => decodeRecord(reader)) }
    }
  }
}

function encodeRecord({ type, group, sources }: GroupRecord): Uint8Array {
  return pack(u8(type), u8(0), u16(sources.length), ipv6Address(group), ...sources.map(ipv6Address))
}

function decodeRecord(reader: Reader): GroupRecord {
  const type = reader.u8()
  if (reader.u8() !== 0) throw new UnparsedError('auxiliary data in a listener report')
  const count = reader.u16()
  const group = formatIpv6(reader.take(16))
  return { type, group, sources: Array.from({ length: count }, () => formatIpv6(reader.take(16))) }
}
