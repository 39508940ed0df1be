// Reports for other programs, read back as those programs read them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Expectation } from './read-expectations.ts'
import { escapeXml, junitReport, tapReport } from './report.ts'
import type { ExpectationResult } from './run-expectations.ts'

const NASTY = `<&>"' ]]> # SKIP \\ not ok 9\nBail out! \u0001\uD800`

const expectation = (name: string): Expectation => ({
  suite: 'shop',
  name,
  file: 'a&b.yaml',
  line: 7,
  ports: 'any',
  kind: 'pair',
  from: 'a/b',
  to: 'c/d',
  expect: 'allowed',
  by: undefined,
  nobodyElse: false,
  nothingElse: false,
})

const passed = { passed: true, pairs: 2, problems: [], failures: [], failureCount: 0 }
const failure = {
  from: 'a/b',
  to: NASTY,
  ports: '80/TCP',
  expected: 'allowed',
  actual: 'denied',
  deciders: [],
} as const
const RESULTS: readonly ExpectationResult[] = [
  { ...passed, expectation: expectation('fine') },
  { ...passed, expectation: expectation(NASTY), passed: false, failures: [failure], failureCount: 3 },
  { ...passed, expectation: expectation('unclear'), passed: false, problems: ['no such pod'] },
]

type Element = {
  readonly name: string
  readonly attributes: Record<string, string>
  readonly children: Element[]
  text: string
}

/** A strict reader of the XML that has elements, attributes, text and the five entities. */
function parseXml(xml: string): Element {
  const root: Element = { name: '', attributes: {}, children: [], text: '' }
  const open = [root]
  const unescape = (text: string): string => {
    assert.doesNotMatch(text, /<|&(?!(?:amp|lt|gt|quot|apos|#\d+);)|\]\]>|[\uD800-\uDFFF]/)
    assert.ok(text.split('').every(character => character >= ' ' || character === '\n'))
    return text
      .replace(/&#(\d+);/g, (_, number: string) => String.fromCodePoint(Number(number)))
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&quot;', '"')
      .replaceAll('&apos;', "'")
      .replaceAll('&amp;', '&')
  }
  const body = xml.replace(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n/, '')
  assert.notEqual(body, xml, 'an XML declaration')
  let at = 0
  for (const tag of body.matchAll(/<(\/?)(\w+)((?: \w+="[^"<]*")*)(\/?)>/g)) {
    const top = open.at(-1) ?? assert.fail('more is closed than open')
    top.text += unescape(body.slice(at, tag.index))
    at = tag.index + tag[0].length
    const [, closes, name = '', attributes = '', isEmpty] = tag
    if (closes) assert.equal(open.pop()?.name, name)
    else {
      const pairs = [...attributes.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, unescape(value ?? '')])
      const element: Element = { name, attributes: Object.fromEntries(pairs), children: [], text: '' }
      top.children.push(element)
      if (!isEmpty) open.push(element)
    }
  }
  assert.equal(open.length, 1, 'everything is closed')
  assert.equal(body.slice(at).trim(), '')
  return root
}

test('JUnit: one case for each expectation, and every text comes back', () => {
  const [suites] = parseXml(junitReport(RESULTS)).children
  assert.equal(suites?.name, 'testsuites')
  const [suite, ...more] = suites.children
  assert.equal(more.length, 0)
  const { tests, failures, errors } = suite?.attributes ?? {}
  assert.deepEqual([tests, failures, errors], ['3', '1', '1'])
  const [fine, nasty, unclear] = suite?.children ?? []
  assert.deepEqual(fine?.children, [])
  assert.deepEqual([fine?.attributes['file'], fine?.attributes['line']], ['a&b.yaml', '7'])
  const survived = NASTY.replace('\u0001\uD800', '\uFFFD\uFFFD')
  assert.equal(nasty?.attributes['name'], survived.replace('\n', ' '))
  assert.equal(nasty?.children[0]?.name, 'failure')
  assert.equal(nasty?.children[0]?.text, `a/b → ${survived} 80/TCP: expected allowed, is denied\nand 2 more`)
  assert.deepEqual([unclear?.children[0]?.name, unclear?.children[0]?.text], ['error', 'no such pod'])
})

test('XML text: what XML can hold stays', () => {
  for (const text of ['ä → 𝕏', 'a\tb', 'a\nb']) assert.equal(escapeXml(text), text)
  assert.equal(escapeXml('\r'), '&#13;')
})

test('TAP 14: a plan, and a test point for each expectation', () => {
  const lines = tapReport(RESULTS).split('\n')
  assert.deepEqual(lines.slice(0, 2), ['TAP version 14', '1..3'])
  const points = lines.flatMap(
    line => /^(ok|not ok) (\d+) - ((?:[^\\#]|\\.)*)$/.exec(line)?.slice(1, 4).join('|') ?? [],
  )
  assert.deepEqual(points, [
    'ok|1|shop: fine',
    `not ok|2|shop: <&>"' ]]> \\# SKIP \\\\ not ok 9 Bail out! \u0001\uD800`,
    'not ok|3|shop: unclear',
  ])
  // Everything else is the plan, or indented in a YAML block that is closed again.
  const rest = lines.slice(2).filter(line => line !== '' && !/^(not )?ok /.test(line))
  assert.ok(rest.every(line => line.startsWith('  ')))
  assert.equal(rest.filter(line => line === '  ---').length, 2)
  assert.equal(rest.filter(line => line === '  ...').length, 2)
})
