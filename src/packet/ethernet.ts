// Ethernet II headers and VLAN tags (IEEE 802.3, 802.1Q), and ARP for IPv4 (RFC 826).

import { formatIpv4, formatMac, mac, parseIpv4 } from '../ip/index.ts'
import { bits, PacketError, pack, Reader, UnparsedError, u16 } from './bytes.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'

export const ETHER_TYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, serviceVlan: 0x88a8, ipv6: 0x86dd } as const

export type Ethernet = {
  readonly kind: 'ethernet'
  readonly source: string
  readonly destination: string
  /** Follows from the next layer unless given. */
  readonly etherType?: number
}

/** Locally administered addresses ending in 1 and 2 unless given. */
export function ethernet(fields: Partial<Omit<Ethernet, 'kind'>> = {}): Ethernet {
  return { kind: 'ethernet', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02', ...fields }
}

export function encodeEthernet(layer: Ethernet, inside: Inside): Uint8Array {
  return pack(mac(layer.destination), mac(layer.source), u16(etherTypeOf(layer, inside)), inside.body)
}

export function decodeEthernet(bytes: Uint8Array): Parsed<Resolved<Ethernet>> {
  const reader = new Reader(bytes)
  const destination = formatMac(reader.take(6))
  const source = formatMac(reader.take(6))
  const etherType = reader.u16()
  return { layer: { kind: 'ethernet', source, destination, etherType }, body: reader.rest(), next: nextOf(etherType) }
}

export type Vlan = {
  readonly kind: 'vlan'
  /** 0-4095. */
  readonly id: number
  /** 0-7. */
  readonly priority: number
  readonly dropEligible: boolean
  /** An 802.1ad service tag, the outer of two. */
  readonly service: boolean
  readonly etherType?: number
}

export function vlan(fields: Partial<Omit<Vlan, 'kind'>> & Pick<Vlan, 'id'>): Vlan {
  return { kind: 'vlan', priority: 0, dropEligible: false, service: false, ...fields }
}

export function encodeVlan(layer: Vlan, inside: Inside): Uint8Array {
  const control = bits(layer.priority, 3) * 0x2000 + (layer.dropEligible ? 0x1000 : 0) + bits(layer.id, 12)
  return pack(u16(control), u16(etherTypeOf(layer, inside)), inside.body)
}

export function decodeVlan(bytes: Uint8Array, service: boolean): Parsed<Resolved<Vlan>> {
  const reader = new Reader(bytes)
  const control = reader.u16()
  const etherType = reader.u16()
  const dropEligible = (control & 0x1000) !== 0
  const layer = {
    kind: 'vlan',
    id: control & 0xfff,
    priority: control >> 13,
    dropEligible,
    service,
    etherType,
  } as const
  return { layer, body: reader.rest(), next: nextOf(etherType) }
}

export type Arp = {
  readonly kind: 'arp'
  /** 1 request, 2 reply. */
  readonly operation: number
  readonly senderMac: string
  readonly senderIp: string
  readonly targetMac: string
  readonly targetIp: string
}

export const ARP_OPERATION = { request: 1, reply: 2 } as const

type ArpFields = Omit<Arp, 'kind' | 'operation' | 'targetMac'> & {
  readonly operation: keyof typeof ARP_OPERATION | number
  /** Zeros unless given, as in a request. */
  readonly targetMac?: string
}

export function arp({ operation, ...fields }: ArpFields): Arp {
  const number = typeof operation === 'number' ? operation : ARP_OPERATION[operation]
  return { kind: 'arp', targetMac: '00:00:00:00:00:00', ...fields, operation: number }
}

const ETHERNET_AND_IPV4 = [0, 1, 8, 0, 6, 4]

export function encodeArp(layer: Arp): Uint8Array {
  const four = (text: string): Uint8Array => {
    const bytes = parseIpv4(text)
    if (!bytes) throw new PacketError(`"${text}" is not an IPv4 address`)
    return bytes
  }
  const sender = pack(mac(layer.senderMac), four(layer.senderIp))
  return pack(ETHERNET_AND_IPV4, u16(layer.operation), sender, mac(layer.targetMac), four(layer.targetIp))
}

export function decodeArp(bytes: Uint8Array): Parsed<Resolved<Arp>> {
  const reader = new Reader(bytes)
  if (!ETHERNET_AND_IPV4.every(byte => byte === reader.u8())) throw new UnparsedError('not ARP for IPv4 on Ethernet')
  const operation = reader.u16()
  const senderMac = formatMac(reader.take(6))
  const senderIp = formatIpv4(reader.take(4))
  const targetMac = formatMac(reader.take(6))
  const targetIp = formatIpv4(reader.take(4))
  const layer = { kind: 'arp', operation, senderMac, senderIp, targetMac, targetIp } as const
  return { layer, body: new Uint8Array(0), next: undefined, surplus: reader.rest() }
}

function etherTypeOf(layer: Ethernet | Vlan, inside: Inside): number {
  const etherType = layer.etherType ?? inside.etherType
  if (etherType === undefined) throw new PacketError(`${layer.kind} needs an etherType when a plain payload follows`)
  return etherType
}

/** Below 0x600 the field is the length of an 802.3 frame. */
const nextOf = (etherType: number) => (etherType < 0x600 ? undefined : ({ by: 'etherType', value: etherType } as const))
