// Manifest text to objects: several documents, lists, and the checks that all kinds
// share. Problems never throw and never reach across documents: a bad document or
// object does not hurt its siblings.

import { type FoundDocument, findObjects, NONE } from './find-objects.ts'
import type { ManifestObject, ObjectKey, Path, Position, Problem } from './object.ts'
import { parseOriginComment } from './origin.ts'
import { NO_ITEM, unpackPosition } from './positions.ts'
import { parseYaml, type YamlDocument } from './yaml.ts'

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
  const steps = parseManifestsInSteps(text, file, cache)
  let step = steps.next()
  while (!step.done) step = steps.next()
  return step.value
}

/** The same, a document at a step: for who has other things to do meanwhile. */
export function* parseManifestsInSteps(
  text: string,
  file: string,
  cache: DocumentCache,
): Generator<undefined, ParsedManifests> {
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
  const read: ReadDocument[] = []
  for (const document of documents.slice(0, MAX_DOCUMENTS)) {
    read.push(readCached(document, place, cache))
    yield
  }
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
      const last = { ...NO_ITEM }
      const position = (path: Path) => shifted(local, unpackPosition(positions, written, path, last))
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

function shifted(place: Place, { line, column }: Position): Position {
  return { line: Math.max(1, line + place.lineShift), column }
}

function problemAt(place: Place, position: Position, message: string): Problem {
  return { severity: 'error', message, file: place.file, ...shifted(place, position) }
}
