// The objects that manifests declare, and the problems found in them. Every object
// and every problem knows where in the user's own file it stands. What a kind means
// is told by its schema; here all kinds are alike.

/** A place inside an object: `['spec', 'containers', 0, 'name']`. */
export type Path = readonly (string | number)[]

/** 1-based; columns count UTF-16 code units. */
export type Position = { readonly line: number; readonly column: number }

/** A part of a text, from the first character to the one after the last. */
export type TextRange = { readonly start: Position; readonly end: Position }

export type ObjectMetadata = {
  readonly name: string
  readonly namespace?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly uid?: string
}

/** One object whose text is sound YAML and whose metadata is valid. Never changed once made. */
export type ManifestObject = {
  /** `v1`, or `GROUP/VERSION`. */
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMetadata
  /** The whole object as plain values, as written. */
  readonly content: Readonly<Record<string, unknown>>
  /** Where its first line is. */
  readonly origin: { readonly file: string; readonly line: number }
  /** Its own part, comments included, of the text that was parsed. */
  readonly source: TextRange
  /** Where a path stands in the origin's file: the key of a field, the start of a list item; else the nearest ancestor. */
  readonly position: (path: Path) => Position
}

/** Something wrong with a manifest, and where. An error refuses the object, a warning does not. */
export type Problem = {
  readonly severity: 'error' | 'warning'
  readonly message: string
  readonly file: string
  readonly line: number
  readonly column: number
  /** The field, as in `spec.containers[0].name`. */
  readonly path?: string
  /** The object, as in `Pod default/web`. */
  readonly object?: string
}

/** What identifies an object among all: kind, group, namespace and name, but not the version. */
export type ObjectKey = string

/** `NetworkPolicy.networking.k8s.io/default/web`; a cluster-wide kind has an empty namespace. */
export function objectKey(object: Pick<ManifestObject, 'apiVersion' | 'kind' | 'metadata'>): ObjectKey {
  const group = apiGroup(object.apiVersion)
  const kind = group === '' ? object.kind : `${object.kind}.${group}`
  return `${kind}/${namespaceOf(object)}/${object.metadata.name}`
}

/** For people: `NetworkPolicy default/web`, `Node node1`. */
export function objectName(object: Pick<ManifestObject, 'apiVersion' | 'kind' | 'metadata'>): string {
  const namespace = namespaceOf(object)
  return `${object.kind} ${namespace === '' ? '' : `${namespace}/`}${object.metadata.name}`
}

/** Its namespace: `default` where none is given, empty for the kinds that have none. */
export function namespaceOf(object: Pick<ManifestObject, 'apiVersion' | 'kind' | 'metadata'>): string {
  return isClusterWide(object) ? '' : (object.metadata.namespace ?? 'default')
}

/** `networking.k8s.io` of `networking.k8s.io/v1`; empty for `v1`. */
export function apiGroup(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
}

/** Kinds without a namespace, of those that users put beside pods and policies. An unknown kind counts as namespaced. */
const CLUSTER_WIDE_KINDS: ReadonlySet<string> = new Set([
  'Namespace',
  'Node',
  'PersistentVolume',
  'ClusterRole.rbac.authorization.k8s.io',
  'ClusterRoleBinding.rbac.authorization.k8s.io',
  'CustomResourceDefinition.apiextensions.k8s.io',
  'StorageClass.storage.k8s.io',
  'IngressClass.networking.k8s.io',
  'PriorityClass.scheduling.k8s.io',
  'GatewayClass.gateway.networking.k8s.io',
  'ClusterNetworkPolicy.policy.networking.k8s.io',
  'AdminNetworkPolicy.policy.networking.k8s.io',
  'BaselineAdminNetworkPolicy.policy.networking.k8s.io',
  'CiliumClusterwideNetworkPolicy.cilium.io',
  'CiliumCIDRGroup.cilium.io',
  'PolicyExpectations.axoneme.io',
])

function isClusterWide({ apiVersion, kind }: { apiVersion: string; kind: string }): boolean {
  const group = apiGroup(apiVersion)
  return CLUSTER_WIDE_KINDS.has(group === '' ? kind : `${kind}.${group}`)
}

/** `spec.containers[0].ports`, with quotes around keys that are no plain words: `metadata.labels["a.b/c"]`. */
export function formatPath(path: Path): string {
  return path
    .map(part => {
      if (typeof part === 'number') return `[${part}]`
      return /^[A-Za-z_$][\w$-]*$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`
    })
    .join('')
    .replace(/^\./, '')
}

/** One line for people: `web.yaml:12:5: error: Pod default/web: spec.containers[0].name: is required`. */
export function formatProblem(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`
  const subject = [problem.object, problem.path].flatMap(part => (part ? [`${part}: `] : [])).join('')
  return `${place}: ${problem.severity}: ${subject}${problem.message}`
}
