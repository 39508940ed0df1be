// From a zod schema of manifests to the structural OpenAPI v3 schema that a
// CustomResourceDefinition must have (apiextensions.k8s.io/v1): every value has a type,
// nothing refers to anything else, an object has either named fields or any.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
//
// The schema says what the API server can check by itself. Checks that are code, such as
// those across fields, are not in it: the agent makes them, and says so in its status.
// Defaults are not in it either, so that objects stay as they are written.

import * as z from 'zod'
import { unusedFieldsOf } from '../../manifests/index.ts'

/** A part of an OpenAPI v3 schema that is structural. */
export type StructuralSchema = {
  readonly description?: string
  readonly type?: 'array' | 'boolean' | 'integer' | 'number' | 'object' | 'string'
  readonly nullable?: true
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, StructuralSchema>>
  readonly additionalProperties?: StructuralSchema
  readonly items?: StructuralSchema
  readonly allOf?: readonly { readonly pattern: string }[]
  readonly anyOf?: readonly { readonly type: 'integer' | 'string' }[]
  readonly enum?: readonly unknown[]
  readonly 'x-kubernetes-int-or-string'?: true
  readonly 'x-kubernetes-preserve-unknown-fields'?: true
  /** Bounds of numbers, lengths and counts; patterns of strings. */
  readonly [bound: `${'max' | 'min'}${string}` | `x-kubernetes-${string}`]: unknown
  readonly pattern?: string
  readonly format?: string
}

/** The text for a field: its own name and that of the field that it is in. */
export type Describe = (field: string, parent: string) => string | undefined

/** @throws Error naming the path of what a structural schema cannot say */
export function structuralSchema(schema: z.ZodType, describe: Describe): StructuralSchema {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    target: 'openapi-3.0',
    unrepresentable: 'any',
    reused: 'inline',
    override({ zodSchema, jsonSchema }) {
      if (zodSchema instanceof z.ZodObject)
        for (const field of unusedFieldsOf(zodSchema)) (jsonSchema.properties ??= {})[field] = {}
      if (zodSchema instanceof z.ZodString) keepFlags(zodSchema, jsonSchema)
    },
  })
  return convert(json, [], describe)
}

type Json = z.core.JSONSchema.BaseSchema

/** A pattern's flag becomes part of the pattern, in the form that Go's RE2 and JavaScript both read. */
function keepFlags(schema: z.ZodString, json: Json): void {
  const patterns = (schema.def.checks ?? []).flatMap(({ _zod: { def } }) =>
    'pattern' in def && def.pattern instanceof RegExp ? [def.pattern] : [],
  )
  const texts = patterns.map(({ source, flags }) => (flags.includes('i') ? `(?i:${source})` : source))
  if (texts.length === 1 && texts[0] !== undefined) json.pattern = texts[0]
  else if (texts.length > 1) json.allOf = texts.map(pattern => ({ pattern }))
}

type Path = readonly string[]

function convert(json: Json, path: Path, describe: Describe): StructuralSchema {
  if (json.anyOf) return convertUnion(json.anyOf, path)
  const { type, properties, additionalProperties, items } = json
  const common = commonOf(json)
  if (type === undefined && !json.enum) return { 'x-kubernetes-preserve-unknown-fields': true, ...common }
  if (type === 'object' && properties)
    return {
      type,
      ...common,
      ...(json.required?.length && { required: [...json.required].sort() }),
      properties: convertFields(properties as Record<string, Json>, path, describe),
    }
  if (type === 'object')
    return typeof additionalProperties === 'object'
      ? { type, ...common, additionalProperties: convert(additionalProperties, [...path, '*'], describe) }
      : { type, ...common, 'x-kubernetes-preserve-unknown-fields': true }
  if (type === 'array') return { type, ...common, items: convert((items ?? {}) as Json, [...path, '[]'], describe) }
  if (type === 'string' || type === 'integer' || type === 'number' || type === 'boolean') return { type, ...common }
  throw new Error(`${path.join('.')}: a structural schema cannot say ${JSON.stringify(json)}`)
}

function convertFields(
  fields: Readonly<Record<string, Json>>,
  path: Path,
  describe: Describe,
): Record<string, StructuralSchema> {
  const parent = path.findLast(part => part !== '[]' && part !== '*') ?? ''
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => {
      const description = describe(name, parent)
      return [name, { ...(description !== undefined && { description }), ...convert(field, [...path, name], describe) }]
    }),
  )
}

/** Of unions there are only numbers that may be names. */
function convertUnion(members: readonly Json[], path: Path): StructuralSchema {
  const types = members.map(({ type }) => String(type)).sort((a, b) => (a < b ? -1 : 1))
  if (types.join() === 'integer,string')
    return { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] }
  throw new Error(`${path.join('.')}: a structural schema cannot say a union of ${types.join(' and ')}`)
}

const KEPT: ReadonlySet<string> = new Set([
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'pattern',
  'allOf',
  'enum',
  'nullable',
])

/** What holds for a value of any type, with what a schema's author said for Kubernetes. Bounds that only say that JavaScript can count so far are left out. */
function commonOf(json: Json): StructuralSchema {
  const known = Object.entries(json).filter(([name, value]) => {
    if (name.startsWith('x-kubernetes-')) return true
    return KEPT.has(name) && Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER
  })
  return Object.fromEntries(known)
}
