// The annotation by which a policy, or every policy at the pods of a namespace, is
// tried out: what it denies is recorded and passes.

import { type ManifestObject, type Problem, problemOf, type Validation } from '../../manifests/index.ts'
import { PRIORITY_ANNOTATION, TIER_ANNOTATION } from './rank-annotations.ts'

/** Annotation of a policy or a Namespace whose denials are to be recorded and pass: `"true"` or `"false"`. */
export const AUDIT_ANNOTATION = 'policy.axoneme.io/audit'

/** What all annotations here begin with. */
const PREFIX = 'policy.axoneme.io/'

/**
 * Whether a policy or Namespace asks for it. Any value but "true" and "false" is an error, and then all is enforced. Of
 * annotations with the same prefix that mean nothing, such as a misspelt one, a warning tells.
 */
export function readAuditAnnotation(object: ManifestObject): Validation<boolean> {
  const problems = unknownAnnotations(object)
  const text = object.metadata.annotations[AUDIT_ANNOTATION]
  if (text === undefined || text === 'false') return { value: false, problems }
  if (text === 'true') return { value: true, problems }
  const message = `must be "true" or "false", not ${JSON.stringify(text)}`
  return {
    problems: [problemOf(object, 'error', ['metadata', 'annotations', AUDIT_ANNOTATION], message), ...problems],
  }
}

function unknownAnnotations(object: ManifestObject): Problem[] {
  const known: readonly string[] = [AUDIT_ANNOTATION, TIER_ANNOTATION, PRIORITY_ANNOTATION]
  const unknown = Object.keys(object.metadata.annotations).filter(
    name => name.startsWith(PREFIX) && !known.includes(name),
  )
  const message = `means nothing; there are ${known.join(', ')}`
  return unknown.map(name => problemOf(object, 'warning', ['metadata', 'annotations', name], message))
}
