// The text of one object, cut out of the text that it came in, such that every line
// and column of it can be told in that text again. Pure.

import {
  formatOriginComment,
  type ManifestObject,
  objectKey,
  parseManifests,
  parseOriginComment,
  type TextRange,
} from '../manifests/index.ts'
import { rowsEqual } from '../state/index.ts'

/** What is stored for an object of `text`: its origin, then its own part of the text. */
export function storedText(text: string, object: ManifestObject): string {
  const known = parseOriginComment(text)
  const { body, line } = withoutOrigin(cut(text, object.source))
  const lineShift = known ? known.line - 2 : 0
  const { file } = object.origin
  const whole = `${formatOriginComment({ file, line: line + lineShift })}\n${body}\n`
  if (says(whole, object)) return whole
  // An alias whose anchor is outside, or a list that gives its items their kind: one line, so that the line is right.
  return `${formatOriginComment(object.origin)}\n${JSON.stringify(object.content)}\n`
}

/** The author's text of an object that is in a file's content, without the line of its origin. */
export function authorsText(content: string, object: ManifestObject): string {
  return `${withoutOrigin(cut(content, object.source)).body}\n`
}

/** The lines of a range, without empty ones around them; blanks stand for what is before it in its first line. */
function cut(text: string, { start, end }: TextRange): { body: string; line: number } {
  const lines = text.split('\n').slice(start.line - 1, end.line)
  const last = lines.length - 1
  lines[last] = (lines[last] ?? '').slice(0, end.column - 1)
  lines[0] =
    ' '.repeat(start.column - 1) +
    (lines[0] ?? '')
      .slice(start.column - 1)
      .replace(/^\uFEFF/, '')
      .replace(/^---(?=\s|$)/, '   ')
  const first = Math.max(
    0,
    lines.findIndex(line => line.trim() !== ''),
  )
  return { body: lines.slice(first).join('\n').trimEnd(), line: start.line + first }
}

function withoutOrigin({ body, line }: { body: string; line: number }): { body: string; line: number } {
  return parseOriginComment(body) ? { body: body.slice(body.indexOf('\n') + 1), line: line + 1 } : { body, line }
}

function says(text: string, object: ManifestObject): boolean {
  const { objects } = parseManifests(text, '')
  const [only] = objects
  return (
    objects.length === 1 &&
    only !== undefined &&
    objectKey(only) === objectKey(object) &&
    rowsEqual(only.content, object.content)
  )
}
