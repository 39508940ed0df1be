// The checks that every object has to pass, whatever its kind: apiVersion, kind and
// metadata, by the rules of the Kubernetes API server. Schemas need not repeat them.

import {
  DNS_LABEL_RULE,
  DNS_SUBDOMAIN_RULE,
  isDnsLabel,
  isDnsSubdomain,
  isLabelKey,
  isLabelValue,
  LABEL_KEY_RULE,
  LABEL_VALUE_RULE,
} from './names.ts'
import type { ObjectMetadata, Path } from './object.ts'
import { suggestion } from './spelling.ts'

export type Fields = Readonly<Record<string, unknown>>

/** Called for everything that is wrong. */
export type Report = (severity: 'error' | 'warning', path: Path, message: string) => void

export type Header = { readonly apiVersion: string; readonly kind: string; readonly metadata: ObjectMetadata }

/** Most bytes in all annotations of an object together, as in Kubernetes. */
const MAX_ANNOTATION_BYTES = 256 * 1024

/** Reads and checks what all kinds have in common. Undefined after any error. */
export function readHeader(content: Fields, report: Report): Header | undefined {
  let sound = true
  const check: Report = (severity, path, message) => {
    if (severity === 'error') sound = false
    report(severity, path, message)
  }
  const apiVersion = requiredText(content, 'apiVersion', [], check)
  const kind = requiredText(content, 'kind', [], check)
  if (apiVersion !== undefined && !isApiVersion(apiVersion)) {
    check('error', ['apiVersion'], `must be VERSION or GROUP/VERSION, got "${apiVersion}"`)
  }
  if (kind !== undefined && !/^[A-Z][A-Za-z0-9]{0,62}$/.test(kind)) {
    check('error', ['kind'], `must be a word that begins with a capital, got ${describe(kind)}`)
  }
  const metadata = readMetadata(content, kind, check)
  return sound && apiVersion !== undefined && kind !== undefined && metadata
    ? { apiVersion, kind, metadata }
    : undefined
}

function readMetadata(content: Fields, kind: string | undefined, check: Report): ObjectMetadata | undefined {
  const { metadata } = content
  if (!isFields(metadata)) {
    check('error', ['metadata'], missingOr(content, 'metadata', 'an object'))
    return undefined
  }
  for (const key of Object.keys(metadata)) {
    if (!METADATA_FIELDS.has(key))
      check('warning', ['metadata', key], `unknown field${suggestion(key, METADATA_FIELDS)}`)
  }
  const name = requiredText(metadata, 'name', ['metadata'], check)
  if (name !== undefined) checkName(name, kind, check)
  const namespace = optionalText(metadata, 'namespace', check)
  if (namespace !== undefined && !isDnsLabel(namespace)) {
    check('error', ['metadata', 'namespace'], `${DNS_LABEL_RULE}; got ${describe(namespace)}`)
  }
  const uid = optionalText(metadata, 'uid', check)
  const labels = readLabels(metadata, check)
  const annotations = readAnnotations(metadata, check)
  if (name === undefined) return undefined
  return { name, labels, annotations, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) }
}

function checkName(name: string, kind: string | undefined, check: Report): void {
  const [isValid, rule] = kind === 'Namespace' ? [isDnsLabel, DNS_LABEL_RULE] : [isDnsSubdomain, DNS_SUBDOMAIN_RULE]
  if (!isValid(name)) check('error', ['metadata', 'name'], `${rule}; got ${describe(name)}`)
}

function readLabels(metadata: Fields, check: Report): Readonly<Record<string, string>> {
  const labels = readTexts(metadata, 'labels', check)
  for (const [key, value] of Object.entries(labels)) {
    if (!isLabelKey(key)) check('error', ['metadata', 'labels', key], `label key ${LABEL_KEY_RULE}`)
    if (!isLabelValue(value)) {
      check('error', ['metadata', 'labels', key], `label value ${LABEL_VALUE_RULE}; got ${describe(value)}`)
    }
  }
  return labels
}

function readAnnotations(metadata: Fields, check: Report): Readonly<Record<string, string>> {
  const annotations = readTexts(metadata, 'annotations', check)
  let size = 0
  for (const [key, value] of Object.entries(annotations)) {
    size += key.length + value.length
    // Kubernetes compares annotation keys in lower case.
    if (!isLabelKey(key.toLowerCase()))
      check('error', ['metadata', 'annotations', key], `annotation key ${LABEL_KEY_RULE}`)
  }
  if (size > MAX_ANNOTATION_BYTES) {
    check('error', ['metadata', 'annotations'], `must be at most ${MAX_ANNOTATION_BYTES} bytes together, are ${size}`)
  }
  return annotations
}

/** One for all that have none. */
const NO_TEXTS: Readonly<Record<string, string>> = Object.freeze({})

/** A map of strings; a value that is left empty is the empty string, as in Kubernetes. */
function readTexts(metadata: Fields, field: string, check: Report): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {}
  const written = metadata[field] ?? undefined
  if (written === undefined) return NO_TEXTS
  if (!isFields(written)) {
    check('error', ['metadata', field], `expected an object, got ${describe(written)}`)
    return texts
  }
  for (const [key, value] of Object.entries(written)) {
    if (value === null) texts[key] = ''
    else if (typeof value === 'string') texts[key] = value
    else check('error', ['metadata', field, key], wanted('a string', value))
  }
  return texts
}

function requiredText(fields: Fields, field: string, parent: Path, check: Report): string | undefined {
  const value = fields[field]
  if (typeof value === 'string' && value !== '') return value
  check('error', [...parent, field], value === '' ? 'must not be empty' : missingOr(fields, field, 'a string'))
  return undefined
}

function optionalText(metadata: Fields, field: string, check: Report): string | undefined {
  const value = metadata[field] ?? undefined
  if (value === undefined || typeof value === 'string') return value === '' ? undefined : value
  check('error', ['metadata', field], wanted('a string', value))
  return undefined
}

function missingOr(fields: Fields, field: string, expected: string): string {
  const value = fields[field] ?? undefined
  if (value !== undefined) return wanted(expected, value)
  const present = Object.keys(fields).filter(key => !METADATA_FIELDS.has(key) && !HEADER_FIELDS.has(key))
  return `is required${suggestion(field, present)}`
}

/** `expected a string, got the number 1.1; quote it`. */
export function wanted(expected: string, value: unknown): string {
  const scalar = typeof value === 'number' || typeof value === 'boolean'
  const hint = expected === 'a string' && scalar ? '; put it in quotes' : ''
  return `expected ${expected}, got ${describe(value)}${hint}`
}

/** A value in a few words. Long strings are cut. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean') return `the ${typeof value} ${value}`
  if (value === null || value === undefined) return 'nothing'
  return Array.isArray(value) ? 'a list' : 'an object'
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isApiVersion(text: string): boolean {
  const parts = text.split('/')
  const version = parts.at(-1) ?? ''
  const group = parts.slice(0, -1)
  return group.length <= 1 && group.every(isDnsSubdomain) && isDnsLabel(version)
}

const HEADER_FIELDS: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata', 'spec', 'status'])

const METADATA_FIELDS: ReadonlySet<string> = new Set([
  'annotations',
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'labels',
  'managedFields',
  'name',
  'namespace',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
])
