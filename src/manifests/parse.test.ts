// Texts and the problems found in them, word for word with line and column; documents,
// lists, aliases, limits, origins and the cache.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type DocumentCache,
  formatProblem,
  MAX_DOCUMENT_CHARACTERS,
  MAX_FILE_CHARACTERS,
  MAX_PROBLEMS,
  objectKey,
  parseManifests,
} from './index.ts'

const NAMESPACE = 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: '

/** What is wrong with a text, one line each. */
const problemsOf = (text: string) => parseManifests(text, 'f.yaml').problems.map(formatProblem)

const cases: readonly { name: string; given: string; want: readonly string[] }[] = [
  { name: 'nothing', given: '', want: [] },
  { name: 'comments, markers and directives only', given: '%YAML 1.1\n---\n# nothing\n---\n...\n  \n', want: [] },
  { name: 'a sound object', given: `${NAMESPACE}x\n`, want: [] },
  {
    name: 'a text that is no object',
    given: 'hello\n',
    want: ['f.yaml:1:1: error: expected an object with apiVersion, kind and metadata'],
  },
  {
    name: 'a list that is no object',
    given: '- a\n',
    want: ['f.yaml:1:1: error: expected an object with apiVersion, kind and metadata'],
  },
  {
    name: 'a tab as indentation',
    given: 'kind: Pod\nmetadata:\n\tname: x\n',
    want: ['f.yaml:3:1: error: tabs are not allowed as indentation; use spaces (tabs are not allowed as indentation)'],
  },
  {
    name: 'wrong indentation',
    given: 'kind: Pod\nmetadata:\n  name: x\n labels: {}\n',
    want: ['f.yaml:4:1: error: wrong indentation (all mapping items must start at the same column)'],
  },
  {
    name: 'a mapping where a value is',
    given: 'kind: Pod\nmetadata: name: x\n',
    want: [
      'f.yaml:2:11: error: a mapping cannot begin here; is the line indented wrongly, or a value with ": " not quoted? (nested mappings are not allowed in compact mappings)',
    ],
  },
  {
    name: 'an open quote',
    given: 'kind: "Pod\n',
    want: ['f.yaml:2:1: error: something is missing (missing closing "quote)'],
  },
  {
    name: 'a duplicate key',
    given: `${NAMESPACE}x\n  labels: {a: b}\n  name: y\n`,
    want: ['f.yaml:6:3: error: metadata.name: duplicate key "name"; it is on line 4 already'],
  },
  {
    name: 'an alias without anchor',
    given: `${NAMESPACE}x\n  labels: *none\n`,
    want: ['f.yaml:5:11: error: metadata.labels: the alias *none has no anchor &none before it'],
  },
  {
    name: 'an alias inside what it stands for',
    given: `${NAMESPACE}x\nspec: &a\n  b: *a\n`,
    want: ['f.yaml:6:6: error: spec.b: the alias *a stands inside what it stands for'],
  },
  { name: 'a key that is a list', given: '? [a]\n: b\n', want: ['f.yaml:1:3: error: a key must be a string'] },
  {
    name: 'the key __proto__',
    given: `${NAMESPACE}x\n__proto__: {a: b}\n`,
    want: ['f.yaml:5:1: error: the key __proto__ is not allowed'],
  },
  {
    name: 'a key that YAML reads as a boolean',
    given: `${NAMESPACE}x\n  labels: {y: a}\n`,
    want: ['f.yaml:5:12: warning: metadata.labels: the key y reads as a boolean in YAML; write "y" for the string'],
  },
  {
    name: 'a NUL character',
    given: 'a: \0',
    want: ['f.yaml:1:1: error: not a text file: it contains a NUL character'],
  },
  {
    name: 'a tag that nobody knows',
    given: `${NAMESPACE}!secret x\n`,
    want: ['f.yaml:4:9: warning: unresolved tag: !secret'],
  },
  {
    name: 'nothing of what an object needs',
    given: 'a: b\n',
    want: [
      'f.yaml:1:1: error: apiVersion: is required',
      'f.yaml:1:1: error: kind: is required',
      'f.yaml:1:1: error: metadata: is required',
    ],
  },
  {
    name: 'misspelt fields',
    given: 'apiversion: v1\nkind: Pod\nmetdata: {name: x}\n',
    want: [
      'f.yaml:1:1: error: Pod: apiVersion: is required (did you mean "apiversion"?)',
      'f.yaml:1:1: error: Pod: metadata: is required (did you mean "metdata"?)',
    ],
  },
  {
    name: 'a misspelt field of the metadata',
    given: `${NAMESPACE}x\n  label: {a: b}\n`,
    want: ['f.yaml:5:3: warning: Namespace x: metadata.label: unknown field (did you mean "labels"?)'],
  },
  {
    name: 'names against DNS-1123',
    given: 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: Web_1\n  namespace: a.b\n',
    want: [
      `f.yaml:4:3: error: Pod a.b/Web_1: metadata.name: must be at most 253 lower-case letters, digits, '-' and '.', and each part begin and end with a letter or digit; got "Web_1"`,
      `f.yaml:5:3: error: Pod a.b/Web_1: metadata.namespace: must be at most 63 lower-case letters, digits and '-', and begin and end with a letter or digit; got "a.b"`,
    ],
  },
  {
    name: 'label values that YAML does not read as strings',
    given: `${NAMESPACE}x\n  labels:\n    version: 1.10\n    enabled: yes\n    mode: 0644\n    nested: {a: b}\n    empty:\n`,
    want: [
      'f.yaml:6:5: error: Namespace x: metadata.labels.version: expected a string, got the number 1.1; put it in quotes',
      'f.yaml:7:5: error: Namespace x: metadata.labels.enabled: expected a string, got the boolean true; put it in quotes',
      'f.yaml:8:5: error: Namespace x: metadata.labels.mode: expected a string, got the number 420; put it in quotes',
      'f.yaml:9:5: error: Namespace x: metadata.labels.nested: expected a string, got an object',
    ],
  },
  {
    name: 'label syntax',
    given: `${NAMESPACE}x\n  labels: {-a: ok, a/b/c: ok, reserved:x: ok, good: "b b"}\n  annotations: {"a b": ok}\n`,
    want: [
      `f.yaml:5:12: error: Namespace x: metadata.labels["-a"]: label key must be NAME or PREFIX/NAME: a name of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; a prefix that is a DNS name`,
      `f.yaml:5:20: error: Namespace x: metadata.labels["a/b/c"]: label key must be NAME or PREFIX/NAME: a name of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; a prefix that is a DNS name`,
      `f.yaml:5:31: error: Namespace x: metadata.labels["reserved:x"]: label key must be NAME or PREFIX/NAME: a name of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; a prefix that is a DNS name`,
      `f.yaml:5:47: error: Namespace x: metadata.labels.good: label value must be empty or at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; got "b b"`,
      `f.yaml:6:17: error: Namespace x: metadata.annotations["a b"]: annotation key must be NAME or PREFIX/NAME: a name of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; a prefix that is a DNS name`,
    ],
  },
  { name: 'a list without items', given: 'apiVersion: v1\nkind: List\nitems: []\n', want: [] },
  {
    name: 'a list whose items are no list',
    given: 'apiVersion: v1\nkind: List\nitems: {a: b}\n',
    want: ['f.yaml:3:1: error: the items of a list must be a list'],
  },
]

for (const { name, given, want } of cases) {
  test(`problems of ${name}`, () => assert.deepEqual(problemsOf(given), want))
}

test('documents are apart: a broken one does not hurt the others, and lines are those of the file', () => {
  const text = `# first\n${NAMESPACE}a\n---\nkind: "Pod\n--- # third\n${NAMESPACE}c\n...\n${NAMESPACE}d\n`
  const { objects, problems, complete } = parseManifests(text, 'f.yaml')
  assert.deepEqual(
    objects.map(object => [object.metadata.name, object.origin.line, object.position(['metadata', 'name'])]),
    [
      ['a', 2, { line: 5, column: 3 }],
      ['c', 9, { line: 12, column: 3 }],
      ['d', 14, { line: 17, column: 3 }],
    ],
  )
  assert.deepEqual(
    problems.map(({ line, severity }) => [line, severity]),
    [[8, 'error']],
  )
  assert.equal(complete, false)
})

test('an object that is refused is named, so that its last version can be kept', () => {
  const { objects, refused, complete } = parseManifests(
    `${NAMESPACE}a\n---\n${NAMESPACE}b\n  labels: {x: 1}\n`,
    'f.yaml',
  )
  assert.deepEqual([objects.map(objectKey), refused, complete], [['Namespace//a'], ['Namespace//b'], true])
  assert.equal(parseManifests('kind: Namespace\nmetadata: {}', 'f.yaml').complete, false)
})

test('lists are taken apart; a list of one kind gives its items the kind', () => {
  const text = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: a}
- apiVersion: v1
  kind: Pod
  metadata:
    name: p
    namespace: ns
---
{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": [{"metadata": {"name": "q"}}, 5]}
`
  const { objects, problems } = parseManifests(text, 'f.yaml')
  assert.deepEqual(objects.map(objectKey), ['Namespace//a', 'Pod/ns/p', 'NetworkPolicy.networking.k8s.io/default/q'])
  assert.deepEqual(
    objects.map(object => object.origin.line),
    [4, 7, 13],
  )
  assert.deepEqual(objects[1]?.position(['metadata', 'name']), { line: 10, column: 5 })
  assert.deepEqual(problems.map(formatProblem), [
    'f.yaml:13:108: error: expected an object with apiVersion, kind and metadata',
  ])
})

test('the source of an object is its own part of the text', () => {
  const text = `# about a\n${NAMESPACE}a\n---\nkind: List\nitems:\n  - # about b\n    ${NAMESPACE.replaceAll('\n', '\n    ')}b\n  - {apiVersion: v1, kind: Namespace, metadata: {name: c}}\n`
  const lines = text.split('\n')
  const cut = parseManifests(text, 'f.yaml').objects.map(({ source: { start, end } }) => {
    const inside = lines.slice(start.line - 1, end.line)
    return [...inside.slice(0, -1), inside.at(-1)?.slice(0, end.column - 1)].join('\n').slice(start.column - 1)
  })
  assert.deepEqual(cut, [
    `# about a\n${NAMESPACE}a\n`,
    `${NAMESPACE.replaceAll('\n', '\n    ')}b\n`,
    '{apiVersion: v1, kind: Namespace, metadata: {name: c}}',
  ])
})

test('YAML is read as Kubernetes reads it', () => {
  const text = `${NAMESPACE}x
spec: {yes: on, octal: 0644, hex: 0x1F, date: 2026-01-02, time: 12:30, nothing: ~, float: 1e3, "quoted": "on", 5: five, text: !!str 5}
`
  const { objects } = parseManifests(text, 'f.yaml')
  assert.deepEqual(objects[0]?.content['spec'], {
    yes: true,
    octal: 420,
    hex: 31,
    date: '2026-01-02',
    time: '12:30',
    nothing: null,
    float: 1000,
    quoted: 'on',
    5: 'five',
    text: '5',
  })
})

test('anchors, aliases and merge keys are followed, with positions where they are written', () => {
  const text = `${NAMESPACE}x
  labels: &labels
    a: one
    b: two
spec:
  same: *labels
  merged:
    <<: *labels
    b: three
  list:
    <<: [{c: 1}, *labels, {c: 2, d: 3}]
`
  const { objects, problems } = parseManifests(text, 'f.yaml')
  assert.deepEqual(problems, [])
  assert.deepEqual(objects[0]?.content['spec'], {
    same: { a: 'one', b: 'two' },
    merged: { b: 'three', a: 'one' },
    list: { c: 1, a: 'one', b: 'two', d: 3 },
  })
  assert.deepEqual(objects[0].position(['spec', 'merged', 'a']), { line: 6, column: 5 })
  assert.deepEqual(objects[0].position(['spec', 'same']), { line: 9, column: 3 })
  assert.deepEqual(objects[0].position(['spec', 'nothing', 0, 'such']), { line: 8, column: 1 })
})

test('what grows without end is refused: aliases of aliases, nesting, size', () => {
  const laughs = ['a: &a [x, x, x, x, x, x, x, x, x]']
  for (let i = 0; i < 20; i++) {
    const [before, name] = [String.fromCharCode(97 + i), String.fromCharCode(98 + i)]
    laughs.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(', ')}]`)
  }
  const hostile: readonly (readonly [string, RegExp])[] = [
    [laughs.join('\n'), /more than 200000 values/],
    ['['.repeat(100_000), /nested too deeply/],
    [`${'[\n'.repeat(100)}${'\n]'.repeat(100)}`, /nested more than 64 levels deep/],
    [`a: "${'x'.repeat(MAX_DOCUMENT_CHARACTERS)}"`, /document is larger/],
    ['#'.repeat(MAX_FILE_CHARACTERS + 1), /file is larger/],
    ['--- a\n'.repeat(10_001), /more than 10000 documents/],
  ]
  for (const [text, want] of hostile) {
    const { objects, problems, complete } = parseManifests(text, 'f.yaml')
    assert.match(problems[0]?.message ?? '', want)
    assert.deepEqual([objects.length, complete], [0, false])
  }
})

test('a mapping with very many keys is read in reasonable time', () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `  k${i}: v`).join('\n')
  const { objects } = parseManifests(`${NAMESPACE}x\ndata:\n${keys}\n`, 'f.yaml')
  assert.equal(Object.keys(objects[0]?.content['data'] ?? {}).length, 20_000)
})

test('the number of problems is limited, and errors are not crowded out', () => {
  const warnings = Array.from({ length: 150 }, (_, i) => `  field${i}: x`).join('\n')
  const { problems } = parseManifests(`${NAMESPACE}x\n${warnings}\n---\nkind: {}\n`, 'f.yaml')
  assert.equal(problems.length, MAX_PROBLEMS)
  assert.equal(problems[0]?.severity, 'error')
  assert.match(problems.at(-1)?.message ?? '', /^\d+ more problems in this file$/)
})

test('a byte order mark and carriage returns do no harm', () => {
  const { objects, problems } = parseManifests(`\uFEFF${NAMESPACE}x\n`.replaceAll('\n', '\r\n'), 'f.yaml')
  assert.deepEqual([objects.length, problems], [1, []])
  assert.deepEqual(objects[0]?.position(['metadata', 'name']), { line: 4, column: 3 })
})

test('with an origin comment, positions are those of the file that it names', () => {
  const text = `# axoneme: origin=dir/a%25b%0A.yaml:41\n${NAMESPACE}x\n  labels: {a: 1}\n---\n${NAMESPACE}z9\n`
  const { objects, problems } = parseManifests(text, 'store/1.yaml')
  assert.deepEqual(
    problems.map(({ file, line }) => [file, line]),
    [['dir/a%b\n.yaml', 45]],
  )
  assert.deepEqual(objects[0]?.origin, { file: 'dir/a%b\n.yaml', line: 47 })
  assert.deepEqual(objects[0].position(['metadata', 'name']), { line: 50, column: 3 })
})

test('a cache gives back the same objects for documents that did not change, and forgets those that went', () => {
  const cache: DocumentCache = new Map()
  const [a, b] = [`${NAMESPACE}a\n`, `${NAMESPACE}b\n`]
  const first = parseManifests(`${a}---\n${b}`, 'f.yaml', cache).objects
  const second = parseManifests(`${a}---\n${NAMESPACE}c\n`, 'f.yaml', cache).objects
  assert.equal(second[0], first[0])
  assert.equal(second[1]?.metadata.name, 'c')
  assert.equal(cache.size, 2)
  const moved = parseManifests(`# one line more\n---\n${NAMESPACE}c\n`, 'f.yaml', cache).objects
  assert.deepEqual(moved[0]?.position(['metadata', 'name']), { line: 6, column: 3 })
  const elsewhere = parseManifests(`# one line more\n---\n${NAMESPACE}c\n`, 'g.yaml', cache).objects
  assert.equal(elsewhere[0]?.origin.file, 'g.yaml')
})

test('the same document twice in a text is read at both places', () => {
  const { objects } = parseManifests(`---\n${NAMESPACE}a\n---\n${NAMESPACE}a\n`, 'f.yaml')
  assert.deepEqual(
    objects.map(object => object.origin.line),
    [2, 7],
  )
})
