// The command line as a process, without agent or root: answers on standard output,
// faults on standard error, and an exit code.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))

async function axoneme(args: readonly string[], input = '') {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: 'pipe',
    env: { ...process.env, AXONEME_SANDBOX: undefined },
  })
  child.stdin.end(input)
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: child.exitCode }
}

function manifests(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-reach-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), content)
  return folder
}

const pod = (name: string, port: number) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, labels: {app: ${name}}}, spec: {containers: [{name: main, image: x, ports: [{name: http, containerPort: ${port}}]}]}}`
const POLICY = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, spec: {podSelector: {matchLabels: {app: web}},
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]}}`

test('policy reach: every pair and port, from files and standard input', async t => {
  const folder = manifests(t, {
    'client.yaml': pod('client', 81),
    'other.yaml': pod('other', 80),
    'web.yaml': pod('web', 8080),
  })
  const { out, err, code } = await axoneme(
    ['policy', 'reach', '-f', folder, '-', '--ports', 'http/TCP,9/UDP', '-o', 'json'],
    POLICY,
  )
  assert.deepEqual([err, code], ['', 0])
  const rows = JSON.parse(out) as {
    from: string
    to: string
    port: number | string
    protocol: string
    verdict: string
  }[]
  const allowed = rows
    .filter(row => row.verdict === 'allowed')
    .map(row => `${row.from} ${row.to} ${row.port}/${row.protocol}`)
  assert.deepEqual(
    allowed.filter(row => row.includes(' default/web ')),
    ['default/client default/web 8080/TCP'],
  )
  assert.equal(rows.length, 12)
  assert.equal(allowed.length, 9)
})

test('policy reach: a faulty manifest is named with its place, and there is no answer without it', async t => {
  const folder = manifests(t, { 'web.yaml': `${pod('web', 80)}\n---\n${POLICY.replace('port: http', 'port: 70000')}` })
  const { out, err, code } = await axoneme(['policy', 'reach', '-f', folder, '--ports', '80/TCP'])
  assert.deepEqual([out, code], ['', 1])
  assert.match(err, /web\.yaml:4:\d+: error: NetworkPolicy default\/web: spec\.ingress\[0\]\.ports\[0\]\.port: .*70000/)
  assert.match(err, /axoneme: 1 error in the manifests; nothing was done\n$/)
})

test('what cannot be is said in a line, with the way on', async t => {
  const cases: readonly { readonly name: string; readonly args: readonly string[]; readonly says: RegExp }[] = [
    { name: 'a command that is none', args: ['statu'], says: /unknown command 'statu'\n\(Did you mean status\?\)/ },
    {
      name: 'a port that is none',
      args: ['policy', 'reach', '-f', '.', '--ports', '80/TPC'],
      says: /option '--ports <list>' argument '80\/TPC' is invalid\. .*TPC/,
    },
    {
      name: 'no agent',
      args: ['status', '--socket', '/nowhere/agent.sock'],
      says: /^axoneme: no agent answers at \/nowhere\/agent\.sock: there is no such socket\n.*sandbox up/,
    },
  ]
  await Promise.all(
    cases.map(({ name, args, says }) =>
      t.test(name, async () => {
        const { out, err, code } = await axoneme(args)
        assert.match(err, says)
        assert.deepEqual([out, code], ['', 1])
      }),
    ),
  )
})

test('crds: the definitions as YAML, all or by name', async () => {
  const all = await axoneme(['crds'])
  assert.deepEqual([all.err, all.code], ['', 0])
  const kinds = all.out
    .split('\n---\n')
    .map(text => (parse(text) as { spec: { names: { kind: string } } }).spec.names.kind)
  assert.deepEqual(kinds, [
    'CiliumNetworkPolicy',
    'CiliumClusterwideNetworkPolicy',
    'CiliumCIDRGroup',
    'ClusterNetworkPolicy',
  ])
  const one = await axoneme(['crds', 'CiliumCIDRGroup'])
  assert.match(
    one.out,
    /^apiVersion: apiextensions\.k8s\.io\/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: ciliumcidrgroups\.cilium\.io\n/,
  )
  const none = await axoneme(['crds', 'Pod'])
  assert.equal(none.code, 1)
  assert.match(none.err, /^axoneme: there is no Pod; there are CiliumNetworkPolicy, /)
})
