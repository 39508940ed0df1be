// Every annotation that means something here, so that any other one with the same
// prefix can be told: it is misspelt, and has no effect.

import { type ManifestObject, type Problem, problemOf } from '../../manifests/index.ts'

/** What all of them begin with. */
const PREFIX = 'policy.axoneme.io/'

/** Annotation of a policy or a Namespace whose denials are to be recorded and pass: `"true"` or `"false"`. */
export const AUDIT_ANNOTATION = `${PREFIX}audit`
/** Annotation of a Cilium policy: `admin`, `normal` or `baseline`. */
export const TIER_ANNOTATION = `${PREFIX}tier`
/** Annotation of a Cilium policy: its priority inside the tier, a number as text; the lower is the stronger. */
export const PRIORITY_ANNOTATION = `${PREFIX}priority`
/** Annotation of a policy: ids of lint, with commas between them, that are not told of it. */
export const LINT_DISABLE_ANNOTATION = `${PREFIX}lint-disable`

const KNOWN: readonly string[] = [AUDIT_ANNOTATION, TIER_ANNOTATION, PRIORITY_ANNOTATION, LINT_DISABLE_ANNOTATION]

/** A warning for each annotation with our prefix that means nothing. */
export function unknownAnnotations(object: ManifestObject): Problem[] {
  const unknown = Object.keys(object.metadata.annotations).filter(
    name => name.startsWith(PREFIX) && !KNOWN.includes(name),
  )
  const message = `means nothing; there are ${KNOWN.join(', ')}`
  return unknown.map(name => problemOf(object, 'warning', ['metadata', 'annotations', name], message))
}
