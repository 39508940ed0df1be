// Checks an object against the schema of its kind and tells every problem in a user's
// words, with the field and its position. Reads nothing as Kubernetes does: a field
// that is left empty is absent, an empty entry of a map of strings is the empty string.

import * as z from 'zod'
import { describe, type Fields, isFields, wanted } from './metadata.ts'
import { formatPath, type ManifestObject, objectName, type Path, type Problem } from './object.ts'
import { unusedFieldsOf } from './schema.ts'
import { closest, suggestion } from './spelling.ts'

/** The value when the object is valid; problems are then only warnings. Otherwise no value, and at least one error. */
export type Validation<T> = { readonly value?: T; readonly problems: readonly Problem[] }

/** Most problems told of one object. */
export const MAX_PROBLEMS_OF_OBJECT = 20
/** End of the message of an unknown field. */
export const UNKNOWN_FIELD_EFFECT = '; it has no effect'

/**
 * Checks `object.content` against a schema made with `apiKind`. Unknown fields are warnings, at any depth where the
 * schema knows the type. Never throws.
 */
export function validate<S extends z.ZodType>(schema: S, object: ManifestObject): Validation<z.output<S>> {
  const problems: Problem[] = []
  const report = (severity: Problem['severity'], path: Path, message: string) => {
    if (problems.length < MAX_PROBLEMS_OF_OBJECT) problems.push(problemOf(object, severity, path, message))
  }
  const result = schema.safeParse(prepare(schema, object.content, [], report))
  if (result.success) return { value: result.data, problems }
  // Errors first: many warnings must not hide them.
  const warnings = problems.splice(0)
  for (const issue of result.error.issues) reportIssue(issue, [], object.content, report)
  return { problems: [...problems, ...warnings].slice(0, MAX_PROBLEMS_OF_OBJECT) }
}

/** A problem at a field of an object, for checks that are not in a schema. */
export function problemOf(object: ManifestObject, severity: Problem['severity'], path: Path, message: string): Problem {
  const field = formatPath(path)
  const place = { file: object.origin.file, ...object.position(path) }
  return { severity, message, ...place, ...(field && { path: field }), object: objectName(object) }
}

/** What a reader has made of an object; nothing where it found an error. Errors come first: many warnings must not hide them. */
export function conclude<T>(value: T, found: readonly Problem[]): Validation<T> {
  const errors = found.filter(problem => problem.severity === 'error')
  const warnings = found.filter(problem => problem.severity === 'warning')
  const problems = [...errors, ...warnings].slice(0, MAX_PROBLEMS_OF_OBJECT)
  return errors.length > 0 ? { problems } : { value, problems }
}

type Report = (severity: Problem['severity'], path: Path, message: string) => void

/** The value as the schema is to see it: without empty and unknown fields, the latter reported. */
function prepare(schema: unknown, value: unknown, path: Path, report: Report): unknown {
  const type = unwrap(schema, value)
  if (type instanceof z.ZodObject && isFields(value)) return prepareObject(type, value, path, report)
  if (type instanceof z.ZodRecord && isFields(value)) {
    const isText = unwrap(type.valueType, '') instanceof z.ZodString
    return mapFields(value, ([key, item]) => {
      return item === null && isText ? '' : prepare(type.valueType, item, [...path, key], report)
    })
  }
  if (type instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((item: unknown, i) => prepare(type.element, item, [...path, i], report))
  }
  return value
}

function prepareObject(type: z.ZodObject, value: Fields, path: Path, report: Report): Fields {
  const shape = type.shape as Readonly<Record<string, unknown>>
  const prepared: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const item = value[key]
    if (Object.hasOwn(shape, key)) {
      if (item !== null) prepared[key] = prepare(shape[key], item, [...path, key], report)
    } else {
      const unused = unusedFieldsOf(type)
      if (!unused.includes(key))
        report('warning', [...path, key], unknownField(key, [...Object.keys(shape), ...unused], value))
    }
  }
  return prepared
}

function mapFields(fields: Fields, change: (entry: [string, unknown]) => unknown): Fields {
  return Object.fromEntries(Object.entries(fields).map(entry => [entry[0], change(entry)]))
}

/** The type behind optional, default and the like; of a union, the member that suits the value. */
function unwrap(schema: unknown, value: unknown): unknown {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodExactOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly ||
    schema instanceof z.ZodLazy
  ) {
    return unwrap(schema.unwrap(), value)
  }
  if (schema instanceof z.ZodPipe) return unwrap(schema.in, value)
  if (schema instanceof z.ZodUnion) {
    const members = schema.options.map(option => unwrap(option, value))
    return members.find(member => (isFields(value) ? member instanceof z.ZodObject : member instanceof z.ZodArray))
  }
  return schema
}

function unknownField(key: string, names: readonly string[], present: Fields): string {
  const absent = names.filter(name => !Object.hasOwn(present, name))
  return `unknown field${suggestion(key, absent)}${UNKNOWN_FIELD_EFFECT}`
}

type Issue = z.core.$ZodIssue

function reportIssue(issue: Issue, parent: Path, content: unknown, report: Report): void {
  const path = [...parent, ...issue.path.map(part => (typeof part === 'number' ? part : String(part)))]
  const value = valueAt(content, path)
  if (issue.code === 'invalid_union' && reportUnion(issue, path, value, content, report)) return
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) report('error', [...path, key], 'unknown field')
    return
  }
  report('error', path, messageOf(issue, value, valueAt(content, path.slice(0, -1)), path.at(-1)))
}

function messageOf(issue: Issue, value: unknown, parent: unknown, field: string | number | undefined): string {
  switch (issue.code) {
    case 'invalid_type':
      if (value !== undefined && value !== null) return wanted(typeName(issue.expected), value)
      return typeof field === 'number' ? `must not be empty` : `is required${misspelt(field, parent)}`
    case 'invalid_value': {
      const values = issue.values.map(String)
      const hint = typeof value === 'string' ? closest(value, values) : undefined
      const list = values.length === 1 ? values[0] : `one of ${values.join(', ')}`
      return `must be ${list}, got ${describe(value)}${hint === undefined ? '' : ` (did you mean "${hint}"?)`}`
    }
    case 'too_small':
    case 'too_big':
      return sizeMessage(issue, value)
    case 'invalid_format':
    case 'custom':
      return typeof value === 'string' ? `${issue.message}; got ${describe(value)}` : issue.message
    case 'not_multiple_of':
    case 'unrecognized_keys':
    case 'invalid_union':
    case 'invalid_element':
      return issue.message
    case 'invalid_key':
      return `as a key ${issue.issues[0]?.message ?? issue.message}`
    default:
      return 'is not valid'
  }
}

function sizeMessage(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, value: unknown): string {
  const [word, limit] = issue.code === 'too_small' ? ['at least', issue.minimum] : ['at most', issue.maximum]
  if (typeof value === 'number') return `must be ${word} ${limit}, got ${value}`
  const unit = typeof value === 'string' ? 'character' : 'item'
  return `must have ${word} ${limit} ${unit}${Number(limit) === 1 ? '' : 's'}`
}

/** A union: the problems of the member of the right type; or, when no type is right, which types would be. */
function reportUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  path: Path,
  value: unknown,
  content: unknown,
  report: Report,
): boolean {
  const members = issue.errors
  const mistyped = members.map(errors => errors.find(error => error.code === 'invalid_type' && error.path.length === 0))
  const fitting = members.filter((_, i) => !mistyped[i]).sort((a, b) => a.length - b.length)[0]
  if (fitting) {
    for (const error of fitting) reportIssue(error, path, content, report)
    return true
  }
  const expected = mistyped.flatMap(error => (error?.code === 'invalid_type' ? [typeName(error.expected)] : []))
  if (expected.length === 0) return false
  report('error', path, value === undefined ? 'is required' : wanted([...new Set(expected)].join(' or '), value))
  return true
}

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    array: 'a list',
    int: 'a whole number',
    object: 'an object',
    record: 'an object',
    nonoptional: 'a value',
  }
  return names[expected] ?? `a ${expected}`
}

/** For a required field that is absent: the field present beside it that is probably meant to be it. */
function misspelt(field: string | undefined, parent: unknown): string {
  if (field === undefined || !isFields(parent)) return ''
  const present = Object.keys(parent).filter(key => key !== field && closest(key, [field]) !== undefined)
  return present[0] === undefined ? '' : ` (there is "${present[0]}"; did you mean "${field}"?)`
}

function valueAt(content: unknown, path: Path): unknown {
  let value = content
  for (const part of path) {
    if (Array.isArray(value) && typeof part === 'number') value = value[part]
    else if (isFields(value) && Object.hasOwn(value, part)) value = value[part]
    else return undefined
  }
  return value
}
