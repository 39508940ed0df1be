// Manifest text to objects: several documents, lists, and the checks that all kinds
// share. Problems never throw and never reach across documents: a bad document or
// object does not hurt its siblings.

import { type Fields, type Header, isFields, readHeader } from './metadata.ts'
import {
  formatPath,
  type ManifestObject,
  type ObjectKey,
  objectKey,
  objectName,
  type Path,
  type Position,
  type Problem,
} from './object.ts'
import { parseOriginComment } from './origin.ts'
import { type Positioned, parseYaml, type YamlDocument } from './yaml.ts'

/** Largest file, in characters. Reading one takes about two seconds per million. */
export const MAX_FILE_CHARACTERS = 4 * 1024 * 1024
/** Largest document, in characters; etcd takes no larger object. */
export const MAX_DOCUMENT_CHARACTERS = 1536 * 1024
/** Most documents in a file. */
export const MAX_DOCUMENTS = 10_000
/** Most problems told of one file; the last one says how many more there are. */
export const MAX_PROBLEMS = 100

export type ParsedManifests = {
  readonly objects: readonly ManifestObject[]
  readonly problems: readonly Problem[]
  /** Objects that are in the text and have a name, but were refused. */
  readonly refused: readonly ObjectKey[]
  /** Whether it is known of all the text which objects are in it. If not, an object that is missing may be in it. */
  readonly complete: boolean
}

/** What an earlier parse made of each document's text, for one file. Pass the same one again and only what changed is read. */
export type DocumentCache = Map<string, CachedDocument>
type CachedDocument = { readonly yaml: YamlDocument; readonly read: Map<string, ReadDocument> }

/** Parses the text of one file. `file` is how problems and origins call it. */
export function parseManifests(text: string, file: string, cache: DocumentCache = new Map()): ParsedManifests {
  const comment = parseOriginComment(text)
  const place: Place = comment ? { file: comment.file, lineShift: comment.line - 2 } : { file, lineShift: 0 }
  const unsuitable = unsuitability(text)
  if (unsuitable !== undefined) {
    cache.clear()
    return {
      objects: [],
      problems: [problemAt(place, { line: 1, column: 1 }, unsuitable)],
      refused: [],
      complete: false,
    }
  }
  const documents = splitDocuments(text)
  const read = documents.slice(0, MAX_DOCUMENTS).map(document => readCached(document, place, cache))
  // The first problem, so that the limit on problems does not hide it.
  if (documents.length > MAX_DOCUMENTS) read.unshift(tooMany(documents[MAX_DOCUMENTS]?.line ?? 1, place))
  const current = new Set(documents.map(document => document.text))
  for (const cached of cache.keys()) if (!current.has(cached)) cache.delete(cached)
  return combine(read, place)
}

/** Where the parsed text stands in the user's file. */
type Place = { readonly file: string; readonly lineShift: number }

/** A document's text without its markers, and the 1-based line that it begins on. */
type DocumentText = { readonly text: string; readonly line: number }

type ReadDocument = {
  readonly objects: readonly ManifestObject[]
  readonly problems: readonly Problem[]
  readonly refused: readonly ObjectKey[]
  readonly complete: boolean
}

function unsuitability(text: string): string | undefined {
  if (text.length > MAX_FILE_CHARACTERS) return `the file is larger than ${MAX_FILE_CHARACTERS} characters; split it`
  if (text.includes('\0')) return 'not a text file: it contains a NUL character'
  return undefined
}

/**
 * Splits at the document markers, as YAML and kubectl do: a line that begins with `---` or `...` ends a document even
 * inside a quoted string. Blanks stand for the marker, so that columns stay right. Directives (`%YAML`) are left out.
 */
function splitDocuments(text: string): DocumentText[] {
  const documents: DocumentText[] = []
  let start = text.startsWith('\uFEFF') ? 1 : 0
  let line = 1
  let prefix = ''
  const add = (end: number) => {
    const document = prefix + text.slice(start, end)
    if (/^(?![ \t\r]*(?:[#%].*)?$)/m.test(document)) documents.push({ text: document, line })
    line += document.split('\n').length - 1
  }
  for (const marker of text.matchAll(/^(?:---|\.\.\.)(?=[ \t\r\n]|$)/gm)) {
    add(marker.index)
    prefix = '   '
    start = marker.index + 3
  }
  add(text.length)
  return documents
}

function readCached(document: DocumentText, place: Place, cache: DocumentCache): ReadDocument {
  let cached = cache.get(document.text)
  if (!cached) {
    cached = { yaml: parseBounded(document.text), read: new Map() }
    cache.set(document.text, cached)
  }
  const where = `${place.file}:${place.lineShift}:${document.line}`
  let read = cached.read.get(where)
  if (!read) {
    // The same text elsewhere: only positions differ. One place is kept, so that the cache stays as small as the file.
    read = readDocument(cached.yaml, document, place)
    cached.read.clear()
    cached.read.set(where, read)
  }
  return read
}

function parseBounded(text: string): YamlDocument {
  if (text.length <= MAX_DOCUMENT_CHARACTERS) return parseYaml(text)
  const message = `the document is larger than ${MAX_DOCUMENT_CHARACTERS} characters`
  const position = { line: 1, column: 1 }
  return { value: undefined, position, problems: [{ severity: 'error', message, ...position }] }
}

function readDocument(yaml: YamlDocument, document: DocumentText, place: Place): ReadDocument {
  const local: Place = { file: place.file, lineShift: place.lineShift + document.line - 1 }
  const problems = yaml.problems.map(({ line, column, severity, message, path }) => ({
    ...problemAt(local, { line, column }, message, severity),
    ...(path !== undefined && { path }),
  }))
  if (yaml.value === undefined) return { objects: [], problems, refused: [], complete: false }
  if (yaml.value === null) return { objects: [], problems, refused: [], complete: true }
  const reader = new ObjectReader(document, local, problems)
  reader.readAny(yaml.value, yaml.position)
  return { objects: reader.objects, problems, refused: reader.refused, complete: reader.complete }
}

/** Finds the objects in the value of one document. */
class ObjectReader {
  readonly objects: ManifestObject[] = []
  readonly refused: ObjectKey[] = []
  complete = true
  readonly #document: DocumentText
  readonly #place: Place
  readonly #problems: Problem[]

  constructor(document: DocumentText, place: Place, problems: Problem[]) {
    this.#document = document
    this.#place = place
    this.#problems = problems
  }

  readAny(value: unknown, position: Positioned): void {
    const content = isFields(value) ? value : {}
    const { kind, items } = content
    if (typeof kind === 'string' && kind.endsWith('List') && (kind === 'List' || Array.isArray(items))) {
      this.#readList(content, kind, position)
    } else {
      this.#readObject(value, position, this.#wholeDocument())
    }
  }

  /** `kind: List` of anything, or a list of one kind, whose items need not repeat it. */
  #readList(content: Fields, kind: string, position: Positioned): void {
    const { apiVersion, items } = content
    const itemsPosition = position.children?.get('items')
    if (!Array.isArray(items)) {
      if (items !== undefined && items !== null)
        this.#refuseText(itemsPosition ?? position, 'the items of a list must be a list')
      return
    }
    const inherited = kind === 'List' ? {} : { apiVersion, kind: kind.slice(0, -'List'.length) }
    items.forEach((item: unknown, i) => {
      const itemPosition = itemsPosition?.children?.get(i) ?? position
      const value = isFields(item) ? { ...inherited, ...item } : item
      this.#readObject(value, itemPosition, itemPosition.range ?? this.#wholeDocument())
    })
  }

  #readObject(value: unknown, positions: Positioned, source: TextRangeInDocument): void {
    if (!isFields(value)) {
      this.#refuseText(positions, 'expected an object with apiVersion, kind and metadata')
      return
    }
    const at = (path: Path) => shifted(this.#place, nearest(positions, path))
    const found: { severity: Problem['severity']; path: Path; message: string }[] = []
    const header = readHeader(value, (severity, path, message) => found.push({ severity, path, message }))
    const object = header ? objectName(header) : nameOfRefused(value)
    for (const { severity, path, message } of found) {
      const field = formatPath(path)
      this.#problems.push({
        severity,
        message,
        file: this.#place.file,
        ...at(path),
        path: field,
        ...(object && { object }),
      })
    }
    if (!header) {
      this.#noteRefused(value)
      return
    }
    const { line } = at([])
    const lines = { start: inText(this.#document, source.start), end: inText(this.#document, source.end) }
    this.objects.push({
      ...header,
      content: value,
      origin: { file: this.#place.file, line },
      source: lines,
      position: at,
    })
  }

  #refuseText(position: Position, message: string): void {
    this.complete = false
    this.#problems.push(problemAt(this.#place, position, message))
  }

  /** Remembers which object was refused, when it tells that much of itself. */
  #noteRefused(value: Fields): void {
    const known = identityOf(value)
    if (known) this.refused.push(objectKey(known))
    else this.complete = false
  }

  #wholeDocument(): TextRangeInDocument {
    const lines = this.#document.text.split('\n')
    return { start: { line: 1, column: 1 }, end: { line: lines.length, column: (lines.at(-1) ?? '').length + 1 } }
  }
}

type TextRangeInDocument = { readonly start: Position; readonly end: Position }

function inText(document: DocumentText, { line, column }: Position): Position {
  return { line: line + document.line - 1, column }
}

function tooMany(line: number, place: Place): ReadDocument {
  const message = `more than ${MAX_DOCUMENTS} documents in one file; split it`
  return { objects: [], problems: [problemAt(place, { line, column: 1 }, message)], refused: [], complete: false }
}

function combine(read: readonly ReadDocument[], place: Place): ParsedManifests {
  return {
    objects: read.flatMap(document => document.objects),
    problems: shortened(
      read.flatMap(document => document.problems),
      place,
    ),
    refused: read.flatMap(document => document.refused),
    complete: read.every(document => document.complete),
  }
}

/** The first of the problems; warnings give way to errors. */
function shortened(problems: readonly Problem[], place: Place): readonly Problem[] {
  if (problems.length <= MAX_PROBLEMS) return problems
  const errorsFirst = problems.toSorted((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'))
  const told = errorsFirst.slice(0, MAX_PROBLEMS - 1)
  const next = errorsFirst[MAX_PROBLEMS - 1]
  const { severity = 'error', line = 1, column = 1 } = next ?? {}
  const message = `${problems.length - told.length} more problems in this file`
  return [...told, { severity, message, file: place.file, line, column }]
}

function nearest(positions: Positioned, path: Path): Position {
  let position = positions
  for (const part of path) {
    const child = position.children?.get(part)
    if (!child) break
    position = child
  }
  return position
}

function shifted(place: Place, { line, column }: Position): Position {
  return { line: Math.max(1, line + place.lineShift), column }
}

function problemAt(
  place: Place,
  position: Position,
  message: string,
  severity: Problem['severity'] = 'error',
): Problem {
  return { severity, message, file: place.file, ...shifted(place, position) }
}

/** Who a refused object says it is, as far as that can be told. */
function identityOf({ apiVersion, kind, metadata }: Fields): Header | undefined {
  const { name, namespace } = isFields(metadata) ? metadata : {}
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof name !== 'string') return undefined
  const own = { name, labels: {}, annotations: {}, ...(typeof namespace === 'string' && { namespace }) }
  return { apiVersion, kind, metadata: own }
}

/** As much of its name as a refused object tells. */
function nameOfRefused(value: Fields): string {
  const known = identityOf(value)
  const name = known ? objectName(known) : typeof value['kind'] === 'string' ? value['kind'] : ''
  return name.slice(0, 400)
}
