// The status of every policy object, computed from the tables: those in force, and those
// that are refused with nothing of them in force. What it costs grows with the policies
// and the entries of the maps, so it is for when somebody asks.

import { comparePolicies, judgeOf, type L7RuleSet, type PolicySpec, policyKind, type RuleKey } from '../policy/index.ts'
import type { Status, Table, ViewSpec } from '../state/index.ts'
import {
  type EnforcedPolicy,
  objectKey,
  POLICY_STATUS_COLUMNS,
  type Policy,
  type PolicyStatus,
  type Problem,
  type Tables,
} from '../tables/index.ts'
import { type PolicySubject, PolicySubjects } from './policy-subjects.ts'
import { TLS_SECRET_MISSING } from './tls-secrets.ts'

type RowStatus = Table<Status, 'kind'>

/** How rows fare where they are brought to. */
export type RowStatuses = {
  /** Of each policy map, in the kernel. */
  readonly maps: RowStatus
  /** Of each rule set, in the proxy. */
  readonly ruleSets: RowStatus
  /** As in `RepositoryOptions`. */
  readonly triesRequests: boolean
}

export function policyStatusView(tables: Tables, statuses: RowStatuses): ViewSpec<PolicyStatus> {
  const { policies, namespaces, problems, enforcedPolicies, policyMaps, endpointEntries, identities } = tables
  return {
    name: 'policy-status',
    from: [policies, namespaces, problems, enforcedPolicies, policyMaps, endpointEntries, identities],
    rows: () => policyStatuses(tables, statuses),
    columns: POLICY_STATUS_COLUMNS,
  }
}

/** Sorted by namespace, name and kind. */
export function policyStatuses(tables: Tables, statuses: RowStatuses): PolicyStatus[] {
  const given: Given = {
    tables,
    mapStatus: statuses.maps,
    subjects: new PolicySubjects(tables),
    entries: entriesByPolicy(tables),
    triesRequests: statuses.triesRequests,
    refusedSets: refusedSetsByPolicy(tables, statuses.ruleSets),
  }
  const inForce = tables.policies.all().map(policy => statusOf(policy, given))
  return [...inForce, ...refusedObjects(tables)].sort(comparePolicies)
}

type Given = Pick<RowStatuses, 'triesRequests'> & {
  readonly tables: Tables
  readonly mapStatus: RowStatus
  readonly subjects: PolicySubjects
  readonly entries: ReadonlyMap<string, number>
  /** Why the proxy does not judge by rules of a policy, by the key of its row. */
  readonly refusedSets: ReadonlyMap<string, readonly string[]>
}

function statusOf(policy: Policy, given: Given): PolicyStatus {
  const { tables, mapStatus, subjects, entries, refusedSets, triesRequests } = given
  const key = tables.policies.spec.key(policy)
  const { kind, namespace, name, origin, rules } = policy
  const problems = problemsOf(tables, policy)
  const isOutdated = problems.some(isRefusal)
  const selected = subjects.of(rules)
  const isAudited = rules.specs.length > 0 && rules.specs.every(({ audit }) => audit === true)
  const failed = new Map(selected.map(({ map }) => [map, failureOf(mapStatus, map)]))
  const mapFailures = [...new Set([...failed.values()].filter(text => text !== undefined))]
  const unjudged = [...(refusedSets.get(key) ?? []), ...(problems.some(lacksSecret) ? [SECRET_MISSING] : [])]
  const failures = [
    ...(mapFailures.length > 0 ? [MAP_MISSING, ...mapFailures] : []),
    ...(unjudged.length > 0 ? [NOT_JUDGED, ...unjudged] : []),
  ]
  const known = tables.enforcedPolicies.get(key)
  const isCurrent = known?.version === tables.policies.revisionOf(key)
  const state = stateOf(failures.length > 0, isCurrent, isOutdated)
  const auditedEndpoints = podNames(
    selected.filter(({ endpoint }) => isAudited || tables.namespaces.get(endpoint.podNamespace)?.audit),
  )
  return {
    kind,
    namespace,
    name,
    origin,
    valid: !isOutdated,
    state,
    message: state === 'failing' ? failures.join('; ') : messageOf(state, policy, known),
    problems: problems.map(shown),
    ...(isCurrent && known && { enforced: { revision: known.revision, since: isoTime(known) } }),
    audit: isAudited,
    endpoints: podNames(selected),
    auditedEndpoints,
    entries: entries.get(key) ?? 0,
    unenforced: [
      ...(rules.unenforced ?? []),
      ...(isAudited || auditedEndpoints.length > 0 ? untriedRequests(rules.specs, triesRequests) : []),
    ],
  }
}

/** To end TLS, or to begin it, would change what both ends see: nobody does it for the record. */
const untriedRequests = (specs: readonly PolicySpec[], triesRequests: boolean): PolicyStatus['unenforced'] =>
  specs
    .flatMap(({ rules }) => rules)
    .filter(({ l7 }) => l7 !== undefined && (!triesRequests || judgeOf(l7) === 'https'))
    .map(({ path }) => ({
      path: path.startsWith('specs') ? path : `spec.${path}`,
      reason: triesRequests
        ? 'what is said inside of TLS is not tried out: while it is audited, it passes unread and is not recorded'
        : 'without a proxy (--proxy) what is said is not tried out: while it is audited, requests that it would deny pass and are not recorded',
    }))

const podNames = (subjects: readonly PolicySubject[]): string[] =>
  subjects
    .map(({ endpoint: { podNamespace, podName } }) => objectKey({ namespace: podNamespace, name: podName }))
    .sort()

function stateOf(isFailing: boolean, isCurrent: boolean, isOutdated: boolean): PolicyStatus['state'] {
  if (isFailing) return 'failing'
  if (!isCurrent) return 'pending'
  return isOutdated ? 'outdated' : 'enforced'
}

const MAP_MISSING = 'the kernel did not take it for every endpoint: those without it deny everything'
const NOT_JUDGED = 'some of its rules cannot be judged by, and what they are about is denied'
const SECRET_MISSING = 'a Secret is not in order, see its problems'

const lacksSecret = ({ id }: Problem): boolean => id.startsWith(TLS_SECRET_MISSING)

function messageOf(state: PolicyStatus['state'], { origin }: Policy, known: EnforcedPolicy | undefined): string {
  if (state === 'pending') return 'on its way to the kernel'
  if (state === 'enforced') return 'enforced'
  return `refused; the version of ${known ? `${isoTime(known)} ` : ''}(${origin.file}:${origin.line}) stays in force`
}

const isoTime = ({ sinceMs }: EnforcedPolicy): string => new Date(sinceMs).toISOString()

function failureOf(mapStatus: RowStatus, map: number): string | undefined {
  const status = mapStatus.get(String(map))
  return status?.kind === 'failed' ? status.error.message : undefined
}

/** What is said of the object of a policy, or of all of the file that it is in. One of another API group has its own row. */
function problemsOf({ problems }: Tables, { kind, namespace, name, origin }: Policy): Problem[] {
  const ofObject = problems
    .by('object', `${kind} ${objectKey({ namespace, name })}`)
    .filter(({ about }) => about === undefined || policyKind(kindAndGroup(about)) === 'enforced')
  const ofFile = problems.by('file', origin.file).filter(({ object }) => object === '')
  return [...ofObject, ...ofFile]
}

/** Of the object's own text: with it, what is declared now cannot be in force. */
const isRefusal = ({ severity, about, object }: Problem): boolean =>
  severity === 'error' && (about !== undefined || object === '')

/** The policy objects that have errors and no version in force. */
function refusedObjects({ problems, policies }: Tables): PolicyStatus[] {
  const byKey = new Map<string, Problem[]>()
  for (const problem of problems.all())
    if (problem.about !== undefined && policyKind(kindAndGroup(problem.about)))
      byKey.set(problem.about, [...(byKey.get(problem.about) ?? []), problem])
  return [...byKey].flatMap(([key, found]): PolicyStatus[] => {
    const error = found.find(isRefusal)
    const [named = '', namespace = '', name = ''] = key.split('/')
    const kind = named.slice(0, named.indexOf('.'))
    const hasRow = policyKind(named) === 'enforced' && policies.get(`${kind}/${objectKey({ namespace, name })}`)
    if (!error || hasRow) return []
    return [
      {
        kind,
        namespace,
        name,
        origin: { file: error.file, line: error.line },
        valid: false,
        state: 'refused',
        message: 'refused; nothing of it is in force',
        problems: found.map(shown),
        audit: false,
        endpoints: [],
        auditedEndpoints: [],
        entries: 0,
        unenforced: [],
      },
    ]
  })
}

const kindAndGroup = (about: string): string => about.slice(0, about.indexOf('/'))

const shown = ({ severity, message, file, line, column }: Problem): PolicyStatus['problems'][number] => ({
  severity,
  message,
  file,
  line,
  column,
})

/** Of sets that maps name: others are kept for a moment, and are nothing of what is in force. */
function refusedSetsByPolicy(tables: Tables, ruleSetStatus: RowStatus): Map<string, string[]> {
  const found = new Map<string, string[]>()
  const failed = ruleSetStatus.by('kind', 'failed')
  if (failed.length === 0) return found
  const owners = policiesByRule(tables)
  const named = new Set(tables.policyMaps.all().flatMap(({ entries }) => entries.flatMap(({ l7 }) => l7?.number ?? [])))
  for (const { key, ...status } of failed) {
    const set = tables.l7RuleSets.get(key)
    if (!set || !named.has(set.number) || status.kind !== 'failed') continue
    for (const owner of new Set(Array.from(rulesIn(set), rule => owners.get(rule) ?? '')))
      found.set(owner, [...(found.get(owner) ?? []), status.error.message])
  }
  return found
}

/** Keys of the rows of policies. */
function policiesByRule({ policies }: Tables): Map<RuleKey, string> {
  const owners = new Map<RuleKey, string>()
  for (const policy of policies.all()) {
    const key = policies.spec.key(policy)
    for (const { rules } of policy.rules.specs) for (const rule of rules) owners.set(rule.key, key)
  }
  return owners
}

/** How many entries of all policy maps are there for the rules of each policy, by the key of its row. */
function entriesByPolicy(tables: Tables): Map<string, number> {
  const { policyMaps, l7RuleSets } = tables
  const owners = policiesByRule(tables)
  const counts = new Map<string, number>()
  for (const { entries } of policyMaps.all())
    for (const { key, l7 } of entries) {
      const set = l7 && l7RuleSets.get(String(l7.number))
      const keys = set ? rulesIn(set).union(new Set([key])) : [key]
      const own = new Set(Array.from(keys, each => owners.get(each)).filter(owner => owner !== undefined))
      for (const owner of own) counts.set(owner, (counts.get(owner) ?? 0) + 1)
    }
  return counts
}

const rulesInSets = new WeakMap<L7RuleSet, ReadonlySet<RuleKey>>()

/** The rules of policies that a set is made of. */
function rulesIn(set: L7RuleSet): ReadonlySet<RuleKey> {
  const known = rulesInSets.get(set) ?? new Set(set.rules.rules.map(({ rule }) => rule))
  rulesInSets.set(set, known)
  return known
}
