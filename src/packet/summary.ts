// One line for a packet, for people: test failures, logs, flows.

import { CUT_SHORT } from './bytes.ts'
import { type Decoded, type DecodedLayer, decode } from './decode.ts'
import { SCTP_CHUNK } from './sctp.ts'

/** Such as `10.0.0.1:4000 → 10.0.0.2:80 TCP SYN seq 1, 5 bytes`. Takes an Ethernet frame, or what `decode` made of one. */
export function summary(packet: Uint8Array | Pick<Decoded, 'layers'>): string {
  const { layers } = packet instanceof Uint8Array ? decode(packet) : packet
  return describe(layers.filter(layer => layer.kind !== 'padding'))
}

function describe(layers: readonly DecodedLayer[]): string {
  const [first, ...rest] = layers
  if (!first) return 'empty'
  switch (first.kind) {
    case 'ethernet': {
      const isPlain = rest[0] === undefined || rest[0].kind === 'payload'
      const type = `0x${first.etherType.toString(16).padStart(4, '0')}`
      return isPlain ? `${first.source} → ${first.destination} ethertype ${type}${bytesOf(rest)}` : describe(rest)
    }
    case 'vlan':
      return `vlan ${first.id} ${describe(rest)}`
    case 'arp':
      return describeArp(first)
    case 'ipv4':
    case 'ipv6':
      return describePacket(first, rest)
    case 'unparsed':
      return describeUnparsed(first)
    default:
      return describeTransport(layers)
  }
}

function describeUnparsed({ of, reason }: LayerOf<'unparsed'>): string {
  return `${NAME[of] ?? of} ${reason === CUT_SHORT ? reason : `malformed: ${reason}`}`
}

type LayerOf<K extends DecodedLayer['kind']> = Extract<DecodedLayer, { kind: K }>

function describeArp({ operation, senderIp, senderMac, targetIp }: LayerOf<'arp'>): string {
  if (operation === 1) return `ARP who has ${targetIp}, tell ${senderIp}`
  return operation === 2 ? `ARP ${senderIp} is at ${senderMac}` : `ARP operation ${operation}`
}

function describePacket(ip: LayerOf<'ipv4' | 'ipv6'>, rest: readonly DecodedLayer[]): string {
  const extensions = rest.filter((layer, i) => isExtension(layer) && rest.slice(0, i).every(isExtension))
  const inner = rest.slice(extensions.length)
  const [sourcePort, destinationPort] = portsOf(inner[0])
  const source = endpoint(ip.source, sourcePort)
  const destination = endpoint(ip.destination, destinationPort)
  return `${source} → ${destination} ${fragmentNote([ip, ...extensions])}${describeTransport(inner, protocolOf(ip, extensions))}`
}

/** Also those of a transport header that is cut short: a quoted packet often ends after its first 8 bytes. */
function portsOf(transport: DecodedLayer | undefined): readonly [] | readonly [source: number, destination: number] {
  if (!transport) return []
  if ('sourcePort' in transport) return [transport.sourcePort, transport.destinationPort]
  const hasPorts = transport.kind === 'unparsed' && ['tcp', 'udp', 'sctp'].includes(transport.of)
  if (!hasPorts || transport.content.length < 4) return []
  const [a = 0, b = 0, c = 0, d = 0] = transport.content
  return [a * 0x100 + b, c * 0x100 + d]
}

const isExtension = (layer: DecodedLayer): boolean => layer.kind === 'ipv6Extension' || layer.kind === 'ipv6Fragment'

function protocolOf(ip: LayerOf<'ipv4' | 'ipv6'>, extensions: readonly DecodedLayer[]): number {
  const last = extensions.at(-1) ?? ip
  return 'nextHeader' in last ? last.nextHeader : ip.kind === 'ipv4' ? ip.protocol : 0
}

function fragmentNote(headers: readonly DecodedLayer[]): string {
  for (const header of headers)
    if ('moreFragments' in header && (header.moreFragments || header.fragmentOffset > 0)) {
      const place = header.moreFragments ? `at ${header.fragmentOffset}` : `at ${header.fragmentOffset}, the last,`
      return `fragment ${place} of id ${header.identification} `
    }
  return ''
}

const endpoint = (address: string, port: number | undefined): string => {
  if (port === undefined) return address
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

const NAME: Readonly<Record<string, string>> = {
  ethernet: 'Ethernet',
  arp: 'ARP',
  ipv4: 'IPv4',
  ipv6: 'IPv6',
  tcp: 'TCP',
  udp: 'UDP',
  sctp: 'SCTP',
  icmpv4: 'ICMP',
  icmpv6: 'ICMPv6',
}
const PROTOCOL_NAME: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  59: 'nothing',
  132: 'SCTP',
}

function describeTransport(layers: readonly DecodedLayer[], protocol = 0): string {
  const [first, ...rest] = layers
  switch (first?.kind) {
    case 'tcp': {
      const flags = first.flags.map(flag => flag.toUpperCase()).join(' ') || 'no flags'
      const acknowledgement = first.flags.includes('ack') ? ` ack ${first.acknowledgement}` : ''
      return `TCP ${flags} seq ${first.sequence}${acknowledgement}${bytesOf(rest)}`
    }
    case 'udp':
      return `UDP${bytesOf(rest)}`
    case 'sctp':
      return `SCTP ${first.chunks.map(chunkName).join(' ') || 'no chunks'}`
    case 'icmpv4':
      return `ICMP ${describeMessage(first)}${about(rest)}`
    case 'icmpv6':
      return `ICMPv6 ${describeMessage(first)}${about(rest)}`
    case 'unparsed':
      return describeUnparsed(first)
    case 'payload':
    case undefined:
      return `${PROTOCOL_NAME[protocol] ?? `protocol ${protocol}`}${bytesOf(layers)}`
    default:
      return `carrying ${describe(layers)}`
  }
}

function chunkName(chunk: LayerOf<'sctp'>['chunks'][number]): string {
  const type = chunk.chunk === 'other' ? chunk.type : SCTP_CHUNK[chunk.chunk]
  const name = Object.entries(SCTP_CHUNK).find(([, value]) => value === type)?.[0]
  return name ? words(name).toUpperCase() : `chunk ${type}`
}

function describeMessage(layer: LayerOf<'icmpv4' | 'icmpv6'>): string {
  const parts = [layer.message === 'other' ? `type ${layer.type}` : words(layer.message)]
  if ('code' in layer && (layer.code !== 0 || layer.message === 'destinationUnreachable'))
    parts.push(`code ${layer.code}`)
  if ('identifier' in layer) parts.push(`id ${layer.identifier} seq ${layer.sequence}`)
  if ('target' in layer) parts.push(`for ${layer.target}`)
  if ('group' in layer) parts.push(`of ${layer.group}`)
  if ('records' in layer) parts.push(`of ${layer.records.map(record => record.group).join(', ')}`)
  if ('mtu' in layer && layer.mtu > 0) parts.push(`mtu ${layer.mtu}`)
  return parts.join(' ')
}

/** `echoRequest` as `echo request`. */
const words = (name: string): string => name.replace(/[A-Z2]/g, letter => ` ${letter.toLowerCase()}`)

/** The packet that an ICMP error quotes, or the size of what an echo carries. */
function about(rest: readonly DecodedLayer[]): string {
  const first = rest[0]
  return first && first.kind !== 'payload' ? ` about ${describe(rest)}` : bytesOf(rest)
}

function bytesOf(layers: readonly DecodedLayer[]): string {
  const length = layers.reduce((sum, layer) => sum + ('content' in layer ? layer.content.length : 0), 0)
  return length > 0 ? `, ${length} bytes` : ''
}
