// Plain YAML is read as all of YAML is, by the reader of all of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readPlainYaml } from './plain-yaml.ts'
import { parseAnyYaml } from './yaml.ts'

const LIMITS = { depth: 64, values: 200_000 }

const WORDS =
  'a|b-c|web|/api/v1/.*|GET|app.kubernetes.io/name|10.0.0.0/8|10.1|1.5|80|0|-1|007|1e3|0x1|true|True|yes|on|null|~|{}|[]|{a}|[a]|' +
  `"q"|"a b"|"\\n"|'s'|'a''b'|a: b|a:b|a:|:a|#c|a #c|a#c|*x|&x|!t||a, b|a]|- a|-|--|---a|<<|__proto__|"__proto__"|?|%a|@a|é|a  b|.inf`
const word = fc.constantFrom(...WORDS.split('|'))
const key = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('a', 'b', 'spec', 'x.y/z', '"q"', 'c-d') }, word)

type Node = readonly string[]

/** Blocks as people write them, with what they get wrong. */
const { block } = fc.letrec<{ block: Node; value: Node }>(tie => ({
  block: fc.oneof(
    { maxDepth: 3 },
    fc
      .array(fc.tuple(key, tie('value'), fc.constantFrom(0, 2, 2, 2, 4)), { minLength: 1, maxLength: 3 })
      .map(pairs => pairs.flatMap(([name, lines, indent]) => under(`${name}:`, lines, indent))),
    fc.array(fc.tuple(tie('value'), fc.constantFrom(2, 2, 2, 4)), { minLength: 1, maxLength: 3 }).map(items =>
      items.flatMap(([lines, indent]) => {
        const [first = '', ...more] = lines
        return [`-${' '.repeat(indent - 1)}${first}`, ...more.map(line => ' '.repeat(indent) + line)]
      }),
    ),
  ),
  value: fc.oneof(
    { maxDepth: 3 },
    word.map(text => [text]),
    tie('block'),
  ),
}))

function under(head: string, lines: Node, indent: number): Node {
  const [first = ''] = lines
  if (lines.length === 1 && !first.startsWith('-') && !/:( |$)/.test(first)) return [`${head} ${first}`]
  return [head, ...lines.map(line => ' '.repeat(indent) + line)]
}

const noise = fc.constantFrom('', '', '', '', '# c', '  # c', ' ', 'a: 1', '  b', '- c', '%x', '...', 'x: |')

/** @returns whether it is plain */
function compare(text: string): boolean {
  const read = readPlainYaml(text, LIMITS)
  if (read) assert.deepEqual(read, parseAnyYaml(text), text)
  return read !== undefined
}

test('what is taken for plain says the same as all of YAML, value and positions', () => {
  let plain = 0
  const texts = fc.tuple(block, fc.array(fc.tuple(fc.nat(12), noise), { maxLength: 2 })).map(([lines, added]) => {
    const all = [...lines]
    for (const [at, line] of added) all.splice(at, 0, line)
    return all.join('\n')
  })
  fc.assert(
    fc.property(texts, text => {
      if (compare(text)) plain++
    }),
    { numRuns: 20_000 },
  )
  assert.ok(plain > 200, `${plain} of them are plain`)
})

test('any change of a plain text too', () => {
  const policy = `# of a chart
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: "web"
  labels: {}
spec:
  endpointSelector:
    matchLabels:
      app: web
  ingress:
  - fromCIDR: [ ]
    toPorts:
    - ports:
      - port: "80"
        protocol: TCP
      rules:
        http:
          - method: GET
            path: /api/v1/[a-z]+/.*
`.replace('[ ]', '[]')
  assert.ok(compare(policy))
  let plain = 0
  const edit = fc.tuple(
    fc.nat(policy.length),
    fc.nat(4),
    fc.constantFrom('', ' ', '\n', '  ', '-', ':', '#', '"', "'", 'x', '- ', ': ', '\n\n', '|', '1'),
  )
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 3 }), edits => {
      const text = edits.reduce((all, [at, length, put]) => all.slice(0, at) + put + all.slice(at + length), policy)
      if (!/^(?:---|\.\.\.)/m.test(text) && compare(text)) plain++
    }),
    { numRuns: 20_000 },
  )
  assert.ok(plain > 2_000, `${plain} of them are plain`)
})

test('only blanks of ASCII indent, part and make a line empty', () => {
  const texts = [
    'B',
    'Ba: 1',
    'a: 1\nB',
    'a: 1\nB\nb: 2',
    'a:\n  b: 1\nBBc: 2',
    'a:\nBb: 1',
    'a:\n- Bb',
    'a:\n- Bb: 1',
    'B# c\na: 1',
  ]
  for (const text of texts) for (const blank of '\u1680\u2003\u202f\u205f\u3000') compare(text.replaceAll('B', blank))
})
