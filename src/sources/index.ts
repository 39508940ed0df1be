// Sources of declared objects: folders and files, memory, and the folder that `axoneme
// apply` writes. What they deliver is checked as YAML and metadata only.

export { ADMITTED_ANNOTATION, type CatalogueChanges } from './catalogue.ts'
export { FileSource, type FileSourceOptions } from './files.ts'
export * from './objects.ts'
export type { ManifestSource, ObjectChanges, ObjectSink } from './source.ts'
