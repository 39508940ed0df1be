// The objects that are in the value of one YAML document, lists taken apart. Positions
// are of the document's own text, so that what is found is the same wherever it stands.

import { type Fields, type Header, isFields, readHeader } from './metadata.ts'
import {
  formatPath,
  type ObjectKey,
  objectKey,
  objectName,
  type Path,
  type Position,
  type Problem,
  type TextRange,
} from './object.ts'
import { type PackedPositions, packPositions } from './positions.ts'
import type { YamlDocument, YamlPosition } from './yaml.ts'

/** What a document says, with positions in its own text: the same wherever the document stands. */
export type FoundDocument = {
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

/** @param text of the document */
export function findObjects(yaml: YamlDocument, text: string): FoundDocument {
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
export const NONE: readonly never[] = []

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

function nearest(positions: YamlPosition, path: Path): Position {
  let position = positions
  for (const part of path) {
    const child = position.children?.get(part)
    if (!child) break
    position = child
  }
  return position
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
