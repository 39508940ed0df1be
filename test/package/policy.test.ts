// `axoneme/policy` as a user gets it from npm: its types hold for a program that imports
// it, and it says in a real browser what it says in Node.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { REFUSED } from '../../src/policy/crd/testing/examples.ts'
import type * as Policy from '../../src/policy/index.ts'
import { openInChromium } from './chromium.ts'
import { compile, type PackedPackage, packAxoneme, ROOT } from './packed.ts'

const CONSUMER = `
import { formatProblem, parseManifests, type Policy, PROTOCOLS, reach, type ReachRow, readCluster } from 'axoneme/policy'

const { objects, problems } = parseManifests('', 'none.yaml')
const { cluster } = readCluster(objects)
const rows: ReachRow[] = [...reach(cluster, [{ protocol: PROTOCOLS.TCP, port: 80 }])]
const policies: readonly Policy[] = cluster.content.policies
export const summary: string = [...problems.map(formatProblem), rows.length, policies.length].join()
// @ts-expect-error a port has a number or a name
reach(cluster, [{ protocol: PROTOCOLS.TCP, port: true }])
`

type Manifest = { readonly name: string; readonly text: string }
/** Manifests that are read as one cluster. */
type Example = readonly Manifest[]

/** All that the page and Node are to agree on. Runs in both, so it uses nothing from outside. */
function answer(policy: typeof Policy, examples: readonly Example[]): string {
  const answers = examples.map(manifests => {
    const parsed = manifests.map(({ name, text }) => policy.parseManifests(text, name))
    const objects = parsed.flatMap(one => one.objects)
    const { cluster, problems } = policy.readCluster(objects.filter(object => !policy.isExpectations(object)))
    const expectations = objects.filter(policy.isExpectations).map(policy.readExpectations)
    const ports = [80, 8080, 5432].map(port => ({ protocol: policy.PROTOCOLS.TCP, port }))
    const ends = cluster.content.pods.slice(0, 4).flatMap(pod => cluster.endOf(pod) ?? [])
    const pairs = ends.flatMap(from => ends.map(to => ({ from, to, protocol: policy.PROTOCOLS.TCP, port: 8080 })))
    return {
      problems: [...parsed.flatMap(one => one.problems), ...problems].map(policy.formatProblem),
      rules: cluster.repository
        .policies()
        .flatMap(({ specs }) => specs.flatMap(({ rules }) => rules.map(({ key }) => key))),
      reach: [...policy.reach(cluster, ports)],
      explanations: pairs.map(pair => policy.explain(cluster, pair)),
      expectations: expectations.flatMap(one => policy.runExpectations(cluster, one.expectations)),
    }
  })
  return JSON.stringify(answers)
}

const PAGE = `<!doctype html>
<script type="importmap">{"imports": {"axoneme/policy": "/axoneme/dist/policy/index.js", "zod": "/zod/index.js", "yaml": "/yaml/browser/index.js"}}</script>
<script>addEventListener('error', event => fetch('/answer', { method: 'POST', body: String(event.message) }))</script>
<script type="module">
import * as policy from 'axoneme/policy'
const examples = await (await fetch('/examples.json')).json()
let body
try { body = (${answer.toString()})(policy, examples) } catch (error) { body = String(error.stack) }
await fetch('/answer', { method: 'POST', body })
</script>`

/** The answer in Node, which finds the package by its name. */
function inNode(folder: string): string {
  const program = `import * as policy from 'axoneme/policy'
    process.stdout.write((${answer.toString()})(policy, ${JSON.stringify(examples)}))`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-'], {
    cwd: folder,
    input: program,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  assert.equal(status, 0, stderr)
  return stdout
}

const EXAMPLES = path.join(ROOT, 'test/data/examples')
const manifest = (folder: string, name: string): Manifest => ({
  name,
  text: fs.readFileSync(path.join(folder, name), 'utf8'),
})

/** The examples of every feature, and manifests with faults. */
const examples: readonly Example[] = [
  ...fs
    .readdirSync(EXAMPLES)
    .filter(name => name !== 'cluster.yaml')
    .map(name => [manifest(EXAMPLES, 'cluster.yaml'), manifest(EXAMPLES, name)]),
  ...REFUSED.map(({ name, text }) => [{ name, text }]),
]

describe('axoneme/policy from its package', () => {
  let packed: PackedPackage
  before(async () => {
    packed = await packAxoneme()
  })
  after(() => packed[Symbol.dispose]())

  test('has the compiled engine with its types, and no tests', () => {
    for (const file of ['dist/policy/index.js', 'dist/policy/index.d.ts', 'dist/bpf/index.d.ts', 'bin/axoneme'])
      assert.ok(packed.files.includes(file), `${file} is missing`)
    assert.deepEqual(
      packed.files.filter(file => /\.test\.|^src\/|^test\//.test(file)),
      [],
    )
  })

  test('its types hold for a program that imports it', async () => {
    const folder = path.join(packed.folder, 'consumer')
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}')
    fs.writeFileSync(path.join(folder, 'main.ts'), CONSUMER)
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024', '--types', '']
    await compile([...options, 'main.ts'], folder)
  })

  test('says in Chromium what it says in Node', async () => {
    const modules = path.join(packed.folder, 'node_modules')
    const expected = JSON.parse(inNode(packed.folder)) as {
      reach: object[]
      problems: string[]
      expectations: object[]
    }[]
    const sum = (key: 'reach' | 'problems' | 'expectations'): number =>
      expected.reduce((total, one) => total + one[key].length, 0)
    assert.ok(sum('reach') > 100 && sum('problems') >= REFUSED.length && sum('expectations') > 20)
    const answered = await openInChromium({
      html: PAGE,
      documents: { '/examples.json': JSON.stringify(examples) },
      folders: {
        '/axoneme/': path.join(modules, 'axoneme'),
        '/zod/': path.join(modules, 'zod'),
        '/yaml/': path.join(modules, 'yaml'),
      },
    })
    assert.match(answered, /^\[/, 'an error in the page')
    assert.deepEqual(JSON.parse(answered), expected)
  })
})
