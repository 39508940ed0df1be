// IP protocols by name, and the named ports of a pod: `port:NAME/PROTOCOL=NUMBER`.
// Numbers are those of IANA's protocol registry, as packets and maps carry them.

import type { Label } from './label.ts'
import { type LabelSet, labelValue } from './label-set.ts'

/** IP protocol numbers by the names that policies use. */
export const PROTOCOLS = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const

export type ProtocolName = keyof typeof PROTOCOLS

/** Protocols that have ports. */
export const TRANSPORTS: ReadonlySet<number> = new Set([PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP])

/** Name of a protocol number for people: `TCP`, or the number's own text. */
export function protocolName(protocol: number): string {
  return NAME_BY_NUMBER.get(protocol) ?? String(protocol)
}

/** Number of a protocol name in any case, or undefined. */
export function protocolNumber(name: string): number | undefined {
  return NUMBER_BY_NAME.get(name.toUpperCase())
}

const NAME_BY_NUMBER = new Map<number, string>(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]))
const NUMBER_BY_NAME = new Map<string, number>(
  Object.entries(PROTOCOLS).map(([name, number]) => [name.toUpperCase(), number]),
)

/** A port that a container of a pod declares by name. `protocol` is the IP protocol number. */
export type NamedPort = { readonly name: string; readonly protocol: number; readonly port: number }

/** `NAME/PROTOCOL`: what a policy names, and a pod has at most one number for. */
export function namedPortKey({ name, protocol }: Pick<NamedPort, 'name' | 'protocol'>): string {
  return `${name}/${protocolName(protocol)}`
}

/** Number by `NAME/PROTOCOL`. The first container that declares a name has it, as in Kubernetes' own look-up. */
export function namedPortNumbers(ports: readonly NamedPort[]): Map<string, number> {
  return new Map(ports.toReversed().map(port => [namedPortKey(port), port.port]))
}

/** `NAME/PROTOCOL=NUMBER` for each name, sorted: the same for pods that named ports do not tell apart. */
export function namedPortTexts(ports: readonly NamedPort[]): string[] {
  return [...namedPortNumbers(ports)].map(([key, port]) => `${key}=${port}`).sort()
}

/** Labels of the named ports whose `NAME/PROTOCOL` is referenced. */
export function portLabels(ports: readonly NamedPort[], referenced: ReadonlySet<string>): Label[] {
  return [...namedPortNumbers(ports)]
    .filter(([key]) => referenced.has(key))
    .map(([key, port]) => ({ source: 'port', key, value: String(port) }))
}

/** Port number that the thing with these labels has for a `NAME/PROTOCOL`. */
export function labelledPort(set: LabelSet, key: string): number | undefined {
  const value = labelValue(set, 'port', key)
  return value === undefined ? undefined : Number(value)
}
