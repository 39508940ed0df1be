// How each policy object stands: whether what is declared is valid, and since when and
// at which revision its rules are what the kernel judges packets by. The first table is
// kept by controllers/policy-status.ts; the full status is computed from it and the
// other tables when somebody asks (controllers/policy-status-view.ts).

import { defineTable } from '../state/index.ts'
import type { Origin, Problem } from './intent.ts'

/** That a policy is in the kernel's maps. */
export type EnforcedPolicy = {
  /** Key of its row in `policies`. */
  readonly policy: string
  /** Revision of that row: a policy whose row has a higher one is still on its way. */
  readonly version: number
  /** Of the maps that packets are judged by, when these rules were first in all of them. */
  readonly revision: number
  /** Milliseconds since the Unix epoch. Survives a restart of the agent. */
  readonly sinceMs: number
}

export const enforcedPolicyTable = defineTable({
  name: 'enforced-policies',
  key: (enforced: EnforcedPolicy) => enforced.policy,
  columns: {
    POLICY: enforced => enforced.policy,
    VERSION: enforced => String(enforced.version),
    REVISION: enforced => String(enforced.revision),
    SINCE: enforced => new Date(enforced.sinceMs).toISOString(),
  },
})

/**
 * `enforced`: what is declared is in the kernel. `outdated`: what is declared is not valid or cannot be read, so an
 * earlier version is in force. `pending`: valid, on its way. `failing`: valid, and the kernel did not take it for some
 * endpoint. `refused`: not valid, and nothing of it is in force.
 */
export type PolicyState = 'enforced' | 'outdated' | 'pending' | 'failing' | 'refused'

export type PolicyStatus = {
  readonly kind: string
  /** Empty for a cluster-wide kind. */
  readonly namespace: string
  readonly name: string
  /** Of what is in force; of a refused object, where it is refused. */
  readonly origin: Origin
  /** Whether what is declared now has no error. */
  readonly valid: boolean
  readonly state: PolicyState
  /** The state in a sentence. */
  readonly message: string
  readonly problems: readonly Pick<Problem, 'severity' | 'message' | 'file' | 'line' | 'column'>[]
  /** What the maps had when they had the version in force first: their revision and the time, in ISO 8601. */
  readonly enforced?: { readonly revision: number; readonly since: string }
  /** By its own annotation: its denials are recorded and pass. */
  readonly audit: boolean
  /** Pods of this node that it selects, `NAMESPACE/NAME`, sorted. */
  readonly endpoints: readonly string[]
  /** Those of them at which its denials are recorded and pass, by its own annotation or by that of their namespace. */
  readonly auditedEndpoints: readonly string[]
  /** Entries of this node's policy maps that are there for its rules. */
  readonly entries: number
  /** What is valid and not enforced yet. */
  readonly unenforced: readonly { readonly path: string; readonly reason: string }[]
}

/** The columns of `policy-status`, for every place that prints it. */
export const POLICY_STATUS_COLUMNS: Readonly<Record<string, (status: PolicyStatus) => string>> = {
  KIND: status => status.kind,
  NAMESPACE: status => status.namespace,
  NAME: status => status.name,
  STATUS: statusText,
  ENDPOINTS: status => String(status.endpoints.length),
  ENTRIES: status => String(status.entries),
  REVISION: status => String(status.enforced?.revision ?? ''),
  SINCE: status => status.enforced?.since ?? '',
  ORIGIN: status => `${status.origin.file}:${status.origin.line}`,
}

function statusText({ state, audit, auditedEndpoints, unenforced, problems }: PolicyStatus): string {
  const count = (severity: Problem['severity']): number =>
    problems.filter(problem => problem.severity === severity).length
  const parts = [
    state,
    audit ? 'audit' : auditedEndpoints.length > 0 && `audit at ${auditedEndpoints.length}`,
    unenforced.length > 0 && `${unenforced.length} not enforced yet`,
    count('error') > 0 && counted(count('error'), 'error'),
    count('warning') > 0 && counted(count('warning'), 'warning'),
  ]
  return parts.filter(part => part !== false).join(', ')
}

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`
