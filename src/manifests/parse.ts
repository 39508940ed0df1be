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
  type TextRange,
} from './object.ts'
import { parseOriginComment } from './origin.ts'
import { type PackedPositions, packPositions, unpackPosition } from './positions.ts'
import { parseYaml, type YamlDocument, type YamlPosition } from './yaml.ts'

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
type CachedDocument = {
  readonly found: FoundDocument
  /** At the place where it was seen last: one is kept, so that the cache stays as small as the file. */
  placed: { readonly place: Place; readonly line: number; readonly read: ReadDocument }
}

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

type ReadDocument = ParsedManifests

/** What a document says, with positions in its own text: the same wherever the document stands. */
type FoundDocument = {
  readonly objects: readonly FoundObject[]
  readonly problems: readonly FoundProblem[]
  readonly refused: readonly ObjectKey[]
  readonly complete: boolean
}

type FoundObject = {
  readonly header: Header
  readonly content: Fields
  /** The object as written, without what a list says for all its items. */
  readonly written: Fields
  readonly positions: PackedPositions
  readonly source: TextRange
}

type FoundProblem = Omit<Problem, 'file'>

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
  const { text, line } = document
  const cached = cache.get(text)
  if (!cached) {
    const found = findObjects(parseBounded(text), text)
    const read = placedAt(found, line, place)
    cache.set(text, { found, placed: { place, line, read } })
    return read
  }
  const { placed } = cached
  if (placed.line === line && placed.place.file === place.file && placed.place.lineShift === place.lineShift)
    return placed.read
  const read = placedAt(cached.found, line, place)
  cached.placed = { place, line, read }
  return read
}

/** The document as it stands there: the same text elsewhere differs in positions only. */
function placedAt({ objects, problems, refused, complete }: FoundDocument, line: number, place: Place): ReadDocument {
  const local: Place = { file: place.file, lineShift: place.lineShift + line - 1 }
  return {
    objects: objects.map(({ header, content, written, positions, source }) => {
      const position = (path: Path) => shifted(local, unpackPosition(positions, written, path))
      const { apiVersion, kind, metadata } = header
      const origin = { file: place.file, line: position([]).line }
      const lines = { start: inText(line, source.start), end: inText(line, source.end) }
      return { apiVersion, kind, metadata, content, origin, source: lines, position }
    }),
    problems:
      problems === NONE
        ? NONE
        : problems.map(problem => ({ ...problem, file: place.file, ...shifted(local, problem) })),
    refused,
    complete,
  }
}

function parseBounded(text: string): YamlDocument {
  if (text.length <= MAX_DOCUMENT_CHARACTERS) return parseYaml(text)
  const message = `the document is larger than ${MAX_DOCUMENT_CHARACTERS} characters`
  const position = { line: 1, column: 1 }
  return { value: undefined, position, problems: [{ severity: 'error', message, ...position }] }
}

function findObjects(yaml: YamlDocument, text: string): FoundDocument {
  const problems: FoundProblem[] = [...yaml.problems]
  if (yaml.value === undefined) return { objects: [], problems, refused: [], complete: false }
  if (yaml.value === null) return { objects: [], problems, refused: [], complete: true }
  const reader = new ObjectReader(text, problems)
  reader.readAny(yaml.value, yaml.position)
  return {
    objects: reader.objects.slice(),
    problems: problems.length > 0 ? problems : NONE,
    refused: reader.refused.length > 0 ? reader.refused : NONE,
    complete: reader.complete,
  }
}

/** One for all documents, most of which have no problems; copies of filled lists have no room left over. */
const NONE: readonly never[] = []

/** Finds the objects in the value of one document. */
class ObjectReader {
  readonly objects: FoundObject[] = []
  readonly refused: ObjectKey[] = []
  complete = true
  readonly #text: string
  readonly #problems: FoundProblem[]

  constructor(text: string, problems: FoundProblem[]) {
    this.#text = text
    this.#problems = problems
  }

  readAny(value: unknown, position: YamlPosition): void {
    const content = isFields(value) ? value : {}
    const { kind, items } = content
    if (typeof kind === 'string' && kind.endsWith('List') && (kind === 'List' || Array.isArray(items))) {
      this.#readList(content, kind, position)
    } else {
      this.#readObject(value, value, position, this.#wholeDocument())
    }
  }

  /** `kind: List` of anything, or a list of one kind, whose items need not repeat it. */
  #readList(content: Fields, kind: string, position: YamlPosition): void {
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
      this.#readObject(value, item, itemPosition, itemPosition.range ?? this.#wholeDocument())
    })
  }

  #readObject(value: unknown, written: unknown, positions: YamlPosition, source: TextRange): void {
    if (!isFields(value) || !isFields(written)) {
      this.#refuseText(positions, 'expected an object with apiVersion, kind and metadata')
      return
    }
    const found: { severity: Problem['severity']; path: Path; message: string }[] = []
    const header = readHeader(value, (severity, path, message) => found.push({ severity, path, message }))
    const object = header ? objectName(header) : nameOfRefused(value)
    for (const { severity, path, message } of found) {
      const { line, column } = nearest(positions, path)
      const field = formatPath(path)
      this.#problems.push({ severity, message, line, column, path: field, ...(object && { object }) })
    }
    if (header)
      this.objects.push({ header, content: value, written, positions: packPositions(written, positions), source })
    else this.#noteRefused(value)
  }

  #refuseText(position: Position, message: string): void {
    this.complete = false
    const { line, column } = position
    this.#problems.push({ severity: 'error', message, line, column })
  }

  /** Remembers which object was refused, when it tells that much of itself. */
  #noteRefused(value: Fields): void {
    const known = identityOf(value)
    if (known) this.refused.push(objectKey(known))
    else this.complete = false
  }

  #wholeDocument(): TextRange {
    const lines = this.#text.split('\n')
    return { start: { line: 1, column: 1 }, end: { line: lines.length, column: (lines.at(-1) ?? '').length + 1 } }
  }
}

function inText(documentLine: number, { line, column }: Position): Position {
  return { line: line + documentLine - 1, column }
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

function nearest(positions: YamlPosition, path: Path): Position {
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

function problemAt(place: Place, position: Position, message: string): Problem {
  return { severity: 'error', message, file: place.file, ...shifted(place, position) }
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
