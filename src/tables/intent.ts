// What users declare: pods, namespaces, nodes and policies, as the sources deliver
// them, trimmed to what the agent needs. Rows are written by controllers/intent.ts
// alone; an object that is not valid leaves its last good row in force and stands in
// `problems`.

import type { NamedPort } from '../labels/index.ts'
import type { HostPort } from '../manifests/index.ts'
import type { CidrGroup as CidrGroupRules, Policy as PolicyRules, Visibility } from '../policy/index.ts'
import type { Translation } from '../services/index.ts'
import { defineTable } from '../state/index.ts'

/** Where an object was written down. */
export type Origin = { readonly file: string; readonly line: number }

export type Pod = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly serviceAccount: string
  readonly hostNetwork: boolean
  /** Name of the node that it is bound to; absent: not bound, or the sandbox's only node. */
  readonly node?: string
  /** From its status, canonical; empty until it has any. */
  readonly addresses: readonly string[]
  readonly ports: readonly NamedPort[]
  /** Ports of its node that lead to it. */
  readonly hostPorts?: readonly HostPort[]
  /** Where it wants its connections to services translated. */
  readonly translation?: Translation
  /** Ports where what is said is to be seen, without anything being denied for it. */
  readonly visibility?: readonly Visibility[]
  readonly origin: Origin
}

export type Namespace = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** What any policy denies at its pods is recorded and passes. */
  readonly audit: boolean
  /** For pods that do not say themselves. */
  readonly translation?: Translation
  readonly origin: Origin
}

export type Node = {
  readonly name: string
  readonly addresses: readonly string[]
  readonly zone?: string
  readonly origin: Origin
}

export type Policy = {
  readonly kind: string
  /** Empty for a cluster-wide kind. */
  readonly namespace: string
  readonly name: string
  /** Its rules in the one rule model. */
  readonly rules: PolicyRules
  readonly origin: Origin
}

/** A named list of prefixes, for policies to refer to. */
export type CidrGroup = CidrGroupRules

/** Something wrong with what a source delivered. */
export type Problem = {
  readonly id: string
  readonly severity: 'error' | 'warning'
  /** `Kind namespace/name`; empty when the text itself could not be read. */
  readonly object: string
  /** The object's key (manifests), where its reader found the problem. */
  readonly about?: string
  readonly message: string
  readonly file: string
  readonly line: number
  readonly column: number
}

/** `namespace/name`, the key of a namespaced object; the bare name for others. */
export function objectKey(object: { readonly namespace?: string; readonly name: string }): string {
  return object.namespace ? `${object.namespace}/${object.name}` : object.name
}

const where = (row: { readonly origin: Origin }): string => `${row.origin.file}:${row.origin.line}`

const pairs = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => (value ? `${key}=${value}` : key))
    .join(' ')

export const podTable = defineTable({
  name: 'pods',
  key: (pod: Pod) => objectKey(pod),
  indexes: { namespace: pod => [pod.namespace], address: pod => pod.addresses },
  columns: {
    NAMESPACE: pod => pod.namespace,
    NAME: pod => pod.name,
    NODE: pod => pod.node ?? '',
    ADDRESSES: pod => pod.addresses.join(' '),
    'SERVICE ACCOUNT': pod => pod.serviceAccount,
    LABELS: pod => pairs(pod.labels),
    ORIGIN: where,
  },
})

export const namespaceTable = defineTable({
  name: 'namespaces',
  key: (namespace: Namespace) => namespace.name,
  columns: {
    NAME: namespace => namespace.name,
    LABELS: namespace => pairs(namespace.labels),
    AUDIT: namespace => (namespace.audit ? 'yes' : ''),
    ORIGIN: where,
  },
})

export const nodeTable = defineTable({
  name: 'nodes',
  key: (node: Node) => node.name,
  columns: { NAME: node => node.name, ADDRESSES: node => node.addresses.join(' '), ORIGIN: where },
})

export const policyTable = defineTable({
  name: 'policies',
  key: (policy: Policy) => `${policy.kind}/${objectKey(policy)}`,
  indexes: { namespace: policy => [policy.namespace] },
  columns: {
    KIND: policy => policy.kind,
    NAMESPACE: policy => policy.namespace,
    NAME: policy => policy.name,
    ORIGIN: where,
  },
})

export const cidrGroupTable = defineTable({
  name: 'cidr-groups',
  key: (group: CidrGroup) => group.name,
  columns: {
    NAME: group => group.name,
    PREFIXES: group => group.cidrs.join(' '),
    LABELS: group => pairs(group.labels),
    ORIGIN: where,
  },
})

export const problemTable = defineTable({
  name: 'problems',
  key: (problem: Problem) => problem.id,
  indexes: {
    object: problem => [problem.object],
    file: problem => [problem.file],
    /** First word of the id: what kind of problem it is. */
    kind: problem => [problem.id.slice(0, problem.id.indexOf(' '))],
  },
  columns: {
    SEVERITY: problem => problem.severity,
    OBJECT: problem => problem.object,
    MESSAGE: problem => problem.message,
    WHERE: problem => `${problem.file}:${problem.line}:${problem.column}`,
  },
})
