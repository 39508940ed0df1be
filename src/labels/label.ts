// One label: where it comes from, its key and its value. The source is part of the
// type, so a pod that carries the label `host` has `k8s:host` and can never be taken
// for `reserved:host`. Pure; texts are those that users of Cilium and Hubble know.

/**
 * Where a label comes from.
 * - `k8s`: what Kubernetes says of a pod: its labels, namespace, labels of the namespace, service account, cluster
 * - `pod`: a pod's own label whose key is one of the names that `k8s` keeps for the facts above (see pod-labels.ts)
 * - `reserved`: a role in the cluster, such as `reserved:host`
 * - `cidr`: a prefix that covers the address and that a policy names, such as `cidr:10.0.0.0/8`
 * - `port`: a named port, such as `port:http/TCP=8080`
 * - `cidrgroup`, `fqdn`, `node`: membership of a CIDR group, of a DNS name's addresses, labels of a node
 */
export type LabelSource = (typeof LABEL_SOURCES)[number]

export const LABEL_SOURCES = ['k8s', 'pod', 'reserved', 'cidr', 'port', 'cidrgroup', 'fqdn', 'node'] as const

/** A label. A label without a value, such as `reserved:host`, has the empty value. */
export type Label = { readonly source: LabelSource; readonly key: string; readonly value: string }

/** Keys that Kubernetes facts take in the source `k8s`. */
export const KEYS = {
  namespace: 'io.kubernetes.pod.namespace',
  namespaceLabelPrefix: 'io.cilium.k8s.namespace.labels.',
  serviceAccount: 'io.cilium.k8s.policy.serviceaccount',
  cluster: 'io.cilium.k8s.policy.cluster',
} as const

/** Whether a key of the source `k8s` belongs to a fact of KEYS, so that a pod's own label may not take it. */
export function isInternalKey(key: string): boolean {
  return (
    key === KEYS.namespace ||
    key === KEYS.serviceAccount ||
    key === KEYS.cluster ||
    key.startsWith(KEYS.namespaceLabelPrefix)
  )
}

/** `source:key`: what two labels of one set never share. */
export function labelName(source: LabelSource, key: string): string {
  return `${source}:${escapeLabelPart(key)}`
}

/** `source:key=value`, or `source:key` for an empty value. Injective: `%`, `;` and `=` in a part are percent-encoded. */
export function formatLabel(label: Label): string {
  const name = labelName(label.source, label.key)
  return label.value === '' ? name : `${name}=${escapeLabelPart(label.value)}`
}

/** The inverse of `formatLabel`; undefined when the text has no known source. */
export function parseLabel(text: string): Label | undefined {
  const colon = text.indexOf(':')
  const source = LABEL_SOURCES.find(known => known === text.slice(0, colon))
  if (!source) return undefined
  const equals = text.indexOf('=', colon)
  const key = unescapeLabelPart(text.slice(colon + 1, equals < 0 ? undefined : equals))
  const value = equals < 0 ? '' : unescapeLabelPart(text.slice(equals + 1))
  return key === undefined || value === undefined ? undefined : { source, key, value }
}

const SPECIAL = /[%;=]/
const ESCAPES: Readonly<Record<string, string>> = { '%': '%25', ';': '%3B', '=': '%3D' }

/** Percent-encodes the characters that separate labels in a text. */
export function escapeLabelPart(part: string): string {
  return SPECIAL.test(part) ? part.replace(/[%;=]/g, character => ESCAPES[character] ?? character) : part
}

function unescapeLabelPart(part: string): string | undefined {
  if (/%(?!25|3B|3D)/.test(part)) return undefined
  return part.replaceAll('%3D', '=').replaceAll('%3B', ';').replaceAll('%25', '%')
}
