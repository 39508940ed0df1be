// Results of expectations for other programs: JUnit XML as CI servers read it, and TAP
// version 14 (https://testanything.org/tap-version-14-specification.html).

import { deciderText } from '../cluster/deciders.ts'
import type { ExpectationFailure, ExpectationResult } from './run-expectations.ts'

/** One line: `shop/web → shop/db 5432/TCP: expected denied, is allowed`. */
export function failureText({ from, to, ports, expected, actual, by }: ExpectationFailure): string {
  const pair = `${from} → ${to} ${ports}`
  return by === undefined ? `${pair}: expected ${expected}, is ${actual}` : `${pair}: is ${actual}, but not by ${by}`
}

/** Everything that went wrong with one expectation, a line each; what decides stands indented below. */
export function failureLines({ problems, failures, failureCount }: ExpectationResult, most: number): string[] {
  const shown = failures.slice(0, most)
  const lines = shown.flatMap(failure => [
    failureText(failure),
    ...failure.deciders.map(decider => `  ${deciderText(decider)}`),
  ])
  const rest = failureCount - shown.length
  return [...problems, ...lines, ...(rest > 0 ? [`and ${rest} more`] : [])]
}

const MOST_IN_REPORT = 100

/** A JUnit report with one suite for each PolicyExpectations object. */
export function junitReport(results: readonly ExpectationResult[]): string {
  const suites = Map.groupBy(results, ({ expectation }) => expectation.suite)
  const body = [...suites].flatMap(([suite, own]) => [
    `  <testsuite ${attributes({ name: suite, ...counts(own) })}>`,
    ...own.flatMap(testCase),
    '  </testsuite>',
  ])
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name: 'axoneme policy test', ...counts(results) })}>`,
    ...body,
    '</testsuites>',
    '',
  ].join('\n')
}

function counts(results: readonly ExpectationResult[]): Readonly<Record<string, number>> {
  const failed = results.filter(({ passed }) => !passed)
  const errors = failed.filter(({ problems }) => problems.length > 0).length
  return { tests: results.length, failures: failed.length - errors, errors, skipped: 0 }
}

function testCase(result: ExpectationResult): string[] {
  const { name, suite, file, line } = result.expectation
  const head = `    <testcase ${attributes({ name, classname: suite, file, line, assertions: result.pairs, time: 0 })}`
  if (result.passed) return [`${head}/>`]
  const lines = failureLines(result, MOST_IN_REPORT)
  const element = result.problems.length > 0 ? 'error' : 'failure'
  const message = attributes({ message: lines[0] ?? '', type: 'expectation' })
  return [`${head}>`, `      <${element} ${message}>${escapeXml(lines.join('\n'))}</${element}>`, '    </testcase>']
}

const attributes = (values: Readonly<Record<string, string | number>>): string =>
  Object.entries(values)
    // A line break in an attribute is read as a space.
    .map(([name, value]) => `${name}="${escapeXml(String(value)).replace(/[\n\t]/g, ' ')}"`)
    .join(' ')

/** Text for XML 1.0, inside an element or in double quotes. What XML cannot hold at all becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replace(/[&<>"'\r]/g, character => ENTITIES[character] ?? `&#${character.charCodeAt(0)};`)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** A TAP 14 stream: one test point for each expectation, what went wrong in a YAML block below it. */
export function tapReport(results: readonly ExpectationResult[]): string {
  const points = results.flatMap((result, i) => {
    const { name, suite, file, line } = result.expectation
    const point = `${result.passed ? 'ok' : 'not ok'} ${i + 1} - ${escapeTap(`${suite}: ${name}`)}`
    if (result.passed) return [point]
    // JSON strings are YAML strings in double quotes.
    const details = failureLines(result, MOST_IN_REPORT).map(text => `    - ${JSON.stringify(text)}`)
    return [point, '  ---', `  at: ${JSON.stringify(`${file}:${line}`)}`, '  failures:', ...details, '  ...']
  })
  return ['TAP version 14', `1..${results.length}`, ...points, ''].join('\n')
}

/** A description: `\` and `#` are escaped, since `# SKIP` would be a directive; it stays on its line. */
const escapeTap = (text: string): string => text.replace(/[\\#]/g, '\\$&').replace(/\s+/g, ' ')
