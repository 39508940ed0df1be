// The text of an object as its author wrote it, with what was allocated to it since. Pure.

import { type Document, isMap, isSeq, parseDocument } from 'yaml'

type Place = readonly (string | number)[]

/** @param text YAML of one object @param content the object with more fields than the text has */
export function mergedText(text: string, content: unknown): string {
  const document = parseDocument(text)
  merge(document, [], content)
  return document.toString({ lineWidth: 0 })
}

function merge(document: Document, place: Place, value: unknown): void {
  const node = place.length === 0 ? document.contents : document.getIn(place, true)
  if (isMap(node) && isFields(value)) {
    for (const [key, field] of Object.entries(value)) merge(document, [...place, key], field)
  } else if (isSeq(node) && Array.isArray(value) && node.items.length === value.length) {
    for (const [i, item] of value.entries()) merge(document, [...place, i], item)
  } else if (value !== undefined && JSON.stringify(document.getIn(place)) !== JSON.stringify(value)) {
    document.setIn(place, document.createNode(value))
  }
}

const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
