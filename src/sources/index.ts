// Sources of declared objects.

export { Catalogue, type CatalogueChanges } from './catalogue.ts'
export { FileSource, type FileSourceOptions } from './files.ts'
export { MemorySource } from './memory.ts'
export * from './objects.ts'
export type { ManifestSource, ObjectChanges, ObjectSink } from './source.ts'
