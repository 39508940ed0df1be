// Link-layer addresses: text to bytes and back. Pure.

import { AddressSyntaxError } from './address.ts'

/** Six pairs of hexadecimal digits with colons, to 6 bytes. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) return undefined
  return Uint8Array.from(text.split(':'), pair => Number.parseInt(pair, 16))
}

/** As `parseMac`, for text that must be right. @throws AddressSyntaxError */
export function mac(text: string): Uint8Array {
  const bytes = parseMac(text)
  if (!bytes) throw new AddressSyntaxError(`"${text}" is not a MAC address`)
  return bytes
}

/** Lower-case pairs with colons. Takes any length: tunnels and InfiniBand have other ones than 6. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':')
}
