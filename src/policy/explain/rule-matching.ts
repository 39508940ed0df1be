// Whether one rule matches one connection, and if not, why: which part is wrong, what
// it wants and what the connection has. Says the same as the entries that the engine
// makes of the rule, one connection at a time and in words. Rules have no CIDR groups
// in them: those stand there as their prefixes.

import {
  type LabelSet,
  labelledPort,
  labelName,
  matches,
  type NamedPort,
  namedPortKey,
  namedPortNumbers,
  protocolName,
  type Selector,
} from '../../labels/index.ts'
import { isResolved, type PortMatch, type ResolvedPeer, type Rule } from '../model/rule.ts'
import type { Miss } from './explanation.ts'
import { requirementWords, unmetRequirements } from './requirement-words.ts'

/** What the policies of a subject are asked: may it talk to this peer on this port? */
export type Asked = {
  /** The peer's labels, with those of its address. */
  readonly peer: LabelSet
  readonly protocol: number
  /** Of the destination; for ICMP the type. */
  readonly port: number
  readonly subjectPorts: readonly NamedPort[]
}

export function ruleMatches(rule: Rule, asked: Asked): boolean {
  return portsMatch(rule, asked) && peersMatch(rule, asked)
}

function peersMatch({ peers }: Rule, { peer }: Asked): boolean {
  return peers === 'any' || peers.some(each => isResolved(each) && peerMatches(each, peer))
}

function peerMatches(peer: ResolvedPeer, labels: LabelSet): boolean {
  return peer.kind === 'selector' ? matches(peer.selector, labels) : addressMisses(peer, labels) === undefined
}

function portsMatch(rule: Rule, asked: Asked): boolean {
  return rule.ports === 'any' || rule.ports.some(match => portMatches(rule, match, asked))
}

function portMatches(rule: Rule, { protocol, ports }: PortMatch, asked: Asked): boolean {
  if (protocol !== asked.protocol) return false
  if (ports === 'any') return true
  if ('first' in ports) return ports.first <= asked.port && asked.port <= ports.last
  return namedPort(rule, namedPortKey({ name: ports.name, protocol }), asked) === asked.port
}

/** Ingress resolves a named port on the subject, egress on the peer. */
function namedPort({ direction }: Rule, key: string, { peer, subjectPorts }: Asked): number | undefined {
  return direction === 'ingress' ? namedPortNumbers(subjectPorts).get(key) : labelledPort(peer, key)
}

export type Missed = {
  readonly misses: readonly Miss[]
  /** How far the rule is from matching: a wrong port counts less than a wrong peer, and that by what of it is wrong. */
  readonly distance: number
}

/** Every reason why a rule does not match. */
export function missesOf(rule: Rule, asked: Asked): Missed {
  const misses: Miss[] = []
  let distance = 0
  if (!portsMatch(rule, asked)) {
    misses.push({ part: 'port', wants: portWords(rule, asked), has: portText(asked.protocol, asked.port) })
    distance += 1
  }
  if (!peersMatch(rule, asked)) {
    const nearest = nearestPeer(rule, asked)
    misses.push({ part: 'peer', wants: nearest.wants, has: nearest.has })
    distance += 1 + nearest.distance
  }
  return { misses, distance }
}

type PeerMiss = { readonly wants: string; readonly has: string; readonly distance: number }

function nearestPeer({ peers }: Rule, { peer }: Asked): PeerMiss {
  const alternatives = peers === 'any' ? [] : peers.filter(isResolved)
  let nearest: PeerMiss | undefined
  for (const alternative of alternatives) {
    const miss = peerMiss(alternative, peer)
    if (!nearest || miss.distance < nearest.distance) nearest = miss
  }
  return nearest ?? { wants: 'nobody', has: 'somebody', distance: Number.MAX_SAFE_INTEGER }
}

function peerMiss(peer: ResolvedPeer, labels: LabelSet): PeerMiss {
  if (peer.kind === 'cidr') return { distance: 1, ...(addressMisses(peer, labels) ?? { wants: '', has: '' }) }
  return selectorMiss(peer.selector, labels)
}

function selectorMiss(selector: Selector, labels: LabelSet): PeerMiss {
  const unmet = unmetRequirements(selector, labels)
  const words = unmet.map(requirement => requirementWords(requirement, labels))
  return {
    wants: words.map(({ wants }) => wants).join(' and '),
    has: [...new Set(words.map(({ has }) => has))].join(', '),
    distance: unmet.length,
  }
}

type AddressPeer = Extract<ResolvedPeer, { readonly kind: 'cidr' }>

/** Undefined when it matches. */
function addressMisses(
  { cidr, except, covers }: AddressPeer,
  labels: LabelSet,
): Omit<PeerMiss, 'distance'> | undefined {
  const isIn = (prefix: string): boolean => labels.values.has(labelName('cidr', prefix))
  if (!isIn(cidr)) return { wants: `an address in ${cidr}`, has: 'another' }
  if (covers === 'world' && !labels.values.has(labelName('reserved', 'world')))
    return { wants: `an address in ${cidr} outside the cluster`, has: 'one of the cluster' }
  const excepted = except.find(isIn)
  return excepted === undefined ? undefined : { wants: `an address in ${cidr} except ${excepted}`, has: 'one of those' }
}

function portWords(rule: Rule, asked: Asked): string {
  if (rule.ports === 'any') return 'any port'
  const words = rule.ports.map(({ protocol, ports }) => {
    if (ports === 'any') return `any port/${protocolName(protocol)}`
    if ('first' in ports) return `${rangeText(ports)}/${protocolName(protocol)}`
    const number = namedPort(rule, namedPortKey({ name: ports.name, protocol }), asked)
    const where = rule.direction === 'ingress' ? 'here' : 'there'
    const meaning = number === undefined ? `no port of this name ${where}` : `${number} ${where}`
    return `${ports.name}/${protocolName(protocol)} (${meaning})`
  })
  return listWords(words)
}

const rangeText = ({ first, last }: { readonly first: number; readonly last: number }): string =>
  first === last ? String(first) : `${first}-${last}`

/** At most four, and how many more. */
function listWords(words: readonly string[]): string {
  if (words.length === 0) return 'no port'
  const shown = words.slice(0, 4).join(' or ')
  return words.length > 4 ? `${shown} or ${words.length - 4} more` : shown
}

/** `8080/TCP`, `ICMP type 8`. */
function portText(protocol: number, port: number): string {
  const name = protocolName(protocol)
  return name.startsWith('ICMP') ? `${name} type ${port}` : `${port}/${name}`
}
