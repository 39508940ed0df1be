// What rules name and somebody else declares: CIDR groups and services. What the rest of
// the engine is given has neither in it any more.

import type { CidrGroup } from '../model/cidr-group.ts'
import type { Policy } from '../model/rule.ts'
import type { PolicyService } from '../model/service.ts'
import { CidrGroups } from './cidr-groups.ts'
import type { UnknownReference } from './expansion.ts'
import { PolicyServices } from './policy-services.ts'

/** CIDR groups and services, and policies with what these stand for. */
export class NamedPeers {
  readonly groups = new CidrGroups()
  readonly services = new PolicyServices()

  constructor(
    content: { readonly cidrGroups?: Iterable<CidrGroup>; readonly services?: Iterable<PolicyService> } = {},
  ) {
    for (const group of content.cidrGroups ?? []) this.groups.set(group)
    for (const service of content.services ?? []) this.services.set(service)
  }

  /**
   * The policy with the prefixes of its CIDR groups and the backends of its services as peers. The same object as long as
   * these are the same, and the policy itself when it refers to none.
   */
  expand(policy: Policy): Policy {
    return this.services.expand(this.groups.expand(policy))
  }

  /** Whether the meaning of a policy depends on groups or services. */
  isReferring(policy: Policy): boolean {
    return this.groups.isReferring(policy) || this.services.isReferring(policy)
  }

  /** Where a policy refers to what is not there. */
  unknownIn(policy: Policy): UnknownReference[] {
    return [...this.groups.unknownIn(policy), ...this.services.unknownIn(policy)]
  }
}
