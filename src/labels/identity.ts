// Identity numbers: which ranges there are, the reserved ones and their labels, and
// names for people. The numbers are those that users of Cilium know; they stand in
// packets, maps and flows. Pure.

import { KEYS, type Label } from './label.ts'
import { type LabelSet, labelSet, labelTexts, labelValue } from './label-set.ts'

/** Reserved numbers (Cilium `pkg/identity/numericidentity.go`). In a policy entry 0 stands for any peer. */
export const RESERVED = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  'remote-node': 6,
  'kube-apiserver': 7,
  ingress: 8,
  'world-ipv4': 9,
  'world-ipv6': 10,
} as const

export type ReservedName = keyof typeof RESERVED

const reservedLabel = (key: ReservedName): Label => ({ source: 'reserved', key, value: '' })

/** A reserved identity's labels. An address of the world has that of its family too; the API server runs on some node. */
const RESERVED_LABELS: readonly LabelSet[] = (Object.keys(RESERVED) as ReservedName[]).map(name => {
  if (name === 'world-ipv4' || name === 'world-ipv6') return labelSet([reservedLabel('world'), reservedLabel(name)])
  if (name === 'kube-apiserver') return labelSet([reservedLabel('remote-node'), reservedLabel(name)])
  return labelSet([reservedLabel(name)])
})

const RESERVED_BY_KEY = new Map(RESERVED_LABELS.map((labels, number) => [labels.key, number]))

/** Labels of a reserved identity. */
export function reservedLabels(name: ReservedName): LabelSet {
  return RESERVED_LABELS[RESERVED[name]] as LabelSet
}

/** Number of a label set that is a reserved identity, else undefined. */
export function reservedNumber(labels: LabelSet): number | undefined {
  return RESERVED_BY_KEY.get(labels.key)
}

/** Labels of a reserved number, undefined for others. `unknown` has its own label and stands for nobody. */
export function reservedLabelsOf(number: number): LabelSet | undefined {
  return RESERVED_LABELS[number]
}

/** All reserved identities but `unknown`. */
export function reservedIdentities(): { readonly number: number; readonly labels: LabelSet }[] {
  return RESERVED_LABELS.map((labels, number) => ({ number, labels })).slice(1)
}

/**
 * - `cluster`: one number in all nodes, for labels that mean the same everywhere
 * - `local`: this node's own number, for labels that depend on addresses or ports that policies name
 */
export type IdentityScope = 'cluster' | 'local'

/** First and last number of each scope. Numbers from 1<<25 on belong to remote nodes. */
export const IDENTITY_RANGES: Readonly<Record<IdentityScope, { readonly first: number; readonly last: number }>> = {
  cluster: { first: 256, last: 65535 },
  local: { first: 1 << 24, last: (1 << 25) - 1 },
}

/** The scope that a label set's number comes from: cluster for a pod with labels alone, local for all else. */
export function identityScope(labels: LabelSet): IdentityScope {
  return labels.labels.every(({ source }) => source === 'k8s' || source === 'pod') ? 'cluster' : 'local'
}

/**
 * A short name for people, such as `default/web`, `host`, `world 10.0.0.0/8`, `world *.example.com`. Not unique.
 * A pod is named by its namespace and the first of the labels that commonly name an application.
 */
export function identityName(labels: LabelSet): string {
  const roles = labels.labels.filter(label => label.source === 'reserved').map(label => label.key)
  const cidrs = labels.labels.filter(label => label.source === 'cidr').map(label => label.key)
  const names = labels.labels.filter(label => label.source === 'fqdn').map(label => label.key)
  const role = roles.find(name => name !== 'world' && name !== 'remote-node') ?? roles[0]
  if (role?.startsWith('world') && names.length > 0) return `world ${names.join(' ')}`
  if (role) return role.startsWith('world') && cidrs.length > 0 ? `world ${longestPrefix(cidrs)}` : role
  const namespace = labelValue(labels, 'k8s', KEYS.namespace)
  if (namespace === undefined) return labelTexts(labels).join(' ') || 'unknown'
  return `${namespace}/${applicationName(labels)}`
}

const NAMING_KEYS = ['app.kubernetes.io/name', 'k8s-app', 'app', 'name', 'app.kubernetes.io/component', 'component']

function applicationName(labels: LabelSet): string {
  for (const key of NAMING_KEYS) {
    const value = labelValue(labels, 'k8s', key)
    if (value) return value
  }
  const own = labels.labels.find(({ source, key }) => source === 'k8s' && !key.startsWith('io.'))
  return own ? `${own.key}=${own.value}` : '*'
}

const prefixLength = (cidr: string): number => Number(cidr.slice(cidr.indexOf('/') + 1))

const longestPrefix = (cidrs: readonly string[]): string =>
  cidrs.reduce((longest, cidr) => (prefixLength(cidr) > prefixLength(longest) ? cidr : longest))
