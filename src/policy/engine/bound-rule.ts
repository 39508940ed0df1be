// Rules bound to what they speak of: peers to sets of identities, ports to numbers.
// What is the same for many subjects is made once and is the same object for all, so
// that it can be told by identity whether anything has changed.

import { namedPortKey } from '../../labels/index.ts'
import type { PolicySpec, PortMatch, Rule } from '../model/rule.ts'
import type { PeerSet } from './peer-sets.ts'
import { ALL_PORTS, LAST_PORT, type PortSpan, type RuleSpans } from './port-space.ts'

/** A spec whose peers are bound to sets of identities. */
export type BoundSpec = { readonly spec: PolicySpec; readonly rules: readonly BoundRule[] }

/** Named ports of a rule, as `NAME/PROTOCOL`. Ingress resolves them on the subject, egress on each peer. */
export function namedPortsOf({ ports }: Rule): string[] {
  if (ports === 'any') return []
  return ports.flatMap(match => nameOf(match) ?? [])
}

const nameOf = ({ protocol, ports }: PortMatch): string | undefined =>
  ports !== 'any' && 'name' in ports ? namedPortKey({ name: ports.name, protocol }) : undefined

export class BoundRule {
  readonly rule: Rule
  readonly peers: 'any' | readonly PeerSet[]
  /** For named ports of egress rules with any peer: those that have such a port. By `NAME/PROTOCOL`. */
  readonly portPeers: ReadonlyMap<string, PeerSet>
  /** Named ports that each peer has its own number for. */
  readonly namedOfPeers: readonly NamedPortOfPeers[]
  readonly #namesOfSubject: readonly string[]
  readonly #spans = new Map<string, RuleSpans>()

  constructor(rule: Rule, peers: BoundRule['peers'], portPeers: BoundRule['portPeers']) {
    this.rule = rule
    this.peers = peers
    this.portPeers = portPeers
    const isEgress = rule.direction === 'egress'
    this.#namesOfSubject = isEgress ? [] : namedPortsOf(rule)
    this.namedOfPeers =
      isEgress && rule.ports !== 'any' ? rule.ports.flatMap(match => NamedPortOfPeers.of(rule, match) ?? []) : []
  }

  /** All sets that it is bound to. */
  sets(): PeerSet[] {
    return [...(this.peers === 'any' ? [] : this.peers), ...this.portPeers.values()]
  }

  /** The rule with the ports that do not depend on the peer. `ownPorts`: the subject's number by `NAME/PROTOCOL`. */
  spans(ownPorts: ReadonlyMap<string, number>): RuleSpans {
    const key = this.#namesOfSubject.map(name => ownPorts.get(name) ?? '').join()
    const known = this.#spans.get(key)
    if (known) return known
    const made = { rule: this.rule, spans: fixedSpans(this.rule, ownPorts) }
    this.#spans.set(key, made)
    return made
  }
}

/** A named port in an egress rule. */
export class NamedPortOfPeers {
  /** `NAME/PROTOCOL` */
  readonly name: string
  readonly #rule: Rule
  readonly #protocol: number
  readonly #byNumber = new Map<number, readonly RuleSpans[]>()

  private constructor(rule: Rule, name: string, protocol: number) {
    this.#rule = rule
    this.name = name
    this.#protocol = protocol
  }

  static of(rule: Rule, match: PortMatch): NamedPortOfPeers | undefined {
    const name = nameOf(match)
    return name === undefined ? undefined : new NamedPortOfPeers(rule, name, match.protocol)
  }

  /** The rule for peers that have this number for it, alone in a list. */
  at(port: number): readonly RuleSpans[] {
    const known = this.#byNumber.get(port)
    if (known) return known
    const made = [{ rule: this.#rule, spans: [{ protocol: this.#protocol, first: port, last: port }] }]
    this.#byNumber.set(port, made)
    return made
  }
}

/** Numbers that a subject has for the named ports that ingress rules of these specs use, as part of a group's key. */
export function ownPortsFor(specs: readonly BoundSpec[], numbers: ReadonlyMap<string, number>): Map<string, number> {
  const used = new Map<string, number>()
  if (numbers.size === 0) return used
  for (const { rules } of specs)
    for (const { rule } of rules)
      if (rule.direction === 'ingress')
        for (const key of namedPortsOf(rule)) {
          const number = numbers.get(key)
          if (number !== undefined) used.set(key, number)
        }
  return used
}

function fixedSpans({ ports, direction }: Rule, ownPorts: ReadonlyMap<string, number>): PortSpan[] {
  if (ports === 'any') return [ALL_PORTS]
  return ports.flatMap(({ protocol, ports: match }) => {
    if (match === 'any') return [{ protocol, first: 0, last: LAST_PORT }]
    if ('first' in match) return [{ protocol, first: match.first, last: match.last }]
    const port = direction === 'ingress' ? ownPorts.get(namedPortKey({ name: match.name, protocol })) : undefined
    return port === undefined ? [] : [{ protocol, first: port, last: port }]
  })
}
