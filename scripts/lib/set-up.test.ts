// Set-up as a whole on machines made up for it: a refusal changes nothing, and a finished checkout costs and prints nothing.

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { COMMANDS, testArguments } from './commands.js'
import { SetUpError } from './errors.js'
import { readMachine } from './preflight.js'
import { setUp } from './set-up.js'

const WILLING = {
  kernelRelease: '6.6.0',
  userId: 0,
  capabilities: (1n << 41n) - 1n,
  bpf: 'works',
  btf: true,
  cgroup2: 'mounted',
  namespaces: true,
  aptGet: true,
  npm: true,
} as const

function emptyCheckout(context: TestContext): string {
  const root = mkdtempSync(path.join(os.tmpdir(), 'axoneme-set-up-'))
  context.after(() => rmSync(root, { recursive: true }))
  writeFileSync(
    path.join(root, 'package-lock.json'),
    JSON.stringify({ packages: { '': {}, 'node_modules/a': { version: '1.0.0' } } }),
  )
  return root
}

const NO_PROGRESS = { step: () => assert.fail('a step was begun') }

const refusals: readonly { name: string; machine: object; want: RegExp }[] = [
  { name: 'not root', machine: { userId: 65534 }, want: /^cannot run the demo: it needs root/ },
  { name: 'an old kernel', machine: { kernelRelease: '5.10.0' }, want: /kernel 5\.15/ },
  { name: 'no BPF', machine: { bpf: 'missing' }, want: /bpf\(2\)/ },
  { name: 'no apt-get', machine: { aptGet: false }, want: /apt-get/ },
]

for (const { name, machine, want } of refusals) {
  test(`set-up refuses ${name}, in one message, and leaves the checkout as it was`, async context => {
    const root = emptyCheckout(context)
    const purpose = COMMANDS['demo']?.purpose
    assert.ok(purpose)
    const failure: unknown = await setUp(purpose, {
      root,
      progress: NO_PROGRESS,
      say: assert.fail,
      searchPath: '/nowhere',
      machine: { ...readMachine('/nowhere'), ...WILLING, ...machine },
    }).catch((error: unknown) => error)
    assert.ok(failure instanceof SetUpError, String(failure))
    assert.match(failure.message, want)
    assert.match(failure.message, /Nothing was changed\.$/)
    assert.deepEqual(readdirSync(root), ['package-lock.json'])
  })
}

test('a check without the compiler says that it leaves the build out', async context => {
  const root = emptyCheckout(context)
  cpSync(path.join(import.meta.dirname, '../../bpf'), path.join(root, 'bpf'), { recursive: true })
  const said: string[] = []
  await setUp(
    {
      name: 'check',
      kernel: false,
      root: false,
      debianPackages: [],
      npmPackages: false,
      build: 'if possible',
      dist: false,
    },
    {
      root,
      progress: NO_PROGRESS,
      say: message => said.push(message),
      searchPath: '/nowhere',
      machine: { ...readMachine('/nowhere'), userId: 65534 },
    },
  )
  assert.match(said.join('\n'), /^not compiled: .*npm run setup/)
  assert.deepEqual(readdirSync(root).toSorted(), ['bpf', 'package-lock.json'])
})

test('arguments of the tests: options are added, files replace the usual ones', () => {
  const usual = testArguments([])
  assert.equal(usual[0], '--test')
  assert.ok(usual.includes('test/**/*.test.ts'))
  const chosen = testArguments(['--test-name-pattern=deny', 'test/net/links.test.ts'])
  assert.ok(chosen.includes('--test-name-pattern=deny'))
  assert.deepEqual(
    chosen.filter(argument => !argument.startsWith('-')),
    ['test/net/links.test.ts'],
  )
})
