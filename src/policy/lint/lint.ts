// `policy lint`: what is valid in policies and hardly meant. Each finding has an id, a
// place, and says what happens and what to write.

import { type ManifestObject, objectName } from '../../manifests/index.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'
import { LINT_DISABLE_ANNOTATION } from '../kinds/annotations.ts'
import { blockFindings, placedPods } from './block-checks.ts'
import { breadthFindings } from './breadth-checks.ts'
import { cellsOf } from './cells.ts'
import { sortProblems } from './check.ts'
import { LINT_RULES, type LintFinding, type LintId } from './finding.ts'
import { landscapeOf } from './landscape.ts'
import { lintedPolicies } from './linted-policy.ts'
import { dnsFindings, fqdnFindings, patternFindings } from './name-checks.ts'
import { policyTypeFindings } from './policy-type-checks.ts'
import { protocolFindings } from './protocol-checks.ts'
import { certificateFindings, declaredSecrets, secretFindings } from './secret-checks.ts'
import { selectionFindings } from './selection-checks.ts'
import { shadowFindings } from './shadow-checks.ts'

/** What is left out. */
export type LintOptions = { readonly disable?: ReadonlySet<LintId> }

/**
 * Findings about the policies among the objects, by file and line. Objects with errors are passed over: check them
 * first. Selectors are only judged when there are pods.
 */
export function lintManifests(objects: readonly ManifestObject[], options: LintOptions = {}): LintFinding[] {
  const policies = lintedPolicies(objects)
  const landscape = landscapeOf(readCluster(objects).cluster, policies)
  const pods = placedPods(objects)
  const secrets = declaredSecrets(objects)
  const cells = cellsOf(landscape)
  const findings = [
    ...selectionFindings(landscape),
    ...shadowFindings(landscape, cells),
    ...protocolFindings(cells),
    ...dnsFindings(landscape),
    ...fqdnFindings(landscape),
    ...policies.flatMap(policy => [
      ...breadthFindings(policy),
      ...blockFindings(policy, pods),
      ...patternFindings(policy),
      ...policyTypeFindings(policy),
      ...secretFindings(policy, secrets),
      ...certificateFindings(policy, secrets),
    ]),
  ]
  const disabledFor = new Map(objects.map(object => [objectName(object), disabledBy(object)]))
  return sortProblems(
    onlyOnce(findings).filter(({ id, object = '' }) => !options.disable?.has(id) && !disabledFor.get(object)?.has(id)),
  )
}

/** The rules of one item in a manifest may all have a fault that is the item's. */
const onlyOnce = (findings: readonly LintFinding[]): LintFinding[] => [
  ...new Map(findings.map(each => [JSON.stringify(each), each])).values(),
]

function disabledBy({ metadata }: ManifestObject): ReadonlySet<string> {
  const text = metadata.annotations[LINT_DISABLE_ANNOTATION] ?? ''
  return new Set(text.split(',').map(id => id.trim()))
}

/** Whether a text is an id. */
export function isLintId(text: string): text is LintId {
  return Object.hasOwn(LINT_RULES, text)
}
