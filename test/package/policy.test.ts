// `axoneme/policy` as a user gets it from npm: its types hold for a program that imports
// it, and it says in a real browser what it says in Node.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { EXAMPLES } from '../../src/policy/crd/testing/examples.ts'
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

/** All that the page and Node are to agree on. Runs in both, so it uses nothing from outside. */
function answer(policy: typeof Policy, manifests: readonly Manifest[]): string {
  const parsed = manifests.map(({ name, text }) => policy.parseManifests(text, name))
  const { cluster, problems } = policy.readCluster(parsed.flatMap(({ objects }) => objects))
  const ports = [80, 8080, 5432].map(port => ({ protocol: policy.PROTOCOLS.TCP, port }))
  return JSON.stringify({
    problems: [...parsed.flatMap(one => one.problems), ...problems].map(policy.formatProblem),
    pods: cluster.content.pods.map(({ name }) => name),
    rules: cluster.repository
      .policies()
      .flatMap(({ specs }) => specs.flatMap(({ rules }) => rules.map(({ key }) => key))),
    reach: [...policy.reach(cluster, ports)],
  })
}

const PAGE = `<!doctype html>
<script type="importmap">{"imports": {"axoneme/policy": "/axoneme/dist/policy/index.js", "zod": "/zod/index.js", "yaml": "/yaml/browser/index.js"}}</script>
<script>addEventListener('error', event => fetch('/answer', { method: 'POST', body: String(event.message) }))</script>
<script type="module">
import * as policy from 'axoneme/policy'
const manifests = await (await fetch('/manifests.json')).json()
let body
try { body = (${answer.toString()})(policy, manifests) } catch (error) { body = String(error.stack) }
await fetch('/answer', { method: 'POST', body })
</script>`

/** The answer in Node, which finds the package by its name. */
function inNode(folder: string): string {
  const program = `import * as policy from 'axoneme/policy'
    process.stdout.write((${answer.toString()})(policy, ${JSON.stringify(manifests)}))`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-'], {
    cwd: folder,
    input: program,
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  return stdout
}

/** Two tiers over a namespaced policy, and one object that is refused. */
const TIERS = `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: guard }
spec:
  tier: Admin
  priority: 7
  subject: { namespaces: {} }
  ingress:
  - { action: Deny, from: [{ namespaces: { matchLabels: { kubernetes.io/metadata.name: elsewhere } } }] }
  - { action: Pass, from: [{ namespaces: {} }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: typo }
spec: { podSelector: {}, policyTypes: [Sideways] }
`

const manifests: readonly Manifest[] = [
  ...['shop.yaml', 'default-deny.yaml', 'allow-shop.yaml'].map(name => ({
    name,
    text: fs.readFileSync(path.join(ROOT, 'demo', name), 'utf8'),
  })),
  { name: 'tiers.yaml', text: TIERS },
  { name: 'every-kind.yaml', text: EXAMPLES },
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
    const expected = JSON.parse(inNode(packed.folder))
    assert.ok(expected.reach.length > 10 && expected.rules.length > 3 && expected.problems.length > 0)
    const answered = await openInChromium({
      html: PAGE,
      documents: { '/manifests.json': JSON.stringify(manifests) },
      folders: {
        '/axoneme/': path.join(modules, 'axoneme'),
        '/zod/': path.join(modules, 'zod'),
        '/yaml/': path.join(modules, 'yaml'),
      },
    })
    assert.match(answered, /^\{/, 'an error in the page')
    assert.deepEqual(JSON.parse(answered), expected)
  })
})
