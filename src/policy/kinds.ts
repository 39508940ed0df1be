// The policy kinds: which objects are policies, and who reads them. A kind that is a
// policy and that nothing here enforces is refused by name, never passed over.

import { apiGroup, type ManifestObject, problemOf, type Validation } from '../manifests/index.ts'
import { NETWORK_POLICY_API, NETWORK_POLICY_KIND, readNetworkPolicy } from './network-policy.ts'
import type { Policy } from './rule.ts'

type Reader = (object: ManifestObject) => Validation<Policy>

/** Readers by `KIND.GROUP`, with the version they know. */
const KINDS: ReadonlyMap<string, { readonly apiVersion: string; readonly read: Reader }> = new Map([
  [
    `${NETWORK_POLICY_KIND}.${apiGroup(NETWORK_POLICY_API)}`,
    { apiVersion: NETWORK_POLICY_API, read: readNetworkPolicy },
  ],
])

/** Kinds that restrict traffic elsewhere and are not enforced here yet. */
const NOT_ENFORCED: ReadonlySet<string> = new Set([
  'NetworkPolicy.extensions',
  'ClusterNetworkPolicy.policy.networking.k8s.io',
  'AdminNetworkPolicy.policy.networking.k8s.io',
  'BaselineAdminNetworkPolicy.policy.networking.k8s.io',
  'CiliumNetworkPolicy.cilium.io',
  'CiliumClusterwideNetworkPolicy.cilium.io',
  'NetworkPolicy.projectcalico.org',
  'GlobalNetworkPolicy.projectcalico.org',
  'NetworkPolicy.crd.projectcalico.org',
  'GlobalNetworkPolicy.crd.projectcalico.org',
  'NetworkPolicy.crd.antrea.io',
  'ClusterNetworkPolicy.crd.antrea.io',
])

/** The policy of an object, its problems alone when it is refused, or undefined when the object is no policy. */
export function readPolicy(object: ManifestObject): Validation<Policy> | undefined {
  const name = `${object.kind}.${apiGroup(object.apiVersion)}`
  const kind = KINDS.get(name)
  if (kind?.apiVersion === object.apiVersion) return kind.read(object)
  if (kind) return { problems: [problemOf(object, 'error', ['apiVersion'], `must be ${kind.apiVersion}`)] }
  if (!NOT_ENFORCED.has(name)) return undefined
  const message = `${object.kind} of ${object.apiVersion} is not enforced; only ${NETWORK_POLICY_KIND} of ${NETWORK_POLICY_API} is`
  return { problems: [problemOf(object, 'error', ['kind'], message)] }
}
