// Namespaces: a name and labels. The API server adds the label with the name itself;
// so does this, for manifests that never saw one.

import { z } from 'zod'
import type { ManifestObject } from './object.ts'
import { apiKind } from './schema.ts'
import { type Validation, validate } from './validate.ts'

/** The label that every namespace has, with its name as value. Nobody can change it. */
const NAME_LABEL = 'kubernetes.io/metadata.name'

export type NamespaceManifest = {
  readonly name: string
  /** With `kubernetes.io/metadata.name`. */
  readonly labels: Readonly<Record<string, string>>
}

export function readNamespace(object: ManifestObject): Validation<NamespaceManifest> {
  const { value, problems } = validate(namespaceSchema, object)
  if (!value) return { problems }
  const { name, labels } = object.metadata
  return { value: { name, labels: { ...labels, [NAME_LABEL]: name } }, problems }
}

export const namespaceSchema = apiKind({ spec: z.unknown().optional(), status: z.unknown().optional() })
