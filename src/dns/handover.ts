// What the agent and the DNS server of `axoneme proxy` leave for each other where the
// other one may be away: which identities addresses of names have, and what answers
// taught while no agent was there (docs/decisions/0023-names-while-the-agent-is-away.md).

import { z } from 'zod'

/** An identity of addresses outside the cluster that names which these selectors select were answered with. */
const outsideIdentity = z.object({
  number: z.int(),
  /** Identity of an address at the same place without names. */
  base: z.int(),
  /** Canonical, sorted. */
  selectors: z.array(z.string()).readonly(),
})

export type OutsideIdentity = z.infer<typeof outsideIdentity>

/** Every policy map of the datapath knows these identities. */
export const outsideIdentities = z.object({
  /** That they are numbers of. */
  datapath: z.string(),
  /** Prefixes of pods and addresses of the node, which never get any. */
  own: z.array(z.string()).readonly(),
  identities: z.array(outsideIdentity).readonly(),
})

export type OutsideIdentities = z.infer<typeof outsideIdentities>
