// A policy beside the manifest that it was read from, so that findings about rules of
// the model stand at the fields that people wrote.

import type { ManifestObject, Path } from '../../manifests/index.ts'
import { readPolicy } from '../kinds/read-policy.ts'
import type { Policy, PolicySpec, Rule } from '../model/rule.ts'
import { type Fields, fieldsOf, isFields, parsePath, valueAt } from './manifest-fields.ts'

export type LintedPolicy = {
  readonly object: ManifestObject
  readonly policy: Policy
  readonly specs: readonly LintedSpec[]
}

export type LintedSpec = {
  readonly owner: LintedPolicy
  readonly spec: PolicySpec
  /** `['spec']`, or `['specs', 1]`. */
  readonly path: Path
  /** The field that selects the subjects. */
  readonly subjectPath: Path
  readonly rules: readonly LintedRule[]
}

export type LintedRule = {
  readonly in: LintedSpec
  readonly rule: Rule
  /** Of the item of rules that it is written in. */
  readonly path: Path
  /** Its own: that of the item, or of one of the item's `toPorts`. */
  readonly place: Path
  readonly content: Fields
  /** Whether the rule means what is written. What is not enforced yet stands in the model as nobody or everybody. */
  readonly isEnforced: boolean
}

const SUBJECT_FIELDS = ['podSelector', 'endpointSelector', 'subject'] as const

/** Every sound policy among the objects. */
export function lintedPolicies(objects: readonly ManifestObject[]): LintedPolicy[] {
  return objects.flatMap(object => {
    const policy = readPolicy(object)?.value
    return policy ? [lintedPolicy(object, policy)] : []
  })
}

function lintedPolicy(object: ManifestObject, policy: Policy): LintedPolicy {
  const bodies = bodyPaths(object).filter(path => 'endpointSelector' in fieldsOf(valueAt(object.content, path)))
  const linted = { object, policy, specs: [] as LintedSpec[] }
  for (const [i, spec] of policy.specs.entries()) {
    const path = policy.specs.length === bodies.length ? (bodies[i] ?? ['spec']) : ['spec']
    const body = fieldsOf(valueAt(object.content, path))
    const field = SUBJECT_FIELDS.find(name => name in body)
    const rules: LintedRule[] = []
    const lintedSpec: LintedSpec = { owner: linted, spec, path, subjectPath: field ? [...path, field] : path, rules }
    for (const rule of spec.rules) rules.push(lintedRule(lintedSpec, rule))
    linted.specs.push(lintedSpec)
  }
  return linted
}

/** `spec` and each of `specs`. */
export function bodyPaths({ content }: ManifestObject): Path[] {
  const { specs } = content
  return [
    ...(isFields(content['spec']) ? [['spec']] : []),
    ...(Array.isArray(specs) ? specs.map((_, i) => ['specs', i]) : []),
  ]
}

function lintedRule(spec: LintedSpec, rule: Rule): LintedRule {
  const { object, policy } = spec.owner
  const written = parsePath(rule.path)
  const place = written[0] === 'specs' ? written : ['spec', ...written]
  const path = place.at(-2) === 'toPorts' ? place.slice(0, -2) : place
  const full = place.join('.')
  const isEnforced = !(policy.unenforced ?? []).some(field => parsePath(field.path).join('.').startsWith(`${full}.`))
  return { in: spec, rule, path, place, content: fieldsOf(valueAt(object.content, path)), isEnforced }
}
