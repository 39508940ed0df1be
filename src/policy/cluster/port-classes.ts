// The ports that the policies of some clusters can tell apart: every bound of every rule
// cuts the ports of its protocol, so one port of a class answers for all of it. Whoever
// asks one port of each class misses nothing.

import { PROTOCOLS, protocolName, TRANSPORTS } from '../../labels/index.ts'
import { LAST_PORT, type PortSpan } from '../engine/port-space.ts'
import type { Cluster } from './cluster.ts'

/** Ports `first` to `last` of a protocol; for ICMP the types. `first` stands for all of them. */
export type PortClass = PortSpan & {
  /** `TCP`; `other` for the protocols that no rule names, for which `protocol` is one of them. */
  readonly protocolName: string
}

/** Name of what stands for every protocol that no rule names. */
export const OTHER_PROTOCOLS = 'other'

const ALWAYS_ASKED: readonly number[] = Object.values(PROTOCOLS)

/** All classes, by protocol and port. `more`: spans that shall not be cut by the bounds of a class. */
export function portClasses(clusters: readonly Cluster[], more: readonly PortSpan[] = []): PortClass[] {
  const spans = [...clusters.flatMap(cluster => spansOf(cluster, clusters)), ...more]
  const protocols = new Set([...ALWAYS_ASKED, ...spans.map(({ protocol }) => protocol)].filter(number => number !== 0))
  const classes = [...protocols].sort((a, b) => a - b).flatMap(protocol => classesOf(protocol, spans))
  return [
    ...classes,
    { protocol: unnamedProtocol(protocols), first: 0, last: LAST_PORT, protocolName: OTHER_PROTOCOLS },
  ]
}

/** Every port that a protocol has. Port 0 is no destination. */
export function allPortsOf(protocol: number): PortSpan {
  if (TRANSPORTS.has(protocol)) return { protocol, first: 1, last: LAST_PORT }
  const isIcmp = protocol === PROTOCOLS.ICMP || protocol === PROTOCOLS.ICMPv6
  return { protocol, first: 0, last: isIcmp ? 255 : LAST_PORT }
}

/** For people: `80/TCP`, `8000-8100/TCP`, `TCP` for all its ports, `ICMP type 8`, `other protocols`. */
export function portClassText({ protocol, first, last, protocolName }: PortClass): string {
  if (protocolName === OTHER_PROTOCOLS) return 'other protocols'
  const all = allPortsOf(protocol)
  if (first <= all.first && last >= all.last) return protocolName
  const range = first === last ? `${first}` : `${first}-${last}`
  if (TRANSPORTS.has(protocol)) return `${range}/${protocolName}`
  return `${protocolName} type ${range}`
}

/** For people: the list, or `any port`, or `any port but` the few that are not in it, where everything was asked for. */
export function portListText(ports: readonly PortClass[], all: readonly PortClass[]): string {
  const asksForAll = all.some(({ protocolName }) => protocolName === OTHER_PROTOCOLS)
  const others = asksForAll ? joinPorts(all.filter(each => !ports.some(port => isWithin(each, port)))) : all
  const text = (list: readonly PortClass[]) => list.map(portClassText).join(', ')
  if (others.length === 0) return 'any port'
  return asksForAll && others.length < Math.min(ports.length, 3) ? `any port but ${text(others)}` : text(ports)
}

const isWithin = (inner: PortClass, outer: PortClass): boolean =>
  inner.protocol === outer.protocol && outer.first <= inner.first && inner.last <= outer.last

/** Neighbouring ports together. */
export function joinPorts(ports: readonly PortClass[]): PortClass[] {
  const list: PortClass[] = []
  for (const { protocol, protocolName, first, last } of ports.toSorted(comparePorts)) {
    const previous = list.at(-1)
    if (previous?.protocol === protocol && previous.last + 1 === first) list[list.length - 1] = { ...previous, last }
    else list.push({ protocol, protocolName, first, last })
  }
  return list
}

const comparePorts = (a: PortClass, b: PortClass): number => a.protocol - b.protocol || a.first - b.first

function classesOf(protocol: number, spans: readonly PortSpan[]): PortClass[] {
  const all = allPortsOf(protocol)
  const starts = new Set([all.first])
  for (const { protocol: own, first, last } of spans) {
    if (own !== protocol) continue
    for (const start of [first, last + 1]) if (start > all.first && start <= all.last) starts.add(start)
  }
  const sorted = [...starts].sort((a, b) => a - b)
  return sorted.map((first, i) => {
    return { protocol, first, last: (sorted[i + 1] ?? all.last + 1) - 1, protocolName: protocolName(protocol) }
  })
}

/** What the rules of a cluster name, and what annotations of pods have seen; a named port is every number that a pod of any of the clusters has for it. */
function spansOf(cluster: Cluster, clusters: readonly Cluster[]): PortSpan[] {
  const pods = clusters.flatMap(({ content }) => content.pods)
  const matches = cluster.content.policies
    .flatMap(({ specs }) => specs.flatMap(({ rules }) => rules))
    .flatMap(({ ports }) => (ports === 'any' ? [] : ports))
  const names = new Set<string>()
  const spans = matches.flatMap(({ protocol, ports }): PortSpan[] => {
    if (ports === 'any') return [{ ...allPortsOf(protocol) }]
    if ('first' in ports) return [{ protocol, ...ports }]
    names.add(`${protocol} ${ports.name}`)
    return []
  })
  const named = pods.flatMap(({ namedPorts }) =>
    namedPorts.filter(({ protocol, name }) => names.has(`${protocol} ${name}`)),
  )
  const visible = pods.flatMap(({ visibility = [] }) => visibility)
  return [...spans, ...[...named, ...visible].map(({ protocol, port }) => ({ protocol, first: port, last: port }))]
}

/** A protocol that nobody names: one of those for experiments (RFC 3692), or else the first. */
export function unnamedProtocol(named: Pick<ReadonlySet<number>, 'has'>): number {
  for (const protocol of [253, 254]) if (!named.has(protocol)) return protocol
  for (let protocol = 252; protocol > 0; protocol--) if (!named.has(protocol)) return protocol
  return 255
}
