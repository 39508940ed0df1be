// The entries of the kernel's endpoint map: where packets for an address go, and by which
// policy map they are judged.

import type { Address, EndpointEntry } from '../tables/index.ts'
import { type AddressFacts, type AddressPlan, hostPrefix } from './identities.ts'
import type { Subject } from './pod-labels.ts'
import type { PolicyRows } from './policy-rows.ts'

/**
 * An endpoint has no entry, and so gets no packet, for an address that is another's.
 * @param subjects by container id
 * @param addresses with the numbers that the plan's labels have
 */
export function endpointEntriesOf(
  facts: AddressFacts,
  subjects: ReadonlyMap<string, Subject>,
  plan: AddressPlan,
  addresses: readonly Address[],
  rows: PolicyRows,
): EndpointEntry[] {
  const identityOf = new Map(addresses.map(({ prefix, identity }) => [prefix, identity]))
  return facts.endpoints.flatMap(({ endpoint: { id, ifindex, mac, containerId, addresses: own } }) => {
    const subject = subjects.get(containerId)
    if (!subject) return []
    const policy = rows.idOf(subject)
    return own.flatMap(address => {
      const prefix = hostPrefix(address)
      const identity = plan.claims.get(prefix)?.endpoint === containerId ? identityOf.get(prefix) : undefined
      return identity === undefined ? [] : [{ address, endpoint: id, ifindex, mac, identity, policy, containerId }]
    })
  })
}
