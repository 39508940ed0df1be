// `toPorts` and `icmps` of the Cilium kinds to the model's ports. What also judges the
// content of connections is set apart: it is not enforced yet.

import { PROTOCOLS } from '../../../labels/index.ts'
import type { Path } from '../../../manifests/index.ts'
import type { PortMatch } from '../../model/rule.ts'
import type { Findings } from '../findings.ts'
import { icmpType } from './icmp-types.ts'
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
  /** Judged by more than is enforced yet. */
  readonly judged: readonly PortMatch[]
  /** The fields that ask for more, and what waits for it. */
  readonly missing: readonly { readonly path: Path; readonly reason: string }[]
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
  const items = toPorts.map((item, i) => readPortRule(item, [...place, 'toPorts', i], findings))
  const types = icmps.flatMap((item, i) => readIcmp(item, [...place, 'icmps', i], findings))
  return {
    ports: [...items.flatMap(({ ports }) => ports), ...types],
    judged: items.flatMap(({ judged }) => judged),
    missing: items.flatMap(({ missing }) => missing),
  }
}

function readPortRule(item: PortRuleContent, path: Path, findings: Findings): ReadPorts {
  if (item.ports.length === 0) findings.warn(path, 'names no ports, which matches no traffic; "0" stands for all ports')
  const ports = item.ports.flatMap((port, i) => readPort(port, [...path, 'ports', i], findings))
  const missing = contentFields(item, path, findings)
  return missing.length > 0 ? { ports: [], judged: ports, missing } : { ports, judged: [], missing }
}

const NO_REQUESTS = 'requests are not judged yet'
const NO_TLS = 'TLS is not looked into yet'

function contentFields(item: PortRuleContent, path: Path, findings: Findings): ReadPorts['missing'] {
  const { rules, serverNames, terminatingTLS, originatingTLS, listener } = item
  for (const [i, { path: request }] of (rules?.http ?? []).entries())
    if (request !== undefined && /^[a-z0-9]/i.test(request))
      findings.warn([...path, 'rules', 'http', i, 'path'], 'matches no request: every path begins with /')
  const kind = (['http', 'kafka', 'dns'] as const).find(name => rules?.[name])
  // An empty list has no rules for the content, so Cilium lets everything pass.
  if (kind && rules?.[kind]?.length === 0)
    findings.warn([...path, 'rules', kind], 'is empty, which lets every request pass')
  return [
    { field: ['rules', kind ?? ''], isGiven: kind !== undefined && rules?.[kind]?.length !== 0, reason: NO_REQUESTS },
    { field: ['serverNames'], isGiven: serverNames !== undefined, reason: NO_TLS },
    { field: ['terminatingTLS'], isGiven: terminatingTLS !== undefined, reason: NO_TLS },
    { field: ['originatingTLS'], isGiven: originatingTLS !== undefined, reason: NO_TLS },
    { field: ['listener'], isGiven: listener !== undefined, reason: 'there are no listeners to redirect to' },
  ]
    .filter(({ isGiven }) => isGiven)
    .map(({ field, reason }) => ({ path: [...path, ...field], reason }))
}

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
