// docs/lint.md names every id of lint, and each of its examples earns the id that it
// stands under.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { parseManifests } from '../../manifests/index.ts'
import { LINT_RULES } from './finding.ts'
import { lintManifests } from './lint.ts'

const document = fs.readFileSync(new URL('../../../docs/lint.md', import.meta.url), 'utf8')
const sections = [...document.matchAll(/^### `([a-z-]+)`\n(?:(?!^###).*\n)*?```yaml\n((?:.*\n)*?)```/gm)]

const pod = (namespace: string, name: string, labels: string, address: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: ${namespace}, labels: {${labels}}}, spec: {containers: [{name: m, ports: [{name: http, containerPort: 80}]}]}, status: {podIPs: [{ip: ${address}}]}}`

const AROUND = [
  '{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: sales}}}',
  '{apiVersion: v1, kind: Namespace, metadata: {name: ops, labels: {team: ops}}}',
  pod('shop', 'web', 'app: web, tier: front', '10.244.0.1'),
  pod('shop', 'db', 'app: db', '10.244.0.2'),
  pod('ops', 'monitor', 'app: monitor', '10.244.0.3'),
].join('\n---\n')

test('the document has a section for every id', () => {
  assert.deepEqual(new Set(sections.map(([, id]) => id)), new Set(Object.keys(LINT_RULES)))
})

for (const [, id = '', example = ''] of sections)
  test(`the example of ${id}`, () => {
    const { objects, problems } = parseManifests(`${AROUND}\n---\n${example}`, 'lint.md')
    assert.deepEqual(problems, [])
    const found = lintManifests(objects).map(finding => finding.id)
    assert.ok(
      found.some(each => each === id),
      `found ${found.join(', ')}`,
    )
  })
