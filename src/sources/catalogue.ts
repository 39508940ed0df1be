// Which object is in force, out of all files that declare objects. Pure. Promises: a
// file that becomes malformed keeps its objects; of two files that declare the same
// object the one that did so first has it, and the other is a problem; whoever takes
// the changes sees only what differs. The admitted form of an object, which whoever
// plays the API server writes, stands for what its author declares elsewhere.

import {
  type ManifestObject,
  type ObjectKey,
  objectKey,
  objectName,
  type ParsedManifests,
  type Problem,
  problemOf,
} from '../manifests/index.ts'
import { rowsEqual } from '../state/index.ts'
import type { ObjectChanges } from './source.ts'

/** Annotation of an object that is the admitted form of one that another file declares. Its value tells of which version. */
export const ADMITTED_ANNOTATION = 'axoneme.io/admitted'

const isAdmitted = ({ metadata }: ManifestObject): boolean => metadata.annotations[ADMITTED_ANNOTATION] !== undefined

type File = {
  /** What the file declares, with objects kept from before where its text does not tell. */
  readonly objects: ReadonlyMap<ObjectKey, ManifestObject>
  readonly problems: readonly Problem[]
}

export type CatalogueChanges = ObjectChanges & {
  /** All problems, when they differ from those told last. */
  readonly problems?: readonly Problem[]
}

export class Catalogue {
  readonly #files = new Map<string, File>()
  /** Who declares an object, the first file first. */
  readonly #declared = new Map<ObjectKey, Map<string, ManifestObject>>()
  readonly #inForce = new Map<ObjectKey, ManifestObject>()
  readonly #changed = new Set<ObjectKey>()
  /** What makes problems, of tens of thousands of files and objects that make none. */
  readonly #troubled = new Map<string, readonly Problem[]>()
  readonly #contested = new Set<ObjectKey>()
  #reported: readonly Problem[] = []

  /** Whether taking this in would delete an object that the file declares. */
  wouldLose(name: string, parsed: ParsedManifests): boolean {
    const before = this.#files.get(name)?.objects
    if (!before || !parsed.complete) return false
    const now = new Set([...parsed.objects.map(objectKey), ...parsed.refused])
    return before.keys().some(key => !now.has(key))
  }

  /** Takes in what a file holds now. */
  update(name: string, parsed: ParsedManifests): void {
    const before = this.#files.get(name)?.objects ?? new Map<ObjectKey, ManifestObject>()
    const objects = new Map<ObjectKey, ManifestObject>()
    const problems = [...parsed.problems]
    for (const object of parsed.objects) {
      const first = objects.get(objectKey(object))
      if (first) problems.push(duplicateOf(object, first))
      else objects.set(objectKey(object), object)
    }
    const kept = [...before].filter(([key]) => !objects.has(key) && (!parsed.complete || parsed.refused.includes(key)))
    for (const [key, object] of kept) objects.set(key, object)
    if (kept.length > 0)
      problems.push(
        keptNote(
          kept.map(([, object]) => object),
          problems[0],
        ),
      )
    this.#replace(name, before, { objects, problems })
  }

  /** The file is gone, and so is what it declared. */
  remove(name: string): void {
    const before = this.#files.get(name)
    if (before) this.#replace(name, before.objects, undefined)
  }

  /** What is different since the last call. */
  take(): CatalogueChanges {
    const put: ManifestObject[] = []
    const deleted: ManifestObject[] = []
    for (const key of this.#changed) {
      const before = this.#inForce.get(key)
      const declarations = [...(this.#declared.get(key)?.values() ?? [])]
      const now = declarations.find(isAdmitted) ?? declarations[0]
      if (now === before) continue
      if (now) {
        put.push(now)
        this.#inForce.set(key, now)
      } else if (before) {
        deleted.push(before)
        this.#inForce.delete(key)
      }
    }
    this.#changed.clear()
    const problems = this.#problems()
    if (rowsEqual(problems, this.#reported)) return { put, deleted }
    this.#reported = problems
    return { put, deleted, problems }
  }

  #replace(name: string, before: ReadonlyMap<ObjectKey, ManifestObject>, file: File | undefined): void {
    if (file) this.#files.set(name, file)
    else this.#files.delete(name)
    if (file && file.problems.length > 0) this.#troubled.set(name, file.problems)
    else this.#troubled.delete(name)
    for (const key of before.keys()) if (!file?.objects.has(key)) this.#undeclare(name, key)
    for (const [key, object] of file?.objects ?? []) {
      if (before.get(key) === object) continue
      const declarations = this.#declared.get(key) ?? new Map<string, ManifestObject>()
      // A file that declared the object before keeps its place in the order.
      declarations.set(name, object)
      this.#declared.set(key, declarations)
      this.#touch(key)
    }
  }

  #undeclare(name: string, key: ObjectKey): void {
    const declarations = this.#declared.get(key)
    declarations?.delete(name)
    if (declarations?.size === 0) this.#declared.delete(key)
    this.#touch(key)
  }

  #touch(key: ObjectKey): void {
    this.#changed.add(key)
    if (this.#authored(key).length > 1) this.#contested.add(key)
    else this.#contested.delete(key)
  }

  /** Declarations of an object by its authors, the first file first. */
  #authored(key: ObjectKey): ManifestObject[] {
    return [...(this.#declared.get(key)?.values() ?? [])].filter(object => !isAdmitted(object))
  }

  #problems(): Problem[] {
    const ofFiles = [...this.#troubled].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, problems]) => problems)
    const conflicts = [...this.#contested].sort().flatMap(key => {
      const [first, ...others] = this.#authored(key)
      return first ? others.map(other => duplicateOf(other, first)) : []
    })
    return [...ofFiles, ...conflicts]
  }
}

function duplicateOf(object: ManifestObject, first: ManifestObject): Problem {
  const { file, line } = first.origin
  return problemOf(
    object,
    'error',
    [],
    `is declared at ${file}:${line} already, which stays in force; this one is not used`,
  )
}

function keptNote(kept: readonly ManifestObject[], cause: Problem | undefined): Problem {
  const [first] = kept
  const { file, line, column } = cause ?? { file: first?.origin.file ?? '', line: 1, column: 1 }
  const subject = kept.length === 1 && first ? `${objectName(first)} stays` : `${kept.length} objects of this file stay`
  return { severity: 'warning', message: `${subject} in force as before, until this is corrected`, file, line, column }
}
