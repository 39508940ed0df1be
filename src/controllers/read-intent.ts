// From a manifest object to the row of an intent table: the reader of its kind, and what
// of it the agent needs. Pure.

import { protocolNumber, shadowedKeys } from '../labels/index.ts'
import {
  apiGroup,
  type ManifestObject,
  problemOf,
  readEndpointSlice,
  readNamespace,
  readNode,
  readPod,
  readSecret,
  readService,
  type SecretManifest,
  type Validation,
} from '../manifests/index.ts'
import {
  CILIUM_CIDR_GROUP_KIND,
  readAuditAnnotation,
  readCiliumCidrGroup,
  readPolicy,
  readVisibility,
} from '../policy/index.ts'
import { readTranslation } from '../services/index.ts'
import type { CidrGroup, EndpointSlice, Namespace, Node, Pod, Policy, Service } from '../tables/index.ts'

/** A row for one of the intent tables. */
export type IntentRow =
  | { readonly table: 'pods'; readonly row: Pod }
  | { readonly table: 'namespaces'; readonly row: Namespace }
  | { readonly table: 'nodes'; readonly row: Node }
  | { readonly table: 'policies'; readonly row: Policy }
  | { readonly table: 'cidrGroups'; readonly row: CidrGroup }
  | { readonly table: 'services'; readonly row: Service }
  | { readonly table: 'endpointSlices'; readonly row: EndpointSlice }
  /** In no table: what is in it is not to be shown. */
  | { readonly table: 'none'; readonly secret: SecretManifest }

const ZONE_LABEL = 'topology.kubernetes.io/zone'

/** What the object says for the tables: a row, or why not. An object of a kind that is not used gives a warning alone. */
export function readIntent(object: ManifestObject): Validation<IntentRow> {
  const { origin } = object
  const kind = `${apiGroup(object.apiVersion)}/${object.kind}`
  switch (kind) {
    case '/Pod':
      return podIntent(object)
    case '/Namespace':
      return namespaceIntent(object)
    case '/Node':
      return mapValue(readNode(object), ({ name, addresses, labels }) => {
        const zone = labels[ZONE_LABEL]
        const row = { name, addresses: addresses.map(({ address }) => address), ...(zone && { zone }), origin }
        return { table: 'nodes', row }
      })
    case '/Service':
      return mapValue(readService(object), service => ({ table: 'services', row: { ...service, origin } }))
    case '/Secret':
      return mapValue(readSecret(object), secret => ({ table: 'none', secret }))
    case 'discovery.k8s.io/EndpointSlice':
      return mapValue(readEndpointSlice(object), slice => ({ table: 'endpointSlices', row: { ...slice, origin } }))
    case `cilium.io/${CILIUM_CIDR_GROUP_KIND}`:
      return cidrGroupIntent(object)
    default:
      return policyIntent(object)
  }
}

/** One whose audit annotation is wrong has its labels nonetheless, and all is enforced there: policies may ask for them. */
function namespaceIntent(object: ManifestObject): Validation<IntentRow> {
  const audit = readAuditAnnotation(object)
  const translation = readTranslation(object)
  const { value, problems } = mapValue(readNamespace(object), ({ name, labels }): IntentRow => {
    const row = { name, labels, audit: audit.value ?? false, ...translation.value, origin: object.origin }
    return { table: 'namespaces', row }
  })
  return value ? { value, problems: [...problems, ...audit.problems, ...translation.problems] } : { problems }
}

function podIntent(object: ManifestObject): Validation<IntentRow> {
  const { value: pod, problems } = readPod(object)
  if (!pod) return { problems }
  const translation = readTranslation(object)
  const { visibility, problems: unclear } = readVisibility(object)
  const row: Pod = {
    namespace: pod.namespace,
    name: pod.name,
    labels: pod.labels,
    serviceAccount: pod.serviceAccount,
    hostNetwork: pod.hostNetwork,
    ...(pod.nodeName && { node: pod.nodeName }),
    // What has ended has no address any more: another pod may have it.
    addresses: pod.phase === 'Succeeded' || pod.phase === 'Failed' ? [] : pod.ips,
    ...(pod.hostPorts.length > 0 && { hostPorts: pod.hostPorts }),
    ports: pod.namedPorts.map(({ name, protocol, port }) => ({ name, protocol: protocolNumber(protocol) ?? 0, port })),
    ...translation.value,
    ...(visibility.length > 0 && { visibility }),
    origin: object.origin,
  }
  const shadowed = shadowedKeys(pod.labels).map(key =>
    problemOf(object, 'warning', ['metadata', 'labels', key], SHADOWED),
  )
  return { value: { table: 'pods', row }, problems: [...problems, ...shadowed, ...translation.problems, ...unclear] }
}

function cidrGroupIntent(object: ManifestObject): Validation<IntentRow> {
  return mapValue(readCiliumCidrGroup(object), row => ({ table: 'cidrGroups', row }))
}

const SHADOWED =
  'is a name that identities use for what Kubernetes itself says of a pod; the label changes nothing of that, and only ' +
  'a podSelector that names it sees it'

function policyIntent(object: ManifestObject): Validation<IntentRow> {
  const read = readPolicy(object)
  if (!read) return { problems: [problemOf(object, 'warning', ['kind'], notUsed(object))] }
  const { origin } = object
  return mapValue(read, rules => {
    const { kind, namespace, name } = rules.ref
    return { table: 'policies', row: { kind, namespace, name, rules, origin } }
  })
}

function notUsed({ apiVersion, kind }: ManifestObject): string {
  const instead =
    apiVersion === 'v1' && kind === 'Endpoints' ? ', only the EndpointSlices that Kubernetes makes of them' : ''
  return `${kind} ${instead ? 'are' : 'is'} not used here${instead}`
}

function mapValue<From, To>({ value, problems }: Validation<From>, map: (value: From) => To): Validation<To> {
  return value === undefined ? { problems } : { value: map(value), problems }
}
