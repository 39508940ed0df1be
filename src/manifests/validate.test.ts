// A schema that has one of each thing that schemas can have, and objects against it:
// the words of every problem, and what is read as absent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as z from 'zod'
import {
  apiKind,
  apiObject,
  formatProblem,
  type ManifestObject,
  parseManifests,
  portNumber,
  validate,
} from './index.ts'

const HEADER = 'apiVersion: v1\nkind: Thing\nmetadata: {name: x}\n'

const selector = apiObject({ matchLabels: z.record(z.string(), z.string()).default({}) }, ['matchExpressions'])
const schema = apiKind({
  spec: apiObject(
    {
      port: z.union([portNumber, z.string().min(1)]).optional(),
      endPort: portNumber.optional(),
      protocol: z.enum(['TCP', 'UDP']).default('TCP'),
      selector: selector.optional(),
      items: z.array(apiObject({ name: z.string(), count: z.int().default(1) })).min(1),
      peer: z.union([apiObject({ cidr: z.string() }), apiObject({ name: z.string() })]).optional(),
      mode: z.literal('strict').optional(),
    },
    ['futureField'],
  ).superRefine((spec, context) => {
    if (spec.endPort !== undefined && spec.port === undefined) {
      context.addIssue({ code: 'custom', path: ['endPort'], message: 'needs port' })
    }
  }),
})

function objectOf(spec: string): ManifestObject {
  const { objects, problems } = parseManifests(`${HEADER}${spec}`, 'f.yaml')
  assert.deepEqual(problems, [])
  assert.ok(objects[0])
  return objects[0]
}

const check = (spec: string) => {
  const { value, problems } = validate(schema, objectOf(spec))
  const errors = problems.some(problem => problem.severity === 'error')
  assert.equal(value === undefined, errors, 'a value or an error')
  return problems.map(formatProblem).map(line => line.replace('f.yaml:', '').replace(' Thing default/x:', ''))
}

const cases: readonly { name: string; given: string; want: readonly string[] }[] = [
  { name: 'a sound object', given: 'spec: {items: [{name: a}], port: http, futureField: {any: thing}}', want: [] },
  {
    name: 'no spec',
    given: 'specs: {}',
    want: [
      '1:1: error: spec: is required (there is "specs"; did you mean "spec"?)',
      '4:1: warning: specs: unknown field (did you mean "spec"?); it has no effect',
    ],
  },
  {
    name: 'an empty field is absent',
    given: 'spec:\n  items: [{name: a, count: }]\n  selector:\n  protocol:',
    want: [],
  },
  { name: 'an empty required field', given: 'spec:\n  items:\n', want: ['5:3: error: spec.items: is required'] },
  {
    name: 'an empty list item',
    given: 'spec:\n  items:\n  -\n',
    want: ['6:4: error: spec.items[0]: must not be empty'],
  },
  { name: 'too few items', given: 'spec: {items: []}', want: ['4:8: error: spec.items: must have at least 1 item'] },
  {
    name: 'a wrong type',
    given: 'spec: {items: {}}',
    want: ['4:8: error: spec.items: expected a list, got an object'],
  },
  {
    name: 'a number for a string',
    given: 'spec: {items: [{name: 1}]}',
    want: ['4:17: error: spec.items[0].name: expected a string, got the number 1; put it in quotes'],
  },
  {
    name: 'a fraction',
    given: 'spec: {items: [{name: a, count: 1.5}]}',
    want: ['4:26: error: spec.items[0].count: expected a whole number, got the number 1.5'],
  },
  {
    name: 'an unknown word',
    given: 'spec: {items: [{name: a}], protocol: tcp, mode: lax}',
    want: [
      '4:28: error: spec.protocol: must be one of TCP, UDP, got "tcp" (did you mean "TCP"?)',
      '4:43: error: spec.mode: must be strict, got "lax"',
    ],
  },
  {
    name: 'out of range',
    given: 'spec: {items: [{name: a}], endPort: 65536, port: 0}',
    want: [
      '4:44: error: spec.port: must be at least 1, got 0',
      '4:28: error: spec.endPort: must be at most 65535, got 65536',
    ],
  },
  {
    name: 'none of several types',
    given: 'spec: {items: [{name: a}], port: true}',
    want: ['4:28: error: spec.port: expected a number or a string, got the boolean true'],
  },
  {
    name: 'a rule across fields',
    given: 'spec: {items: [{name: a}], endPort: 5}',
    want: ['4:28: error: spec.endPort: needs port'],
  },
  {
    name: 'unknown fields, deep inside',
    given: 'spec:\n  itms: []\n  items:\n  - nme: a\n    name: b\n  selector:\n    matchlabels: {a: b}\n',
    want: [
      '5:3: warning: spec.itms: unknown field; it has no effect',
      '7:5: warning: spec.items[0].nme: unknown field; it has no effect',
      '10:5: warning: spec.selector.matchlabels: unknown field (did you mean "matchLabels"?); it has no effect',
    ],
  },
]

for (const { name, given, want } of cases) {
  test(`validate: ${name}`, () => assert.deepEqual(check(given), want))
}

test('an empty entry of a map of strings is the empty string, not absent: a selector must not grow wider', () => {
  const { value } = validate(
    schema,
    objectOf('spec:\n  items: [{name: a}]\n  selector:\n    matchLabels:\n      app:\n'),
  )
  assert.deepEqual(value?.spec.selector, { matchLabels: { app: '' } })
})

test('errors come before warnings and their number is limited', () => {
  const unknown = Array.from({ length: 30 }, (_, i) => `  unknown${i}: x\n`).join('')
  const { problems } = validate(schema, objectOf(`spec:\n  items: 5\n${unknown}`))
  assert.equal(problems.length, 20)
  assert.deepEqual([problems[0]?.severity, problems[0]?.path], ['error', 'spec.items'])
})
