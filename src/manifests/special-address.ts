// Addresses that mean something else to every host, and that the API server therefore
// takes neither for backends nor for external addresses (ValidateNonSpecialIP).

import { formatIp, type IpAddress } from '../ip/index.ts'

/** Why an address can be neither a service's nor a backend's: it is every host's own, or that of no single one. */
export function specialAddress({ family, bytes }: IpAddress): string | undefined {
  const [first = 0, second = 0] = family === 4 ? bytes.subarray(12) : bytes
  const text = formatIp(bytes)
  if (text === '0.0.0.0' || text === '::') return 'stands for no address'
  if (family === 4 ? first === 127 : text === '::1') return 'is a loopback address'
  if (family === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80)
    return 'is a link-local address'
  if (family === 4 ? first >= 224 && first <= 239 : first === 0xff) return 'is a multicast address'
  return undefined
}
