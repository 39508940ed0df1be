// The yardstick of map content: what a straightforward implementation programs. For every rule that applies to a pod,
// every identity that its peers match and every port it names it writes an entry; any peer, any port and all that
// nothing isolates are one entry each. It knows prefixes of ports, so a range is a few entries, and it writes no key
// twice. Verdicts play no part in it.

import { type LabelSet, labelledPort, matches, namedPortKey } from '../../src/labels/index.ts'
import { DIRECTIONS, isResolved, type Policy, peerSelector, type Rule, type Subject } from '../../src/policy/index.ts'

export type NaiveCount = {
  /** Entries with different keys. */
  readonly keys: number
  /** One for each identity, rule and port, as they are written before the same key is met again. */
  readonly written: number
}

/** Entries for one subject. */
export function naiveEntries(
  policies: readonly Policy[],
  identities: ReadonlyMap<number, LabelSet>,
  subject: Subject,
): NaiveCount {
  const specs = policies.flatMap(({ specs }) => specs).filter(spec => matches(spec.subject, subject.labels))
  const keys = new Set<string>()
  let written = 0
  const write = (key: string): void => {
    written++
    keys.add(key)
  }
  for (const direction of DIRECTIONS) {
    if (!specs.some(({ isolates }) => isolates[direction])) write(`${direction} any`)
    for (const rule of specs.flatMap(({ rules }) => rules).filter(rule => rule.direction === direction))
      for (const { identity, labels } of peersOf(rule, identities))
        for (const port of portsOf(rule, subject, labels)) write(`${direction} ${identity} ${port}`)
  }
  return { keys: keys.size, written }
}

type NaivePeer = { readonly identity: number; readonly labels: LabelSet | undefined }

const ANYBODY: NaivePeer = { identity: 0, labels: undefined }

function peersOf(rule: Rule, identities: ReadonlyMap<number, LabelSet>): NaivePeer[] {
  const isNamedEgress =
    rule.direction === 'egress' && rule.ports !== 'any' && rule.ports.some(({ ports }) => isName(ports))
  // The number of a named port is that of the peer, so such a rule has an entry for each of them.
  if (rule.peers === 'any' && !isNamedEgress) return [ANYBODY]
  const selectors = rule.peers === 'any' ? undefined : rule.peers.filter(isResolved).map(peerSelector)
  return [...identities].flatMap(([identity, labels]) =>
    !selectors || selectors.some(selector => matches(selector, labels)) ? [{ identity, labels }] : [],
  )
}

const isName = (ports: unknown): boolean => typeof ports === 'object' && ports !== null && 'name' in ports

function portsOf({ ports, direction }: Rule, subject: Subject, peer: LabelSet | undefined): string[] {
  if (ports === 'any') return ['any']
  return ports.flatMap(({ protocol, ports: match }) => {
    if (match === 'any') return [`${protocol} any`]
    if ('first' in match) return rangePrefixes(match.first, match.last).map(prefix => `${protocol} ${prefix}`)
    const number =
      direction === 'ingress'
        ? subject.namedPorts.find(port => port.name === match.name && port.protocol === protocol)?.port
        : peer && labelledPort(peer, namedPortKey({ name: match.name, protocol }))
    return number === undefined ? [] : [`${protocol} ${number}/16`]
  })
}

/** `PORT/LENGTH` of the fewest prefixes that are a range. */
export function rangePrefixes(first: number, last: number): string[] {
  const prefixes: string[] = []
  for (let port = first; port <= last; ) {
    let bits = 0
    while (bits < 16 && port % 2 ** (bits + 1) === 0 && port + 2 ** (bits + 1) - 1 <= last) bits++
    prefixes.push(`${port}/${16 - bits}`)
    port += 2 ** bits
  }
  return prefixes
}
