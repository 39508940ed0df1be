// The policy kinds: which objects are policies, and who reads them. A kind that is a
// policy and that nothing here enforces is refused by name, never passed over.

import { apiGroup, type ManifestObject, problemOf, type Validation } from '../../manifests/index.ts'
import type { Policy } from '../model/rule.ts'
import {
  CILIUM_CLUSTERWIDE_NETWORK_POLICY_KIND,
  CILIUM_NETWORK_POLICY_API,
  CILIUM_NETWORK_POLICY_KIND,
  readCiliumClusterwideNetworkPolicy,
  readCiliumNetworkPolicy,
} from './cilium/network-policy.ts'
import {
  ADMIN_NETWORK_POLICY_API,
  ADMIN_NETWORK_POLICY_KIND,
  BASELINE_ADMIN_NETWORK_POLICY_KIND,
  CLUSTER_NETWORK_POLICY_API,
  CLUSTER_NETWORK_POLICY_KIND,
  readAdminNetworkPolicy,
  readBaselineAdminNetworkPolicy,
  readClusterNetworkPolicy,
} from './kubernetes/cluster-network-policy.ts'
import { NETWORK_POLICY_API, NETWORK_POLICY_KIND, readNetworkPolicy } from './kubernetes/network-policy.ts'

type Reader = (object: ManifestObject) => Validation<Policy>

type Kind = { readonly kind: string; readonly apiVersion: string; readonly read: Reader }

/** Kinds that are enforced, each in the one version that is known here. */
const ENFORCED: readonly Kind[] = [
  { kind: NETWORK_POLICY_KIND, apiVersion: NETWORK_POLICY_API, read: readNetworkPolicy },
  { kind: CLUSTER_NETWORK_POLICY_KIND, apiVersion: CLUSTER_NETWORK_POLICY_API, read: readClusterNetworkPolicy },
  { kind: ADMIN_NETWORK_POLICY_KIND, apiVersion: ADMIN_NETWORK_POLICY_API, read: readAdminNetworkPolicy },
  {
    kind: BASELINE_ADMIN_NETWORK_POLICY_KIND,
    apiVersion: ADMIN_NETWORK_POLICY_API,
    read: readBaselineAdminNetworkPolicy,
  },
  { kind: CILIUM_NETWORK_POLICY_KIND, apiVersion: CILIUM_NETWORK_POLICY_API, read: readCiliumNetworkPolicy },
  {
    kind: CILIUM_CLUSTERWIDE_NETWORK_POLICY_KIND,
    apiVersion: CILIUM_NETWORK_POLICY_API,
    read: readCiliumClusterwideNetworkPolicy,
  },
]

const USE_INSTEAD = `${NETWORK_POLICY_KIND}, ${CLUSTER_NETWORK_POLICY_KIND} and ${CILIUM_NETWORK_POLICY_KIND} are`

const KINDS: ReadonlyMap<string, Kind> = new Map(
  ENFORCED.map(known => [`${known.kind}.${apiGroup(known.apiVersion)}`, known]),
)

/** Kinds that restrict traffic elsewhere and are not enforced here yet. */
const NOT_ENFORCED: ReadonlySet<string> = new Set([
  'NetworkPolicy.extensions',
  'NetworkPolicy.projectcalico.org',
  'GlobalNetworkPolicy.projectcalico.org',
  'NetworkPolicy.crd.projectcalico.org',
  'GlobalNetworkPolicy.crd.projectcalico.org',
  'NetworkPolicy.crd.antrea.io',
  'ClusterNetworkPolicy.crd.antrea.io',
])

/** Whether objects of a kind, named as in `NetworkPolicy.networking.k8s.io`, are policies, and whether those are enforced. */
export function policyKind(kindAndGroup: string): 'enforced' | 'not enforced' | undefined {
  if (KINDS.has(kindAndGroup)) return 'enforced'
  return NOT_ENFORCED.has(kindAndGroup) ? 'not enforced' : undefined
}

/** The policy of an object, its problems alone when it is refused, or undefined when the object is no policy. */
export function readPolicy(object: ManifestObject): Validation<Policy> | undefined {
  const name = `${object.kind}.${apiGroup(object.apiVersion)}`
  const kind = KINDS.get(name)
  if (kind?.apiVersion === object.apiVersion) return kind.read(object)
  if (kind) return { problems: [problemOf(object, 'error', ['apiVersion'], `must be ${kind.apiVersion}`)] }
  if (!NOT_ENFORCED.has(name)) return undefined
  const message = `${object.kind} of ${object.apiVersion} is not enforced; ${USE_INSTEAD}`
  return { problems: [problemOf(object, 'error', ['kind'], message)] }
}
