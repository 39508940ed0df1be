// The folder that `axoneme apply`, `delete` and `get` work on: one file for each
// object, with the text as its author wrote it under one line that says where it came
// from (manifests/origin.ts). Writes are atomic, so that whoever watches the folder
// sees whole objects. Files that others put into the folder are left alone.

import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import {
  type ManifestObject,
  type ObjectKey,
  objectKey,
  type Problem,
  parseManifests,
  problemOf,
} from '../manifests/index.ts'
import { rowsEqual } from '../state/index.ts'
import { isManifestName } from './folders.ts'
import { authorsText, storedText } from './stored-text.ts'

export type StoredObject = {
  readonly object: ManifestObject
  /** As its author wrote it. */
  readonly text: string
}

export type ApplyOutcome = {
  readonly object: ManifestObject
  readonly outcome: 'created' | 'configured' | 'unchanged' | 'refused'
}

export type DeleteOutcome = { readonly key: ObjectKey; readonly outcome: 'deleted' | 'not found' | 'refused' }

/** Further checks of an object, by its kind. An error refuses it. */
export type ObjectCheck = (object: ManifestObject) => readonly Problem[]

/** A file of the folder as it is now. */
type Entry = { readonly object: ManifestObject; readonly file: string; readonly content: string }

export class ObjectStore {
  readonly #folder: string

  /** @param folder must exist; its files are read anew at every call */
  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Stores the objects of a text, each for itself: one that is refused does not keep the others out.
   * @param file how problems and origins call the text
   * @throws the file system's errors
   */
  apply(text: string, file: string, check: ObjectCheck = () => []): { outcomes: ApplyOutcome[]; problems: Problem[] } {
    const parsed = parseManifests(text, file)
    const problems = [...parsed.problems]
    const entries = this.#entries()
    const outcomes = parsed.objects.map((object): ApplyOutcome => {
      const faults = check(object)
      problems.push(...faults)
      const before = entries.get(objectKey(object))
      const target = this.#fileOf(objectKey(object))
      const isForeign = before !== undefined && before.file !== target
      if (isForeign) problems.push(problemOf(object, 'error', [], `is declared in ${before.file}; change it there`))
      if (isForeign || faults.some(fault => fault.severity === 'error')) return { object, outcome: 'refused' }
      const content = storedText(text, object)
      if (before?.content !== content) writeAtomically(target, content, object.kind === 'Secret' ? 0o600 : 0o666)
      entries.set(objectKey(object), { object, file: target, content })
      if (!before) return { object, outcome: 'created' }
      return { object, outcome: rowsEqual(before.object.content, object.content) ? 'unchanged' : 'configured' }
    })
    return { outcomes, problems }
  }

  /** Removes objects. One that is in a file of somebody else is refused. @throws the file system's errors */
  delete(keys: Iterable<ObjectKey>): { outcomes: DeleteOutcome[]; problems: Problem[] } {
    const entries = this.#entries()
    const problems: Problem[] = []
    const outcomes = Array.from(keys, (key): DeleteOutcome => {
      const entry = entries.get(key)
      if (!entry) return { key, outcome: 'not found' }
      if (entry.file !== this.#fileOf(key)) {
        problems.push(problemOf(entry.object, 'error', [], `is declared in ${entry.file}; remove it there`))
        return { key, outcome: 'refused' }
      }
      fs.rmSync(entry.file, { force: true })
      entries.delete(key)
      return { key, outcome: 'deleted' }
    })
    return { outcomes, problems }
  }

  /** All objects, those in others' files too, sorted by key. @throws the file system's errors */
  get(): StoredObject[] {
    const entries = [...this.#entries()].sort(([a], [b]) => (a < b ? -1 : 1))
    return entries.map(([, { object, content }]) => ({ object, text: authorsText(content, object) }))
  }

  #fileOf(key: ObjectKey): string {
    return path.join(this.#folder, fileNameOf(key))
  }

  /** What the folder declares; of two declarations our own file's, since the other came later or is not used. */
  #entries(): Map<ObjectKey, Entry> {
    const entries = new Map<ObjectKey, Entry>()
    for (const name of fs.readdirSync(this.#folder).sort()) {
      if (!isManifestName(name)) continue
      const file = path.join(this.#folder, name)
      const content = readIfThere(file)
      for (const object of content === undefined ? [] : parseManifests(content, file).objects) {
        const key = objectKey(object)
        if (entries.has(key) && file !== this.#fileOf(key)) continue
        entries.set(key, { object, file, content: content ?? '' })
      }
    }
    return entries
  }
}

/**
 * The name of an object's file: `NetworkPolicy.networking.k8s.io_default_web.yaml`. Keys consist of letters, digits, `-`
 * and `.` between two slashes, so no two have the same file and none leaves the folder. A key too long for a file name
 * is cut, and a digest of it all tells it from others.
 */
export function fileNameOf(key: ObjectKey): string {
  if (!/^[A-Z][A-Za-z0-9.-]*\/[a-z0-9-]*\/[a-z0-9][a-z0-9.-]*$/.test(key))
    throw new Error(`not the key of an object: ${key}`)
  const name = key.replaceAll('/', '_')
  if (name.length <= 200) return `${name}.yaml`
  return `${name.slice(0, 160)}_${createHash('sha256').update(key).digest('hex').slice(0, 32)}.yaml`
}

/** Readers see the old content or the new one, also after a crash. */
function writeAtomically(file: string, content: string, mode: number): void {
  const temporary = path.join(path.dirname(file), `.${process.pid}-${randomBytes(6).toString('hex')}.tmp`)
  try {
    fs.writeFileSync(temporary, content, { flag: 'wx', flush: true, mode })
    fs.renameSync(temporary, file)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EISDIR'))
      return undefined
    throw error
  }
}
