// Random services for the differential test: few frontends and backends, so that they
// are often changed under connections, and taken by several at once.

import { compareBytes } from '../../src/ip/index.ts'
import type { Prediction } from '../../src/trace/index.ts'
import { between, type Conversation, type Family, type Packet, sctp, tcp, udp } from './cases.ts'
import { PROTOCOL } from './frames.ts'
import { A, B, C, HOST, OUTSIDE, type Party } from './node.ts'
import { type Exchange, FLAGS, PORTS, type Random, SERVICE_PORTS } from './random.ts'
import { LOOPBACK, SERVICES, type Service, type ServiceMaps } from './services.ts'

const BACKENDS: readonly Party[] = [A, B, C, OUTSIDE, HOST]
const PROTOCOLS = [PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp]

/** Some services, old or new, with other backends each time; ports meet those of packets. */
export function changeServices(random: Random, services: ServiceMaps): void {
  for (const family of [4, 6] as const)
    for (const frontend of SERVICES)
      for (const protocol of PROTOCOLS)
        if (!random.oneIn(3))
          changeService(random, services, { frontend, port: random.pick(SERVICE_PORTS), protocol }, family)
}

function changeService(
  random: Random,
  services: ServiceMaps,
  place: Pick<Service, 'frontend' | 'port' | 'protocol'>,
  family: Family,
): void {
  const service = { ...place, number: 1 + random.below(5), backends: [] }
  if (random.oneIn(5)) return services.remove(service, family)
  const count = random.oneIn(5) ? 0 : 1 + random.below(3)
  const backends = Array.from({ length: count }, () => ({
    party: random.pick(BACKENDS),
    port: random.pick(PORTS),
  }))
  const table = Array.from({ length: count && 1 + random.below(7) }, () => random.below(count))
  services.set(
    {
      ...service,
      backends,
      table,
      flags: [...(random.oneIn(3) ? (['HASHED'] as const) : []), ...(random.oneIn(12) ? (['NODE_ONLY'] as const) : [])],
      without: random.oneIn(3) ? 'DROP' : 'REJECT',
      affinitySeconds: random.oneIn(6) ? 1000 : 0,
    },
    family,
  )
}

/** A backend that goes; no frontend may name it any more, so all are taken away. */
export function removeBackends(random: Random, services: ServiceMaps): void {
  services.clear()
  for (const protocol of PROTOCOLS)
    for (const party of BACKENDS)
      for (const port of PORTS)
        if (random.oneIn(3))
          for (const family of [4, 6] as const) services.removeBackend({ party, port }, family, protocol)
}

/** What a backend says that was given to the client of an exchange. undefined: none was */
export function answering(random: Random, { family, there }: Exchange, prediction: Prediction): Exchange | undefined {
  const { seen, service, isReply } = prediction
  const asked = there()
  if (!seen || service === 0 || isReply || !SERVICES.includes(asked.to)) return undefined
  const at = (address: Uint8Array) => [...BACKENDS, LOOPBACK].find(party => compareBytes(party[family], address))
  const [client, backend] = [at(seen.source), at(seen.destination)]
  if (!client || !backend) return undefined
  const answer = between(backend, client, seen.destinationPort, seen.sourcePort)
  // The payload says what it was from and to: a port that was taken is not known to the client.
  const received = between(asked.to, asked.from, 0, 0)
  const make = makerOf(random, seen.protocol)
  if (!make) return undefined
  return { family, there, back: () => make(answer), received: () => make({ ...received, ...portsOf(asked, family) }) }
}

/** Of the answer to a packet. */
function portsOf(asked: Packet, family: Family): Pick<Conversation, 'sourcePort' | 'destinationPort'> {
  const ends = { source: asked.from[family], destination: asked.to[family] }
  const segment = asked.payload(ends, family)
  const view = new DataView(segment.buffer, segment.byteOffset)
  return { sourcePort: view.getUint16(2), destinationPort: view.getUint16(0) }
}

function makerOf(random: Random, protocol: number): ((ends: Conversation) => Packet) | undefined {
  if (protocol === PROTOCOL.tcp) return ends => tcp(ends, random.pick(FLAGS))
  if (protocol === PROTOCOL.udp) return udp
  return protocol === PROTOCOL.sctp ? sctp : undefined
}
