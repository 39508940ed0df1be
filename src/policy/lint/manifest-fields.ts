// Looking into manifests as they are written, whatever their kind.

import type { Path } from '../../manifests/index.ts'

export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The fields of a mapping; none of anything else. */
export const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})

/** The items of a list; none of anything else. */
export const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** What stands at a path; undefined when nothing does. */
export function valueAt(content: unknown, path: Path): unknown {
  let value = content
  for (const part of path)
    value =
      typeof part === 'number'
        ? itemsOf(value)[part]
        : Object.hasOwn(fieldsOf(value), part)
          ? fieldsOf(value)[part]
          : undefined
  return value
}

/** The inverse of `formatPath`, for plain field names. */
export function parsePath(text: string): (string | number)[] {
  return [...text.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map(([part, index]) => (index === undefined ? part : Number(index)))
}

/** A field somewhere inside a manifest. */
export type FoundField = { readonly path: Path; readonly name: string; readonly value: unknown }

/** Every field below a value, outer ones first. */
export function* everyField(value: unknown, path: Path = []): Generator<FoundField> {
  if (Array.isArray(value)) for (const [i, item] of value.entries()) yield* everyField(item, [...path, i])
  else
    for (const [name, field] of Object.entries(fieldsOf(value))) {
      yield { path: [...path, name], name, value: field }
      yield* everyField(field, [...path, name])
    }
}
