// bin/axoneme in folders made up for it: which Node it takes, what it runs, and what it says when there is nothing to run with.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { ROOT } from './root.js'

const NODE_PACKAGE = `node-linux-${process.arch}`

/** A folder with bin/axoneme and files, each newer than the one before; node tells its version, or its place and arguments. */
function install(
  context: TestContext,
  files: readonly string[],
  { systemVersion = 'v18.0.0', args = ['get', 'two words'] } = {},
) {
  const top = mkdtempSync(path.join(os.tmpdir(), 'axoneme-launcher-'))
  context.after(() => rmSync(top, { recursive: true }))
  const script = `#!/bin/sh\n[ "$1" = --version ] && echo ${systemVersion} || echo "$0" "$@"\n`
  for (const [seconds, file] of ['package/bin/axoneme', 'system/node', ...files].entries()) {
    mkdirSync(path.join(top, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(top, file), script)
    chmodSync(path.join(top, file), 0o755)
    utimesSync(path.join(top, file), seconds, seconds)
  }
  copyFileSync(path.join(ROOT, 'bin/axoneme'), path.join(top, 'package/bin/axoneme'))
  symlinkSync(path.join(top, 'package/bin/axoneme'), path.join(top, 'axoneme'))
  const { status, stdout, stderr } = spawnSync(path.join(top, 'axoneme'), args, {
    encoding: 'utf8',
    env: { PATH: `${top}/system:/usr/bin:/bin` },
  })
  return { status, stdout: stdout.replaceAll(`${top}/`, ''), stderr: stderr.replaceAll(`${top}/`, '') }
}

test('a checkout runs its TypeScript on the Node of its packages', context => {
  const node = `package/node_modules/${NODE_PACKAGE}/bin/node`
  const { status, stdout } = install(context, [node, 'package/src/cli/main.ts'])
  assert.equal(stdout, `${node} package/src/cli/main.ts get two words\n`)
  assert.equal(status, 0)
})

test('a checkout that is compiled runs its JavaScript', context => {
  const node = `package/node_modules/${NODE_PACKAGE}/bin/node`
  const files = [node, 'package/src/cli/main.ts', 'package/src/cli/main.test.ts', 'package/dist/.built']
  assert.equal(install(context, files).stdout, `${node} package/dist/cli/main.js get two words\n`)
})

test('a checkout with a source that is newer than what is compiled runs its TypeScript', context => {
  const node = `package/node_modules/${NODE_PACKAGE}/bin/node`
  const files = [node, 'package/dist/.built', 'package/src/cli/main.ts']
  assert.equal(install(context, files).stdout, `${node} package/src/cli/main.ts get two words\n`)
})

test('a package runs its JavaScript on the Node beside it', context => {
  const node = `${NODE_PACKAGE}/bin/node`
  assert.equal(install(context, [node]).stdout, `${node} package/dist/cli/main.js get two words\n`)
})

test('an agent runs with a small heap', context => {
  const node = `${NODE_PACKAGE}/bin/node`
  assert.equal(
    install(context, [node], { args: ['agent', '--node', 'a b'] }).stdout,
    `${node} --optimize-for-size --max-semi-space-size=4 package/dist/cli/main.js agent --node a b\n`,
  )
})

test('the system’s Node will do when it is new enough', context => {
  const { stdout } = install(context, [], { systemVersion: 'v24.1.0' })
  assert.equal(stdout, 'system/node package/dist/cli/main.js get two words\n')
})

test('without a Node that will do, it says so and what to do', context => {
  const { status, stdout, stderr } = install(context, ['package/src/cli/main.ts'])
  assert.equal(stderr, 'axoneme: Node 24 is missing (this is v18.0.0): run `npm run setup` in package\n')
  assert.equal(stdout, '')
  assert.equal(status, 1)
})

test('a checkout that was not set up says so', context => {
  const { status, stderr } = install(context, ['package/src/cli/main.ts'], { systemVersion: 'v24.1.0' })
  assert.equal(stderr, 'axoneme: not set up: run `npm run setup` in package\n')
  assert.equal(status, 1)
})
