// The ports of a connection between two ends, cut wherever the policies of these two say
// something else, with the verdict of each piece.

import { protocolName } from '../../labels/index.ts'
import type { Cluster, End } from '../cluster/cluster.ts'
import { allPortsOf, OTHER_PROTOCOLS, type PortClass, unnamedProtocol } from '../cluster/port-classes.ts'
import type { PolicyEntry } from '../engine/entries.ts'
import type { ConnectionVerdict } from '../engine/evaluate.ts'
import { LAST_PORT } from '../engine/port-space.ts'

/** Ports with one verdict. */
export type PortPiece = PortClass & { readonly verdict: ConnectionVerdict }

export function portPieces(cluster: Cluster, from: End, to: End): PortPiece[] {
  // Settles both identities before the policies are resolved.
  cluster.verdict(from, to, 0, 0)
  const [sender, receiver] = [cluster.party(from, to), cluster.party(to, from)]
  const entries = [
    ...entriesFor(sender.policy?.entries, 'egress', receiver.identity),
    ...entriesFor(receiver.policy?.entries, 'ingress', sender.identity),
  ]
  const bounds = new Map<number, Set<number>>()
  for (const { protocol, port, portPrefixLength } of entries) {
    if (protocol === 0) continue
    const starts = bounds.get(protocol) ?? new Set<number>()
    bounds.set(protocol, starts.add(port).add(port + 2 ** (16 - portPrefixLength)))
  }
  const pieces = [...bounds].flatMap(([protocol, starts]) => {
    const all = allPortsOf(protocol)
    const inside = [...starts].filter(start => start > all.first && start <= all.last)
    const sorted = [all.first, ...inside.sort((a, b) => a - b)]
    return sorted.map((first, i): PortPiece => {
      const last = (sorted[i + 1] ?? all.last + 1) - 1
      const verdict = cluster.verdict(from, to, protocol, first)
      return { protocol, protocolName: protocolName(protocol), first, last, verdict }
    })
  })
  const other = { protocol: unnamedProtocol(bounds), protocolName: OTHER_PROTOCOLS, first: 0, last: LAST_PORT }
  return [...pieces, { ...other, verdict: cluster.verdict(from, to, other.protocol, 0) }]
}

function entriesFor(
  entries: readonly PolicyEntry[] | undefined,
  direction: PolicyEntry['direction'],
  identity: number,
): PolicyEntry[] {
  return (entries ?? []).filter(
    entry => entry.direction === direction && (entry.identity === 0 || entry.identity === identity),
  )
}
