// The definitions are such as an API server takes, judged by a small reading of its
// rules; and they take what the readers take, judged by a validator of JSON schema that
// is not the one which makes them.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import * as z from 'zod'
import { type ManifestObject, parseManifests } from '../../manifests/index.ts'
import { readPolicy } from '../kinds/read-policy.ts'
import { customResourceDefinitions } from './definitions.ts'
import { describeField, TEXTS } from './descriptions.ts'
import { type StructuralSchema, structuralSchema } from './structural.ts'
import { EXAMPLES, REFUSED } from './testing/examples.ts'

const definitions = customResourceDefinitions()
const schemaOf = ({ spec }: (typeof definitions)[number]): StructuralSchema => spec.versions[0].schema.openAPIV3Schema

type Visit = (schema: StructuralSchema, path: readonly string[]) => void

function visit(schema: StructuralSchema, path: readonly string[], each: Visit): void {
  each(schema, path)
  for (const [name, field] of Object.entries(schema.properties ?? {})) visit(field, [...path, name], each)
  if (schema.items) visit(schema.items, [...path, '[]'], each)
  if (schema.additionalProperties) visit(schema.additionalProperties, [...path, '*'], each)
}

/** Fields that apiextensions.k8s.io/v1 forbids in a structural schema, and those that it does not know. */
const KNOWN_KEYS =
  /^(description|type|format|required|properties|additionalProperties|items|allOf|anyOf|enum|pattern|nullable|(max|min)(imum|Length|Items|Properties)|exclusive(Max|Min)imum|x-kubernetes-(int-or-string|preserve-unknown-fields|list-type|list-map-keys|validations))$/

/** What an API server would say of a part of a schema, by the rules of structural schemas. */
function faultsOf(schema: StructuralSchema): string[] {
  const isIntOrString = schema['x-kubernetes-int-or-string'] === true
  const isAny = schema['x-kubernetes-preserve-unknown-fields'] === true
  const faults = Object.keys(schema).flatMap(key => (KNOWN_KEYS.test(key) ? [] : [`${key} is not known`]))
  if (!schema.type && !isIntOrString && !isAny) faults.push('has no type')
  if (schema.type && isIntOrString) faults.push('has a type beside int-or-string')
  if (schema.type === 'array' && !schema.items) faults.push('is a list of nothing')
  if (schema.properties && schema.additionalProperties) faults.push('has properties and additionalProperties')
  if (schema.type !== 'object' && (schema.properties || schema.additionalProperties || schema.required))
    faults.push('has fields and is no object')
  for (const name of schema.required ?? []) if (!schema.properties?.[name]) faults.push(`requires unknown ${name}`)
  if (schema.anyOf && (!isIntOrString || JSON.stringify(schema.anyOf) !== '[{"type":"integer"},{"type":"string"}]'))
    faults.push('has another anyOf than int-or-string may have')
  for (const part of schema.allOf ?? [])
    if (Object.keys(part).join() !== 'pattern') faults.push('has more than a pattern in allOf')
  for (const pattern of [schema.pattern, ...(schema.allOf ?? []).map(part => part.pattern)])
    if (pattern && /\(\?[=!<]|\\[1-9]/.test(pattern)) faults.push(`has a pattern that RE2 cannot read: ${pattern}`)
  return faults
}

test('every definition is structural', () => {
  for (const definition of definitions)
    visit(schemaOf(definition), [definition.spec.names.kind], (schema, path) =>
      assert.deepEqual(faultsOf(schema), [], path.join('.')),
    )
})

test('the reading of the rules finds what breaks them', () => {
  const broken: [StructuralSchema, RegExp][] = [
    [{}, /no type/],
    [{ type: 'array' }, /nothing/],
    [{ type: 'object', properties: {}, additionalProperties: { type: 'string' } }, /additionalProperties/],
    [{ type: 'object', required: ['a'], properties: {} }, /requires/],
    [{ type: 'string', pattern: '(?=a)' }, /RE2/],
    [{ type: 'string', $ref: '#/a' } as StructuralSchema, /not known/],
    [{ type: 'string', anyOf: [{ type: 'string' }] }, /anyOf/],
  ]
  for (const [schema, message] of broken) assert.match(faultsOf(schema).join(), message)
})

/** `kubectl apply` keeps the whole manifest in an annotation. */
const LARGEST_ANNOTATION = 256 * 1024

test('definitions have names as Kubernetes wants them, a status, and a size that kubectl apply takes', () => {
  for (const definition of definitions) {
    const { metadata, spec } = definition
    const { kind, plural, singular } = spec.names
    assert.equal(metadata.name, `${plural}.${spec.group}`)
    assert.equal(singular, kind.toLowerCase())
    assert.deepEqual(spec.versions[0].subresources, { status: {} })
    if (spec.group.endsWith('.k8s.io')) assert.ok(metadata.annotations?.['api-approved.kubernetes.io'])
    assert.ok(JSON.stringify(definition).length < LARGEST_ANNOTATION, kind)
  }
  assert.deepEqual(
    definitions.map(({ spec }) => `${spec.names.kind} ${spec.group}/${spec.versions[0].name} ${spec.scope}`),
    [
      'CiliumNetworkPolicy cilium.io/v2 Namespaced',
      'CiliumClusterwideNetworkPolicy cilium.io/v2 Cluster',
      'CiliumCIDRGroup cilium.io/v2 Cluster',
      'ClusterNetworkPolicy policy.networking.k8s.io/v1alpha2 Cluster',
    ],
  )
})

test('every field says what it is, and no text is left over', () => {
  const used = new Set<string>()
  for (const definition of definitions)
    visit(schemaOf(definition), [], (schema, path) => {
      const parent = path.findLast(part => part !== '[]' && part !== '*') ?? ''
      for (const [name, field] of Object.entries(schema.properties ?? {})) {
        if (name === 'metadata' || path[0] === 'status') continue
        assert.ok(field.description, `${definition.spec.names.kind} ${[...path, name].join('.')} has no description`)
        used.add(TEXTS[`${parent}.${name}`] === undefined ? name : `${parent}.${name}`)
      }
    })
  assert.deepEqual(
    Object.keys(TEXTS).filter(key => !used.has(key)),
    [],
  )
})

test('some or one definition, by kind or plural', () => {
  const kinds = (...names: string[]) => customResourceDefinitions(names).map(({ spec }) => spec.names.kind)
  assert.deepEqual(kinds('clusternetworkpolicies', 'CILIUMCIDRGROUP'), ['CiliumCIDRGroup', 'ClusterNetworkPolicy'])
  assert.throws(() => kinds('Pod'), /^RangeError: there is no Pod; there are CiliumNetworkPolicy, /)
})

test('what a schema says is kept in the form of OpenAPI', () => {
  const schema = z.object({
    either: z.union([z.int().min(1), z.string()]).optional(),
    nothing: z.string().nullable().optional(),
    word: z.string().regex(/^a$/i),
    words: z.string().regex(/^a/).regex(/z$/),
    anything: z.unknown().optional(),
    counted: z.array(z.int()).min(1).max(9).default([1]),
    byName: z.record(z.string().regex(/^k$/), z.boolean()),
  })
  assert.deepEqual(
    structuralSchema(schema, name => (name === 'word' ? 'A word.' : undefined)),
    {
      type: 'object',
      required: ['byName', 'word', 'words'],
      properties: {
        either: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
        nothing: { type: 'string', nullable: true },
        word: { description: 'A word.', type: 'string', pattern: '(?i:^a$)' },
        words: { type: 'string', allOf: [{ pattern: '^a' }, { pattern: 'z$' }] },
        anything: { 'x-kubernetes-preserve-unknown-fields': true },
        counted: { type: 'array', minItems: 1, maxItems: 9, items: { type: 'integer' } },
        byName: { type: 'object', additionalProperties: { type: 'boolean' } },
      },
    },
  )
  const union = z.object({ a: z.array(z.union([z.boolean(), z.string()])) })
  assert.throws(() => structuralSchema(union, describeField), /a\.\[\]: .* a union of boolean and string/)
})

const validators = new Map(
  definitions.map(definition => {
    const ajv = new Ajv({ strict: false, allErrors: true, formats: { 'date-time': true, int64: true } })
    return [definition.spec.names.kind, ajv.compile(schemaOf(definition))]
  }),
)

/** Errors of the schema of an object's kind; undefined where there is no definition of it. */
function schemaErrors({ kind, content }: ManifestObject): string[] | undefined {
  const validate = validators.get(kind)
  if (!validate) return undefined
  return validate(content) ? [] : (validate.errors ?? []).map(error => `${error.instancePath} ${error.message}`)
}

/** Manifests of test/data as well. */
const FILES = fs.globSync(new URL('../../../test/data/**/*.yaml', import.meta.url).pathname)

test('the definitions take every example that the readers take', () => {
  const { objects, problems } = parseManifests(EXAMPLES, 'examples.yaml')
  assert.deepEqual(problems, [])
  assert.deepEqual(new Set(objects.map(({ kind }) => kind)), new Set(validators.keys()))
  assert.ok(FILES.length > 0)
  const inFiles = FILES.flatMap(file => parseManifests(fs.readFileSync(file, 'utf8'), file).objects)
  for (const object of [...objects, ...inFiles]) {
    const errors = (readPolicy(object)?.problems ?? []).filter(({ severity }) => severity === 'error')
    if (errors.length === 0) assert.deepEqual(schemaErrors(object) ?? [], [], object.metadata.name)
    if (objects.includes(object)) assert.deepEqual(errors, [], object.metadata.name)
  }
})

for (const { name, text } of REFUSED)
  test(`a definition refuses by itself: ${name}`, () => {
    const [object] = parseManifests(text, 'refused.yaml').objects
    assert.ok(object)
    assert.notDeepEqual(schemaErrors(object) ?? [], [])
    assert.equal(readPolicy(object)?.value, undefined)
  })
