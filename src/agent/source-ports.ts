// The ports that translated connections come from: of the node's address towards
// backends elsewhere, of a client whose own port is taken. Sockets that choose a port by
// themselves must never choose one of these, or two connections could look the same.

import type { SourcePorts } from '../maps/index.ts'

/** Below are ports that need privileges; firewalls look at them. */
const FIRST = 1024
/** Node ports begin here unless the cluster says otherwise; their range ends before the sockets' own begins. */
const NODE_PORTS = { first: 30_000, last: 32_767 } as const
const LAST = 65_535

/**
 * The largest range of ports beside the sockets' own and the node ports.
 * @param localRange as /proc/sys/net/ipv4/ip_local_port_range has it
 * @throws RangeError where it leaves none
 */
export function sourcePorts(localRange: string): SourcePorts {
  const [low = 0, high = 0] = localRange.trim().split(/\s+/).map(Number)
  const taken = [NODE_PORTS, { first: low, last: high }].sort((a, b) => a.first - b.first)
  let best: SourcePorts = { port_first: 0, port_count: 0 }
  let next = FIRST
  for (const { first, last } of [...taken, { first: LAST + 1, last: LAST + 1 }]) {
    if (first - next > best.port_count) best = { port_first: next, port_count: first - next }
    next = Math.max(next, last + 1)
  }
  if (best.port_count > 0) return best
  throw new RangeError(
    `net.ipv4.ip_local_port_range ${low}–${high} leaves no ports for translated connections; make it smaller`,
  )
}
