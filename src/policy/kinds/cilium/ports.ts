// `toPorts` and `icmps` of the Cilium kinds to the model's ports. What also judges the
// content of connections is set apart: an item of it becomes a rule of its own, and
// where it asks for more than is enforced yet it allows nothing.

import { PROTOCOLS } from '../../../labels/index.ts'
import type { Path } from '../../../manifests/index.ts'
import type { PortMatch } from '../../model/rule.ts'
import type { Findings } from '../findings.ts'
import { slashAlternatives } from './extended-regex.ts'
import { icmpType } from './icmp-types.ts'
import { L7_KINDS } from './l7-schema.ts'
import {
  type IcmpContent,
  isPortless,
  PORTLESS_PROTOCOLS,
  type PortContent,
  type PortRuleContent,
  TRANSPORT_PROTOCOLS,
} from './port-schema.ts'

export type ReadPorts = {
  /** Judged by address and port alone. */
  readonly ports: readonly PortMatch[]
  /** Items of `toPorts` that judge content too. */
  readonly content: readonly ContentItem[]
  /** Judged by more than is enforced yet. */
  readonly judged: readonly PortMatch[]
  /** The fields that ask for more, and what waits for it. */
  readonly missing: readonly { readonly path: Path; readonly reason: string }[]
}

/** An item of `toPorts`, by its place, whose rules for content are enforced on these ports. */
export type ContentItem = {
  readonly index: number
  readonly item: PortRuleContent
  readonly ports: readonly PortMatch[]
}

export type PortsContent = {
  readonly toPorts?: readonly PortRuleContent[] | undefined
  readonly icmps?: readonly IcmpContent[] | undefined
}

/** Undefined when the rule names no ports. `place` is the rule's own path. */
export function readPorts(
  { toPorts = [], icmps = [] }: PortsContent,
  place: Path,
  findings: Findings,
): ReadPorts | undefined {
  if (toPorts.length === 0 && icmps.length === 0) return undefined
  const items = toPorts.map((item, i) => readPortRule(item, i, [...place, 'toPorts', i], findings))
  const types = icmps.flatMap((item, i) => readIcmp(item, [...place, 'icmps', i], findings))
  return {
    ports: [...items.flatMap(({ ports }) => ports), ...types],
    content: items.flatMap(({ content }) => content),
    judged: items.flatMap(({ judged }) => judged),
    missing: items.flatMap(({ missing }) => missing),
  }
}

function readPortRule(item: PortRuleContent, index: number, path: Path, findings: Findings): ReadPorts {
  if (item.ports.length === 0) findings.warn(path, 'names no ports, which matches no traffic; "0" stands for all ports')
  const ports = item.ports.flatMap((port, i) => readPort(port, [...path, 'ports', i], findings))
  warnOfContent(item, path, findings)
  const missing = missingFields(item, path)
  const nothing: ReadPorts = { ports: [], content: [], judged: [], missing: [] }
  if (missing.length > 0) return { ...nothing, judged: ports, missing }
  const speaks = spokenOn(item)
  if (!speaks) return { ...nothing, ports }
  const [spoken, others] = [ports.filter(speaks), ports.filter(port => !speaks(port))]
  const [isOnlyTcp] = TLS_FIELDS.filter(field => item[field])
  if (isOnlyTcp && others.length > 0)
    findings.warn(
      [...path, isOnlyTcp],
      'is about TLS over TCP; this item allows nothing over other protocols: write protocol: TCP',
    )
  // Nobody asks for names over SCTP.
  return { ...nothing, content: [{ index, item, ports: spoken }], judged: item.rules?.dns ? [] : others }
}

/** What there is over TCP alone, as rules for HTTP and Kafka are, which the schema refuses for other protocols. */
const TLS_FIELDS = ['serverNames', 'terminatingTLS', 'originatingTLS'] as const

/** On which protocols the content that the item judges can be; undefined for an item that leaves it alone. */
function spokenOn(item: PortRuleContent): ((port: PortMatch) => boolean) | undefined {
  const { rules, serverNames, terminatingTLS, originatingTLS } = item
  if ((rules?.dns ?? []).length > 0) return ({ protocol }) => protocol === PROTOCOLS.TCP || protocol === PROTOCOLS.UDP
  const isRead = terminatingTLS !== undefined || originatingTLS !== undefined
  const isJudged = isRead || [rules?.http, rules?.kafka, serverNames].some(list => list && list.length > 0)
  return isJudged ? ({ protocol }) => protocol === PROTOCOLS.TCP : undefined
}

function warnOfContent({ rules }: PortRuleContent, path: Path, findings: Findings): void {
  for (const [i, { path: request = '' }] of (rules?.http ?? []).entries())
    if (request.includes('|') && slashAlternatives(request) === 'some')
      findings.warn(
        [...path, 'rules', 'http', i, 'path'],
        'has an alternative that matches no request: every path begins with /',
      )
  // An empty list has no rules for the content, so Cilium lets everything pass.
  for (const kind of L7_KINDS)
    if (rules?.[kind]?.length === 0) findings.warn([...path, 'rules', kind], 'is empty, which lets every request pass')
}

const missingFields = ({ listener }: PortRuleContent, path: Path): ReadPorts['missing'] =>
  listener ? [{ path: [...path, 'listener'], reason: 'there are no listeners to redirect to' }] : []

function readPort({ port = '', endPort = 0, protocol }: PortContent, path: Path, findings: Findings): PortMatch[] {
  if (isPortless(protocol)) return [{ protocol: PORTLESS_PROTOCOLS[protocol], ports: 'any' }]
  const names = protocol === 'ANY' ? TRANSPORT_PROTOCOLS : [protocol]
  const ports = portsOf(port, endPort, [...path, 'endPort'], findings)
  return names.map(name => ({ protocol: PROTOCOLS[name], ports }))
}

function portsOf(port: string, endPort: number, path: Path, findings: Findings): PortMatch['ports'] {
  if (!/^\d+$/.test(port)) {
    if (endPort > 0) findings.warn(path, 'has no effect on a named port')
    return { name: port.toLowerCase() }
  }
  const first = Number(port)
  if (endPort !== 0 && endPort < first) findings.warn(path, `has no effect: it is below the port, ${first}`)
  if (first === 0 && endPort === 0) return 'any'
  return { first, last: Math.max(first, endPort) }
}

function readIcmp({ fields }: IcmpContent, path: Path, findings: Findings): PortMatch[] {
  if (fields.length === 0) findings.warn(path, 'names no types, which matches no traffic')
  return fields.flatMap(({ family, type }) => {
    const number = icmpType(family, type)
    const protocol = family === 'IPv4' ? PROTOCOLS.ICMP : PROTOCOLS.ICMPv6
    return number === undefined ? [] : [{ protocol, ports: { first: number, last: number } }]
  })
}
