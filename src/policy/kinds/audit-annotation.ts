// The annotation by which a policy, or every policy at the pods of a namespace, is
// tried out: what it denies is recorded and passes.

import { type ManifestObject, problemOf, type Validation } from '../../manifests/index.ts'
import { AUDIT_ANNOTATION, unknownAnnotations } from './annotations.ts'

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
