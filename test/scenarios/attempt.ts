// Whether one end may open a connection to another, as the predictor reads it from the
// maps of a simulated node: by the first packet, sent from where that end is.

import { formatIp, ip } from '../../src/ip/index.ts'
import { PROTOCOLS } from '../../src/labels/index.ts'
import { ethernet, frame, ipv4, ipv6, tcp, udp } from '../../src/packet/index.ts'
import type { Endpoint } from '../../src/tables/index.ts'
import { type Prediction, predict, type Question } from '../../src/trace/index.ts'
import { HOST_MAC, NODE, type SimulatedNode } from './simulated-node.ts'

/** An endpoint of the node, a process of the node itself, or whoever has an address elsewhere. */
export type End =
  | { readonly kind: 'endpoint'; readonly endpoint: Endpoint }
  | { readonly kind: 'host' }
  | { readonly kind: 'address'; readonly address: string }

export type Port = { readonly protocol: 'TCP' | 'UDP'; readonly port: number }

/** A device that packets from elsewhere come in by. */
const UPLINK_IFINDEX = 2
const OUTSIDE_MAC = '02:00:00:00:00:99'
const SOURCE_PORT = 40_000

/** @returns undefined where the two have no addresses of this family, or both are elsewhere */
export function attempt(node: SimulatedNode, from: End, to: End, port: Port, family: 4 | 6): Prediction | undefined {
  const question = firstPacket(from, to, port, family)
  return question && predict(node.world, question)
}

/** The packet that opens the connection, where the node meets it. @returns as `attempt` */
export function firstPacket(from: End, to: End, port: Port, family: 4 | 6): Question | undefined {
  const source = addressOf(from, family)
  const destination = addressOf(to, family)
  if (source === undefined || destination === undefined) return undefined
  const place = placeOf(from, to)
  return place && { ...place, frame: packet(from, source, destination, port, family), now: 0n }
}

/** `allowed`, or the reason why not. */
export const outcome = ({ verdict, reason }: Prediction): string => (verdict === 'dropped' ? reason : 'allowed')

/** An address of the end, canonical. */
export function addressOf(end: End, family: 4 | 6): string | undefined {
  const all =
    end.kind === 'endpoint'
      ? end.endpoint.addresses
      : end.kind === 'host'
        ? NODE.addresses
        : [formatIp(ip(end.address).bytes)]
  return all.find(address => ip(address).family === family)
}

/** Where the node sees the packet: as it leaves the sending pod, or as it is about to reach the receiving one. */
function placeOf(from: End, to: End): Pick<Question, 'hook' | 'ifindex' | 'ingressIfindex'> | undefined {
  if (from.kind === 'endpoint') return { hook: 'from_pod', ifindex: from.endpoint.ifindex, ingressIfindex: 0 }
  if (to.kind !== 'endpoint') return undefined
  return { hook: 'to_pod', ifindex: to.endpoint.ifindex, ingressIfindex: from.kind === 'host' ? 0 : UPLINK_IFINDEX }
}

function packet(from: End, source: string, destination: string, { protocol, port }: Port, family: 4 | 6): Uint8Array {
  const sender = from.kind === 'endpoint' ? from.endpoint.mac : OUTSIDE_MAC
  const network = family === 4 ? ipv4({ source, destination }) : ipv6({ source, destination })
  const ports = { sourcePort: SOURCE_PORT, destinationPort: port }
  const transport = PROTOCOLS[protocol] === PROTOCOLS.TCP ? tcp({ ...ports, flags: ['syn'] }) : udp(ports)
  return frame(ethernet({ source: sender, destination: HOST_MAC }), network, transport)
}
