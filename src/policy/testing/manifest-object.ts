// Manifests without a text: objects that tests and benchmarks make by the thousand, and
// that go the way of every other object from there on.

import type { ManifestObject, ObjectMetadata } from '../../manifests/index.ts'

export type Content = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string } & Partial<ObjectMetadata>
  readonly [field: string]: unknown
}

const START = { line: 1, column: 1 }

/** The object that a file of its own would declare, named `KIND-NAME.yaml`. Every path is on its first line. */
export function manifestObject(content: Content): ManifestObject {
  const { apiVersion, kind, metadata } = content
  return {
    apiVersion,
    kind,
    metadata: { labels: {}, annotations: {}, ...metadata },
    content,
    origin: { file: `${kind}-${metadata.name}.yaml`, line: START.line },
    source: { start: START, end: START },
    position: () => START,
  }
}
