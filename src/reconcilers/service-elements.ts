// What a service is in the maps: its elements, given the ranges of slots that its ports
// have. Pure. Each element has a text that is the same exactly where its key is.

import { cidr, formatIp, ip, mappedLength } from '../ip/index.ts'
import {
  type AffinityBackend,
  type Backend,
  type BackendRange,
  type Frontend,
  type FrontendFlag,
  type FrontendKey,
  type Schema,
  type SourceRangeKey,
  toAddress,
} from '../maps/index.ts'
import { type ClientKind, notChosenOf, type ServiceFrontend, takesSourceRanges } from '../services/index.ts'
import type { NumberedBackend, NumberedPort, ServiceEntry } from '../tables/index.ts'

/** By the text of the key, or by the id. */
export type ServiceElements = {
  readonly frontends: ReadonlyMap<string, readonly [FrontendKey, Frontend]>
  readonly backends: ReadonlyMap<number, Backend>
  readonly affinity: ReadonlyMap<string, readonly [AffinityBackend, number]>
  readonly sourceRanges: ReadonlyMap<string, readonly [SourceRangeKey, number]>
}

/** Of clients in the cluster, and of those outside. */
export type PortRanges = readonly [BackendRange, BackendRange]

export const isChosen = (backend: NumberedBackend, kind: ClientKind): boolean =>
  notChosenOf(backend, kind) === undefined

/** @param ranges of each port of the row */
export function elementsOf(schema: Schema, row: ServiceEntry, ranges: readonly PortRanges[]): ServiceElements {
  const frontends = new Map<string, readonly [FrontendKey, Frontend]>()
  const backends = new Map<number, Backend>()
  const affinity = new Map<string, readonly [AffinityBackend, number]>()
  const sourceRanges = new Map<string, readonly [SourceRangeKey, number]>()
  for (const [index, port] of row.ports.entries()) {
    addFrontends(frontends, schema, port, ranges[index] ?? [NO_SLOTS, NO_SLOTS])
    for (const backend of port.backends) if (isKept(backend)) backends.set(backend.id, backendOf(port, backend))
    if (port.affinitySeconds > 0) addAffinity(affinity, schema, port)
    for (const prefix of port.sourceRanges) addSourceRange(sourceRanges, port, prefix)
  }
  return { frontends, backends, affinity, sourceRanges }
}

const NO_SLOTS: BackendRange = { first: 0, count: 0 }

/** Established flows go on to one that serves still; those of datagrams leave one that does not. */
const isKept = (backend: NumberedBackend): boolean =>
  backend.ready || backend.serving || isChosen(backend, 'cluster') || isChosen(backend, 'outside')

const backendOf = (port: NumberedPort, backend: NumberedBackend): Backend => ({
  address: toAddress(ip(backend.address)),
  port: backend.port,
  protocol: port.protocol,
  service: port.number,
})

function addFrontends(
  frontends: Map<string, readonly [FrontendKey, Frontend]>,
  schema: Schema,
  port: NumberedPort,
  ranges: PortRanges,
): void {
  const { number, protocol, affinitySeconds } = port
  const reject = schema.withoutBackend.number
  const without = Uint8Array.of(
    port.without.cluster === 'drop' ? reject.DROP : reject.REJECT,
    port.without.outside === 'drop' ? reject.DROP : reject.REJECT,
  )
  const value = { backends: ranges, service: number, affinity_seconds: affinitySeconds, without }
  const put = (address: string, frontendPort: number, flags: number): void => {
    const key = { address: toAddress(ip(address)), port: frontendPort, protocol }
    frontends.set(frontendText(key), [key, { ...value, flags }])
  }
  for (const frontend of port.frontends) {
    put(frontend.address, frontend.port, flagsOf(schema, port, frontend))
    if (frontend.kind !== 'NodePort') continue
    // Both families of a service share the reservation; it is the first one's.
    const reservation = { address: toAddress(ip('::')), port: frontend.port, protocol }
    if (!frontends.has(frontendText(reservation)))
      frontends.set(frontendText(reservation), [reservation, reservationOf(schema, port)])
  }
}

/** It says as well whether other nodes may tell of the port at addresses of theirs. */
function reservationOf(schema: Schema, { number, forwarding }: NumberedPort): Frontend {
  const { RESERVATION, DIRECT_RETURN } = schema.frontendFlags.number
  return {
    backends: [NO_SLOTS, NO_SLOTS],
    service: number,
    affinity_seconds: 0,
    without: Uint8Array.of(0, 0),
    flags: RESERVATION | (forwarding === 'dsr' ? DIRECT_RETURN : 0),
  }
}

function flagsOf(schema: Schema, port: NumberedPort, frontend: ServiceFrontend): number {
  const { reach } = frontend
  const isOutside = reach === 'everybody'
  const flags: Partial<Record<FrontendFlag, boolean>> = {
    HASHED: port.algorithm === 'maglev',
    OUTSIDE: isOutside,
    NODE_ONLY: reach === 'node',
    SOURCE_RANGES: takesSourceRanges(frontend) && port.sourceRanges.length > 0,
    DIRECT_RETURN: isOutside && port.forwarding === 'dsr',
  }
  const numbers = schema.frontendFlags.number
  return Object.entries(flags).reduce((sum, [name, isSet]) => sum | (isSet ? numbers[name as FrontendFlag] : 0), 0)
}

function addAffinity(
  affinity: Map<string, readonly [AffinityBackend, number]>,
  schema: Schema,
  { number, backends }: NumberedPort,
): void {
  const kinds = schema.clientKind.number
  for (const backend of backends) {
    const bits =
      (isChosen(backend, 'cluster') ? 1 << kinds.CLUSTER : 0) | (isChosen(backend, 'outside') ? 1 << kinds.OUTSIDE : 0)
    if (bits === 0) continue
    const key = { service: number, backend: backend.id }
    affinity.set(affinityText(key), [key, bits])
  }
}

/** The trie knows no families: a prefix of the other one would cover clients that it does not mean. */
function addSourceRange(
  sourceRanges: Map<string, readonly [SourceRangeKey, number]>,
  { number, family }: NumberedPort,
  text: string,
): void {
  const prefix = cidr(text)
  if (prefix.family !== family) return
  const key = { prefix_length: 32 + mappedLength(prefix), service: number, address: prefix.bytes }
  sourceRanges.set(sourceRangeText(key), [key, 1])
}

export const frontendText = ({ address, port, protocol }: FrontendKey): string =>
  `${formatIp(address.bytes)} ${port}/${protocol}`
export const affinityText = ({ service, backend }: AffinityBackend): string => `${service} ${backend}`
export const sourceRangeText = ({ service, prefix_length, address }: SourceRangeKey): string =>
  `${service} ${formatIp(address)}/${prefix_length}`
