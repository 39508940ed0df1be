// Ports as an expectation writes them: `5432/TCP`, `8000-8100/TCP`, `http`, `TCP`,
// `icmp/8`, `any`.

import { PROTOCOLS, protocolName, protocolNumber } from '../../labels/index.ts'
import type { Place } from '../cluster/places.ts'
import { allPortsOf, OTHER_PROTOCOLS, type PortClass } from '../cluster/port-classes.ts'
import type { PortSpan } from '../engine/port-space.ts'
import type { PortsContent } from './expectations-schema.ts'

/** `any` is every port of every protocol. */
export type ExpectedPorts = 'any' | readonly (PortSpan | { readonly protocol: number; readonly name: string })[]

/** Ports, or what is wrong with them. */
export function parseExpectedPorts(content: PortsContent | undefined): ExpectedPorts | { readonly problem: string } {
  const items = content === undefined ? ['any'] : Array.isArray(content) ? content : [content]
  const ports: Exclude<ExpectedPorts, 'any'>[number][] = []
  for (const text of items.flatMap(item => String(item).split(','))) {
    const item = parseItem(text.trim())
    if (typeof item === 'string') return { problem: item }
    if (item === undefined) return 'any'
    ports.push(item)
  }
  return ports
}

/** Undefined: any port. */
function parseItem(text: string): Exclude<ExpectedPorts, 'any'>[number] | undefined | string {
  if (text === 'any') return undefined
  const [first = '', second, more] = text.split('/')
  const whole = second === undefined ? protocolNumber(first) : undefined
  if (whole !== undefined) return allPortsOf(whole)
  const icmp = protocolNumber(first)
  const isIcmp = icmp === PROTOCOLS.ICMP || icmp === PROTOCOLS.ICMPv6
  const [portText, protocol] = isIcmp ? [second ?? '', icmp] : [first, protocolNumber(second ?? 'TCP')]
  if (more !== undefined || protocol === undefined || portText === '')
    return `"${text}" is no port: write 80/TCP, 8000-8100/TCP, http/TCP, TCP, icmp/8 or any`
  const range = /^(\d+)(?:-(\d+))?$/.exec(portText)
  if (!range) return isIcmp ? `"${portText}" in "${text}" is no ICMP type` : { protocol, name: portText }
  const [low, high] = [Number(range[1]), Number(range[2] ?? range[1])]
  const { first: least, last: most } = allPortsOf(protocol)
  if (low < least || high > most || low > high) return `"${portText}" in "${text}" is not within ${least} to ${most}`
  return { protocol, first: low, last: high }
}

/** The numbers in them, by which ports have to be told apart. */
export function spansIn(ports: ExpectedPorts): PortSpan[] {
  return ports === 'any' ? [] : ports.flatMap(port => ('first' in port ? [port] : []))
}

/** Those classes that a destination is asked for; a name that it does not have asks for none. */
export function classesAt(ports: ExpectedPorts, to: Place, classes: readonly PortClass[]): PortClass[] {
  if (ports === 'any') return [...classes]
  const spans = ports.flatMap((port): PortSpan[] => {
    if ('first' in port) return [port]
    const number = to.pod?.namedPorts.find(({ name, protocol }) => name === port.name && protocol === port.protocol)
    return number ? [{ protocol: port.protocol, first: number.port, last: number.port }] : []
  })
  const listed = classes.filter(
    ({ protocol, first, last, protocolName }) =>
      protocolName !== OTHER_PROTOCOLS &&
      spans.some(span => span.protocol === protocol && span.first <= first && last <= span.last),
  )
  // A number that only a pod's name gives may lie inside a class: then it is asked for by itself.
  const single = spans.filter(
    span => !listed.some(each => each.protocol === span.protocol && each.first === span.first),
  )
  return [...listed, ...single.map(span => ({ ...span, protocolName: protocolName(span.protocol) }))]
}
