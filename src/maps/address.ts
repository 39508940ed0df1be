// bpf/lib/address.h: addresses as the maps keep them.

import type { IpAddress } from '../ip/index.ts'
import { type StructValue, struct } from './layout.ts'

/** 16 bytes; IPv4 in mapped form. */
export const addressShape = struct('address', { bytes: 'bytes' })
export type Address = StructValue<typeof addressShape>

export const toAddress = (address: IpAddress): Address => ({ bytes: address.bytes })
