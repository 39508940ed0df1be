// TCP headers (RFC 9293) with their options.

import { bits, PacketError, pack, Reader, UnparsedError, u8, u16, u32, with16, zerosTo } from './bytes.ts'
import { type Addresses, transportChecksum } from './checksum.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'

/** In the order of their bits, lowest first. */
const FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ae'] as const
export type TcpFlag = (typeof FLAGS)[number]

export type TcpOption =
  | { readonly option: 'noOperation' }
  | { readonly option: 'maximumSegmentSize'; readonly bytes: number }
  | { readonly option: 'windowScale'; readonly shift: number }
  | { readonly option: 'selectiveAckPermitted' }
  | { readonly option: 'selectiveAck'; readonly blocks: readonly (readonly [left: number, right: number])[] }
  | { readonly option: 'timestamps'; readonly value: number; readonly echo: number }
  /** Any other; also a known one whose length is not its own. */
  | { readonly option: 'other'; readonly type: number; readonly content: Uint8Array }
  /** The rest of the options: from one whose length is impossible, or from an end that is not the end. */
  | { readonly option: 'malformed'; readonly content: Uint8Array }

export type Tcp = {
  readonly kind: 'tcp'
  readonly sourcePort: number
  readonly destinationPort: number
  readonly flags: readonly TcpFlag[]
  readonly sequence: number
  readonly acknowledgement: number
  readonly window: number
  readonly urgentPointer: number
  /** Ended by zeros up to a multiple of 4. At most 40 bytes. */
  readonly options: readonly TcpOption[]
  readonly checksum?: number
}

export function tcp(fields: Partial<Omit<Tcp, 'kind'>> & Pick<Tcp, 'sourcePort' | 'destinationPort' | 'flags'>): Tcp {
  return { kind: 'tcp', sequence: 0, acknowledgement: 0, window: 65535, urgentPointer: 0, options: [], ...fields }
}

export const TCP = 6
const MIN_HEADER = 20
const MAX_OPTIONS = 40

export function encodeTcp(layer: Tcp, { body }: Inside, addresses: Addresses | undefined): Uint8Array {
  const encoded = pack(...layer.options.map(encodeOption))
  const options = pack(encoded, zerosTo(encoded.length, 4))
  if (options.length > MAX_OPTIONS) throw new PacketError(`${options.length} bytes of TCP options`)
  const flags = FLAGS.reduce((sum, flag, bit) => sum + (layer.flags.includes(flag) ? 1 << bit : 0), 0)
  const segment = pack(
    u16(layer.sourcePort),
    u16(layer.destinationPort),
    u32(layer.sequence),
    u32(layer.acknowledgement),
    u16(((MIN_HEADER + options.length) / 4) * 0x1000 + flags),
    u16(layer.window),
    u16(0),
    u16(layer.urgentPointer),
    options,
    body,
  )
  return with16(segment, 16, layer.checksum ?? transportChecksum(TCP, segment, addresses))
}

export function decodeTcp(bytes: Uint8Array): Parsed<Resolved<Tcp>> {
  const reader = new Reader(bytes)
  const sourcePort = reader.u16()
  const destinationPort = reader.u16()
  const sequence = reader.u32()
  const acknowledgement = reader.u32()
  const offsetAndFlags = reader.u16()
  const headerLength = (offsetAndFlags >> 12) * 4
  if (headerLength < MIN_HEADER) throw new UnparsedError(`a header length of ${headerLength}`)
  const window = reader.u16()
  const checksum = reader.u16()
  const urgentPointer = reader.u16()
  const options = decodeOptions(reader.take(headerLength - MIN_HEADER))
  const flags = FLAGS.filter((_, bit) => offsetAndFlags & (1 << bit))
  return {
    layer: {
      kind: 'tcp',
      sourcePort,
      destinationPort,
      flags,
      sequence,
      acknowledgement,
      window,
      urgentPointer,
      options,
      checksum,
    },
    body: reader.rest(),
    next: undefined,
  }
}

const END = 0
const NO_OPERATION = 1
const TYPE = {
  maximumSegmentSize: 2,
  windowScale: 3,
  selectiveAckPermitted: 4,
  selectiveAck: 5,
  timestamps: 8,
} as const

function encodeOption(option: TcpOption): Uint8Array {
  const known = (type: number, ...content: readonly (readonly number[])[]): Uint8Array => {
    const bytes = pack(...content)
    return pack(u8(type), u8(bytes.length + 2), bytes)
  }
  switch (option.option) {
    case 'noOperation':
      return Uint8Array.of(NO_OPERATION)
    case 'maximumSegmentSize':
      return known(TYPE.maximumSegmentSize, u16(option.bytes))
    case 'windowScale':
      return known(TYPE.windowScale, u8(option.shift))
    case 'selectiveAckPermitted':
      return known(TYPE.selectiveAckPermitted)
    case 'selectiveAck':
      return known(TYPE.selectiveAck, ...option.blocks.flat().map(u32))
    case 'timestamps':
      return known(TYPE.timestamps, u32(option.value), u32(option.echo))
    case 'other':
      return pack(u8(bits(option.type, 8)), u8(option.content.length + 2), option.content)
    case 'malformed':
      return option.content
  }
}

function decodeOptions(bytes: Uint8Array): TcpOption[] {
  const options: TcpOption[] = []
  for (let at = 0; at < bytes.length; ) {
    const type = bytes[at] ?? END
    if (type === END && isPadding(bytes.subarray(at))) break
    if (type === NO_OPERATION) {
      options.push({ option: 'noOperation' })
      at += 1
      continue
    }
    const length = type === END ? 0 : (bytes[at + 1] ?? 0)
    if (length < 2 || at + length > bytes.length) {
      options.push({ option: 'malformed', content: bytes.subarray(at) })
      break
    }
    options.push(decodeOption(type, bytes.subarray(at + 2, at + length)))
    at += length
  }
  return options
}

/** What encoding would put there again: fewer than 4 zeros. */
const isPadding = (bytes: Uint8Array): boolean => bytes.length < 4 && bytes.every(byte => byte === 0)

function decodeOption(type: number, content: Uint8Array): TcpOption {
  const reader = new Reader(content)
  if (type === TYPE.maximumSegmentSize && content.length === 2)
    return { option: 'maximumSegmentSize', bytes: reader.u16() }
  if (type === TYPE.windowScale && content.length === 1) return { option: 'windowScale', shift: reader.u8() }
  if (type === TYPE.selectiveAckPermitted && content.length === 0) return { option: 'selectiveAckPermitted' }
  if (type === TYPE.timestamps && content.length === 8)
    return { option: 'timestamps', value: reader.u32(), echo: reader.u32() }
  if (type === TYPE.selectiveAck && content.length % 8 === 0) {
    const blocks = Array.from({ length: content.length / 8 }, () => [reader.u32(), reader.u32()] as const)
    return { option: 'selectiveAck', blocks }
  }
  return { option: 'other', type, content }
}
