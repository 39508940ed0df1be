// What lint finds, and every id that a finding may have.

import { type ManifestObject, type Path, type Problem, problemOf } from '../../manifests/index.ts'

/** Every id of `policy lint`, with what it is about. Ids are stable: pipelines name them. */
export const LINT_RULES = {
  'any-peer': 'a rule allows everybody, because it names no peers',
  'block-misses-pods': 'a block of a Cilium kind lies over pods, whom it does not mean',
  'certificate-names': 'clients of a rule are shown a certificate for other servers than they ask for',
  contradiction: 'one rule allows and one denies the same, in one tier and with one priority',
  duplicate: 'a rule says what another one says',
  'except-gap': 'a block of all addresses excepts less than it seems to',
  'except-undone': 'what a block excepts is let in by another block of the same policy',
  'fqdn-without-dns': 'a rule allows names, and no rule lets their addresses be learnt',
  'misplaced-label': 'a selector of pods asks for a label that namespaces have, or the other way round',
  'name-pattern': 'a pattern of DNS names means other names than it seems to',
  'negative-selector': 'a rule allows pods by a label that they do not have',
  'no-dns': 'pods are isolated in egress and may not ask for names',
  'or-not-and': 'two peers stand where one with both selectors is probably meant',
  'peer-selects-nothing': 'a peer of a rule is no pod of the manifests',
  'policy-types': 'a NetworkPolicy isolates more or less than its rules suggest',
  'protocol-conflict':
    'rules that nobody can judge by at once are about the same peers and port, whose connections are denied',
  'regex-dot': 'an unescaped dot in a regular expression matches any character',
  'secret-missing': 'a rule names a Secret that is not among the manifests, or an item that it does not have',
  'selects-nothing': 'a policy selects no pod of the manifests',
  shadowed: 'a rule never decides: others always do before it',
  tie: 'two policies of one tier and priority treat the same connections differently',
  'unknown-port-name': 'a rule names a port that no destination has',
  'whole-cluster': 'an empty selector takes in every pod of every namespace',
  'wide-ports': 'a rule opens a wide range of ports',
} as const

/** Name of one rule of lint. */
export type LintId = keyof typeof LINT_RULES

/** One finding: a warning with an id. */
export type LintFinding = Problem & { readonly id: LintId }

/** A finding at a field of an object. */
export function finding(id: LintId, object: ManifestObject, path: Path, message: string): LintFinding {
  return { id, ...problemOf(object, 'warning', path, message) }
}
