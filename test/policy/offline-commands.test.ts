// The commands for CI pipelines as processes: what they print, and their exit codes.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

async function policy(cwd: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, 'policy', ...args], { stdio: 'pipe', cwd })
  child.stdin.end()
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: child.exitCode }
}

function folderOf(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-offline-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    fs.writeFileSync(path.join(folder, name), content)
  }
  return folder
}

const pod = (name: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, labels: {app: ${name}}}, spec: {containers: [{name: m, ports: [{name: http, containerPort: 80}]}]}}`
const PODS = ['web', 'client', 'other'].map(pod).join('\n---\n')
const POLICY = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: http}]
`
const expectation = (from: string, expect: string) => `apiVersion: axoneme.io/v1alpha1
kind: PolicyExpectations
metadata: {name: web}
expectations:
- {name: ${from} to web, from: default/${from}, to: default/web, ports: 80/TCP, expect: ${expect}}
`

test('policy check: what is wrong, with its place, and exit codes', async t => {
  const folder = folderOf(t, {
    'good.yaml': PODS,
    'odd.yaml': `${POLICY}  ingres: []\n---\n{apiVersion: example.com/v1, kind: NetworkPolcy, metadata: {name: x}}`,
    'block.yaml': POLICY.replace('{podSelector: {matchLabels: {app: client}}}', '{ipBlock: {cidr: 192.0.2.0/24}}'),
    'bad.yaml': POLICY.replace('port: http', 'port: 99999'),
    'empty/readme.txt': 'nothing',
  })
  const good = await policy(folder, 'check', 'good.yaml')
  assert.deepEqual([good.out, good.err, good.code], ['3 objects: nothing wrong\n', '', 0])
  const odd = await policy(folder, 'check', 'odd.yaml')
  assert.match(odd.out, /^odd\.yaml:9:3: warning: NetworkPolicy default\/web: spec\.ingres: unknown field/m)
  assert.match(
    odd.out,
    /^odd\.yaml:11:\d+: warning: NetworkPolcy default\/x: kind: nobody reads NetworkPolcy of example\.com\/v1/m,
  )
  assert.match(odd.out, /^2 objects: 0 errors, 2 warnings$/m)
  assert.equal(odd.code, 0)
  assert.equal((await policy(folder, 'check', '--strict', 'odd.yaml')).code, 1)
  const blocks = await policy(folder, 'check', '--strict', 'good.yaml', 'block.yaml')
  assert.deepEqual(
    [blocks.out, blocks.code],
    ['4 objects: nothing wrong\n', 0],
    'pods of manifests have no addresses yet',
  )
  const all = await policy(folder, 'check', '.', '-o', 'json')
  const problems = JSON.parse(all.out) as { severity: string; message: string; file: string; line: number }[]
  assert.deepEqual(
    problems.map(({ severity, file, line }) => `${severity} ${file}:${line}`),
    ['error bad.yaml:8', 'error block.yaml:1', 'error odd.yaml:1', 'warning odd.yaml:11'],
  )
  assert.ok(problems.some(({ message }) => message === 'is declared twice; the first is at bad.yaml:1'))
  assert.equal(all.code, 1)
  for (const wrong of [['check'], ['check', 'nowhere.yaml'], ['check', 'empty'], ['check', '-o', 'xml', 'good.yaml']]) {
    const { out, err, code } = await policy(folder, ...wrong)
    assert.deepEqual([out, code], ['', 2], wrong.join(' '))
    assert.notEqual(err, '')
  }
})

test('policy check: a folder with what only has the name of a manifest', async t => {
  const folder = folderOf(t, { 'in/good.yaml': PODS, 'in/folder.yaml/more.yaml': POLICY })
  execFileSync('mkfifo', [path.join(folder, 'in/pipe.yaml')])
  fs.symlinkSync('..', path.join(folder, 'in/round'))
  const good = await policy(folder, 'check', 'in')
  assert.deepEqual([good.out, good.err, good.code], ['4 objects: nothing wrong\n', '', 0])
  fs.symlinkSync('nowhere', path.join(folder, 'in/lost.yaml'))
  const lost = await policy(folder, 'check', 'in')
  assert.match(lost.err, /in\/lost\.yaml cannot be read/)
  assert.equal(lost.code, 2)
})

test('policy check: waits for a program that has nothing to say yet', async t => {
  const folder = folderOf(t, { 'good.yaml': PODS, 'more.yaml': POLICY })
  const pipeline = `(sleep 1; cat good.yaml; sleep 1; echo; echo ---; cat more.yaml) | "${process.execPath}" "${MAIN}" policy check -`
  assert.equal(execFileSync('sh', ['-c', pipeline], { cwd: folder, encoding: 'utf8' }), '4 objects: nothing wrong\n')
})

test('policy test: met, not met, and trouble', async t => {
  const folder = folderOf(t, {
    'pods.yaml': PODS,
    'policy.yaml': POLICY,
    'bad.yaml': POLICY.replace('port: http', 'port: 99999'),
    'good/expect.yaml': expectation('client', 'allowed'),
    'wrong/expect.yaml': expectation('other', 'allowed'),
    'faulty/expect.yaml': expectation('other', 'forbidden'),
  })
  const good = await policy(folder, 'test', 'pods.yaml', 'policy.yaml', 'good')
  assert.deepEqual([good.out, good.code], ['✓ client to web\n1 expectation, 0 not met\n', 0])
  const both = await policy(folder, 'test', 'pods.yaml', 'policy.yaml', 'good', 'wrong')
  assert.match(both.out, /^✓ client to web\n✗ other to web /)
  const failed = await policy(folder, 'test', 'pods.yaml', 'policy.yaml', 'wrong')
  assert.equal(
    failed.out,
    `✗ other to web (wrong/expect.yaml:5)
    default/other → default/web 80/TCP: expected allowed, is denied
      egress: open, no policy isolates it
      ingress: no rule allows it; isolated by NetworkPolicy default/web (policy.yaml:1)
1 expectation, 1 not met
`,
  )
  assert.equal(failed.code, 1)
  const json = await policy(folder, 'test', 'pods.yaml', 'policy.yaml', 'wrong', '-o', 'json')
  const [{ failures }] = JSON.parse(json.out) as [{ failures: { from: string; actual: string }[] }]
  assert.deepEqual([failures[0]?.from, failures[0]?.actual, json.code], ['default/other', 'denied', 1])
  for (const [format, start] of [
    ['junit', '<?xml'],
    ['tap', 'TAP version 14\n1..1\nnot ok 1'],
  ] as const)
    assert.ok((await policy(folder, 'test', 'pods.yaml', 'policy.yaml', 'wrong', '-o', format)).out.startsWith(start))
  for (const trouble of [['pods.yaml', 'faulty'], ['pods.yaml', 'bad.yaml', 'good'], ['pods.yaml']]) {
    const { out, err, code } = await policy(folder, 'test', ...trouble)
    assert.deepEqual([out, code], ['', 2], trouble.join(' '))
    assert.match(err, /expect: must be one of|99999|PolicyExpectations/)
  }
})

test('policy diff: grouped for people, every row as JSON, and exit codes', async t => {
  const folder = folderOf(t, {
    'old/pods.yaml': PODS,
    'new/pods.yaml': PODS,
    'new/policy.yaml': POLICY,
    'bad.yaml': POLICY.replace('port: http', 'port: 99999'),
  })
  const same = await policy(folder, 'diff', 'old', 'old', '--exit-code')
  assert.deepEqual([same.out, same.err, same.code], ['no pair changes\n', '', 0])
  const changed = await policy(folder, 'diff', 'old', 'new')
  assert.equal(
    changed.out,
    `default/other, another node, world → default/web (3 pairs)
  - any port: allowed → denied
      ingress: no rule allows it; isolated by NetworkPolicy default/web (new/policy.yaml:1)
default/client → default/web
  - any port but 80/TCP: allowed → denied
      ingress: no rule allows it; isolated by NetworkPolicy default/web (new/policy.yaml:1)
4 pairs change
`,
  )
  assert.equal(changed.code, 0)
  const json = await policy(folder, 'diff', 'old', 'new', '--exit-code', '-o', 'json')
  const rows = JSON.parse(json.out) as { from: string; ports: string; old: string; new: string }[]
  assert.ok(rows.every(row => row.old === 'allowed' && row.new === 'denied'))
  assert.deepEqual(
    rows.filter(({ from }) => from === 'default/client').map(({ ports }) => ports),
    ['ICMP', '1-79/TCP', '81-65535/TCP', 'UDP', 'ICMPv6', 'SCTP', 'other protocols'],
  )
  assert.equal(json.code, 1)
  const always = await policy(folder, 'diff', 'old', 'new', '--policy-enforcement', 'always')
  assert.equal(always.out, 'no pair changes\n', 'who may send nothing is stopped before and after')
  assert.equal((await policy(folder, 'diff', 'old', 'bad.yaml')).code, 2)
  assert.equal((await policy(folder, 'diff', 'old')).code, 2)
})

test('policy lint: findings with ids, and exit codes', async t => {
  const folder = folderOf(t, {
    'pods.yaml': PODS,
    'good.yaml': POLICY,
    'wide.yaml': POLICY.replace('- from: [{podSelector: {matchLabels: {app: client}}}]\n    ports', '- ports'),
    'bad.yaml': POLICY.replace('port: http', 'port: 99999'),
  })
  const good = await policy(folder, 'lint', 'pods.yaml', 'good.yaml')
  assert.deepEqual([good.out, good.err, good.code], ['1 policy: nothing found\n', '', 0])
  const wide = await policy(folder, 'lint', 'pods.yaml', 'wide.yaml')
  assert.match(
    wide.out,
    /^wide\.yaml:7:5: warning: NetworkPolicy default\/web: spec\.ingress\[0\]: has no from: .* \[any-peer\]\n1 policy: 1 finding\n$/,
  )
  assert.equal(wide.code, 1)
  const json = await policy(folder, 'lint', 'pods.yaml', 'wide.yaml', '-o', 'json', '--warn-only')
  const [found] = JSON.parse(json.out) as [{ id: string; file: string; line: number }]
  assert.deepEqual([found.id, found.file, found.line, json.code], ['any-peer', 'wide.yaml', 7, 0])
  assert.equal((await policy(folder, 'lint', 'pods.yaml', 'wide.yaml', '--disable', 'tie,any-peer')).code, 0)
  assert.match((await policy(folder, 'lint', 'good.yaml')).err, /no pods among the manifests/)
  for (const wrong of [['pods.yaml', '--disable', 'any-per'], ['bad.yaml'], []]) {
    const { out, err, code } = await policy(folder, 'lint', ...wrong)
    assert.deepEqual([out, code], ['', 2])
    assert.match(err, /there is no "any-per"|99999|missing required argument/)
  }
})
