// Reads packets into layers. Never throws: what cannot be read stands as an `unparsed`
// layer with its bytes and the reason, so that `frame(...layers)` gives the packet again
// (but for reserved bits, which are not kept).

import { UnparsedError } from './bytes.ts'
import { type Arp, decodeArp, decodeEthernet, decodeVlan, ETHER_TYPE, type Ethernet, type Vlan } from './ethernet.ts'
import { frame, type Layer, type LayerKind, type Padding, type Payload, type Unparsed } from './frame.ts'
import { decodeIcmpv4, ICMPV4, type Icmpv4 } from './icmpv4.ts'
import { decodeIcmpv6, ICMPV6, type Icmpv6 } from './icmpv6.ts'
import { decodeIpv4, type Ipv4 } from './ipv4.ts'
import {
  decodeIpv6,
  decodeIpv6Extension,
  decodeIpv6Fragment,
  EXTENSION,
  FRAGMENT_HEADER,
  type Ipv6,
  type Ipv6Extension,
  type Ipv6Fragment,
} from './ipv6.ts'
import type { Next, Parsed, Resolved } from './layer.ts'
import { decodeSctp, SCTP, type Sctp } from './sctp.ts'
import { decodeTcp, TCP, type Tcp } from './tcp.ts'
import { decodeUdp, UDP, type Udp } from './udp.ts'

/** A header with every field that the packet had. */
export type DecodedHeader = Resolved<
  Ethernet | Vlan | Arp | Ipv4 | Ipv6 | Ipv6Extension | Ipv6Fragment | Tcp | Udp | Sctp | Icmpv4 | Icmpv6
>
export type DecodedLayer = DecodedHeader | Payload | Unparsed | Required<Padding>

export type Decoded = {
  readonly layers: readonly DecodedLayer[]
  /** The bytes end before the packet does. A packet quoted in an ICMP error may end early. */
  readonly truncated: boolean
}

/** Reads an Ethernet frame. */
export function decode(bytes: Uint8Array): Decoded {
  return parse(bytes, ETHERNET)
}

/** The outermost layer of a kind, such as `layerOf(decoded, 'tcp')?.flags`. */
export function layerOf<K extends DecodedLayer['kind']>(
  { layers }: Pick<Decoded, 'layers'>,
  kind: K,
): Extract<DecodedLayer, { kind: K }> | undefined {
  return layers.find((layer): layer is Extract<DecodedLayer, { kind: K }> => layer.kind === kind)
}

/**
 * The kinds of layers whose checksum is wrong, outermost first. Not judged are transport checksums of fragments and of
 * packets that are cut short, and UDP without a checksum over IPv4.
 */
export function badChecksums({ layers }: Pick<Decoded, 'layers'>): LayerKind[] {
  const bad: LayerKind[] = []
  let isWhole = true
  let family: 'ipv4' | 'ipv6' | undefined
  for (const [i, layer] of layers.entries()) {
    if (layer.kind === 'ipv4' || layer.kind === 'ipv6') {
      family = layer.kind
      isWhole = !isCutShort(layers, i)
    }
    if ('moreFragments' in layer && (layer.moreFragments || layer.fragmentOffset > 0)) isWhole = false
    if (!('checksum' in layer) || (layer.kind !== 'ipv4' && !isWhole)) continue
    if (layer.kind === 'udp' && layer.checksum === 0 && family === 'ipv4') continue
    if (checksumShouldBe(layers, i) !== layer.checksum) bad.push(layer.kind)
  }
  return bad
}

type Step = { readonly kind: LayerKind; readonly read: (bytes: Uint8Array) => Parsed<DecodedHeader> }

const ETHERNET: Step = { kind: 'ethernet', read: decodeEthernet }
const IPV4: Step = { kind: 'ipv4', read: decodeIpv4 }
const IPV6: Step = { kind: 'ipv6', read: decodeIpv6 }

const BY_ETHER_TYPE: ReadonlyMap<number, Step> = new Map([
  [ETHER_TYPE.ipv4 as number, IPV4],
  [ETHER_TYPE.ipv6, IPV6],
  [ETHER_TYPE.arp, { kind: 'arp', read: decodeArp }],
  [ETHER_TYPE.vlan, { kind: 'vlan', read: bytes => decodeVlan(bytes, false) }],
  [ETHER_TYPE.serviceVlan, { kind: 'vlan', read: bytes => decodeVlan(bytes, true) }],
])

const EXTENSION_STEPS = (Object.keys(EXTENSION) as (keyof typeof EXTENSION)[]).map((type): [number, Step] => [
  EXTENSION[type],
  { kind: 'ipv6Extension', read: bytes => decodeIpv6Extension(bytes, type) },
])
const BY_PROTOCOL: ReadonlyMap<number, Step> = new Map([
  [4, IPV4],
  [41, IPV6],
  [TCP, { kind: 'tcp', read: decodeTcp }],
  [UDP, { kind: 'udp', read: decodeUdp }],
  [SCTP, { kind: 'sctp', read: decodeSctp }],
  [ICMPV4, { kind: 'icmpv4', read: decodeIcmpv4 }],
  [ICMPV6, { kind: 'icmpv6', read: decodeIcmpv6 }],
  [FRAGMENT_HEADER, { kind: 'ipv6Fragment', read: decodeIpv6Fragment }],
  ...EXTENSION_STEPS,
])

function stepFor(next: Next): Step | undefined {
  if (next?.by === 'etherType') return BY_ETHER_TYPE.get(next.value)
  if (next?.by === 'protocol') return BY_PROTOCOL.get(next.value)
  return next && (next.value === 4 ? IPV4 : IPV6)
}

/** More headers than any sane packet has. */
const MAX_HEADERS = 32

function parse(input: Uint8Array, start: Step): Decoded {
  // A copy: layers hold parts of it, and the caller's buffer may be used again.
  let bytes: Uint8Array = Uint8Array.from(input)
  let step: Step | undefined = start
  let truncated = false
  let isQuoted = false
  const layers: DecodedLayer[] = []
  const paddings: Required<Padding>[] = []
  while (step && layers.length < MAX_HEADERS) {
    const outcome = attempt(step, bytes)
    if ('kind' in outcome) {
      truncated ||= outcome.truncated && !isQuoted
      layers.push({ kind: 'unparsed', of: step.kind, reason: outcome.reason, content: bytes })
      return { layers: [...layers, ...paddings], truncated }
    }
    const { layer, body, next, surplus } = outcome
    layers.push(layer)
    if (surplus && surplus.length > 0) paddings.unshift({ kind: 'padding', content: surplus, after: layers.length - 1 })
    truncated ||= outcome.truncated === true && !isQuoted
    isQuoted ||= next?.by === 'quoted'
    bytes = body
    // Nothing is quoted when nothing is there.
    step = next?.by === 'quoted' && body.length === 0 ? undefined : stepFor(next)
  }
  if (bytes.length > 0) layers.push({ kind: 'payload', content: bytes })
  return { layers: [...layers, ...paddings], truncated }
}

function attempt(
  step: Step,
  bytes: Uint8Array,
): Parsed<DecodedHeader> | { kind: 'unparsed'; reason: string; truncated: boolean } {
  try {
    return step.read(bytes)
  } catch (error) {
    if (!(error instanceof UnparsedError)) throw error
    return { kind: 'unparsed', reason: error.message, truncated: error.truncated }
  }
}

function checksumShouldBe(layers: readonly DecodedLayer[], index: number): number | undefined {
  const without = layers.map((layer, i): Layer => {
    if (i !== index || !('checksum' in layer)) return layer
    const { checksum: _, ...rest } = layer
    return rest
  })
  const rebuilt = parse(frame(...without), startOf(layers[0]?.kind)).layers[index]
  return rebuilt && 'checksum' in rebuilt ? rebuilt.checksum : undefined
}

function startOf(kind: Layer['kind'] | undefined): Step {
  return kind === 'ipv4' ? IPV4 : kind === 'ipv6' ? IPV6 : ETHERNET
}

/** Whether the packet at `index` says that it is longer than what is there. */
function isCutShort(layers: readonly DecodedLayer[], index: number): boolean {
  const layer = layers[index]
  const inside = layers.slice(index).filter(each => each.kind !== 'padding')
  const length = frame(...inside).length
  if (layer?.kind === 'ipv4') return layer.totalLength > length
  return layer?.kind === 'ipv6' && layer.payloadLength + 40 > length
}
