// Options of neighbour discovery messages (RFC 4861 section 4.6).

import { formatIpv6, formatMac, mac } from '../ip/index.ts'
import { pack, Reader, UnparsedError, u8, u16, u32, zerosTo } from './bytes.ts'
import { ipv6Address } from './ipv6.ts'

export type NeighbourOption =
  | { readonly option: 'sourceLinkAddress' | 'targetLinkAddress'; readonly mac: string }
  | {
      readonly option: 'prefix'
      readonly prefix: string
      readonly prefixLength: number
      readonly onLink: boolean
      readonly autonomous: boolean
      readonly validSeconds: number
      readonly preferredSeconds: number
    }
  | { readonly option: 'mtu'; readonly mtu: number }
  /** Any other; the content is filled up with zeros to a whole number of 8-byte units. */
  | { readonly option: 'other'; readonly type: number; readonly content: Uint8Array }

const TYPE = { sourceLinkAddress: 1, targetLinkAddress: 2, prefix: 3, mtu: 5 } as const

export function encodeOptions(options: readonly NeighbourOption[]): Uint8Array {
  return pack(
    ...options.map(option => {
      const content = encodeContent(option)
      const padding = zerosTo(content.length + 2, 8)
      const type = option.option === 'other' ? option.type : TYPE[option.option]
      return pack(u8(type), u8((2 + content.length + padding.length) / 8), content, padding)
    }),
  )
}

/** Reads options to the end. @throws UnparsedError */
export function decodeOptions(reader: Reader): NeighbourOption[] {
  const options: NeighbourOption[] = []
  while (reader.left > 0) {
    const type = reader.u8()
    const length = reader.u8() * 8
    if (length === 0) throw new UnparsedError('an option of length 0')
    options.push(decodeContent(type, reader.take(length - 2)))
  }
  return options
}

function encodeContent(option: NeighbourOption): Uint8Array {
  switch (option.option) {
    case 'sourceLinkAddress':
    case 'targetLinkAddress':
      return mac(option.mac)
    case 'prefix': {
      const flags = (option.onLink ? 0x80 : 0) + (option.autonomous ? 0x40 : 0)
      const times = pack(u32(option.validSeconds), u32(option.preferredSeconds), u32(0))
      return pack(u8(option.prefixLength), u8(flags), times, ipv6Address(option.prefix))
    }
    case 'mtu':
      return pack(u16(0), u32(option.mtu))
    case 'other':
      return option.content
  }
}

function decodeContent(type: number, content: Uint8Array): NeighbourOption {
  const reader = new Reader(content)
  if ((type === TYPE.sourceLinkAddress || type === TYPE.targetLinkAddress) && content.length === 6)
    return {
      option: type === TYPE.sourceLinkAddress ? 'sourceLinkAddress' : 'targetLinkAddress',
      mac: formatMac(content),
    }
  if (type === TYPE.mtu && content.length === 6) {
    reader.u16()
    return { option: 'mtu', mtu: reader.u32() }
  }
  if (type === TYPE.prefix && content.length === 30) {
    const prefixLength = reader.u8()
    const flags = reader.u8()
    const [validSeconds, preferredSeconds] = [reader.u32(), reader.u32()]
    reader.u32()
    const [onLink, autonomous] = [(flags & 0x80) !== 0, (flags & 0x40) !== 0]
    const prefix = formatIpv6(reader.rest())
    return { option: 'prefix', prefix, prefixLength, onLink, autonomous, validSeconds, preferredSeconds }
  }
  return { option: 'other', type, content }
}
