// Which packages are found missing, and what apt-get is asked for, with an apt-get of our own that writes down its arguments.

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { DEBIAN_PACKAGES, findMissing, installDebianPackages } from './debian-packages.js'

/** @param script body of the apt-get, which runs with its own folder as $here */
function fakeMachine(context: TestContext, script: string): { folder: string; searchPath: string } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'axoneme-apt-'))
  context.after(() => rmSync(folder, { recursive: true }))
  mkdirSync(path.join(folder, 'lists'))
  const file = path.join(folder, 'apt-get')
  writeFileSync(file, `#!/bin/sh\nhere=${folder}\necho "$@" >> $here/log\n${script}\n`)
  chmodSync(file, 0o755)
  return { folder, searchPath: folder }
}

const TOOL = { name: 'tool', for: 'build', programs: ['tool'] } as const
// A shell without a search path still has these.
const MAKE_TOOL = `case "$*" in *install*) printf '#!/bin/sh\\n' > $here/tool; /bin/chmod +x $here/tool;; esac`
const log = (folder: string): string[] =>
  readFileSync(path.join(folder, 'log'), 'utf8')
    .trim()
    .split('\n')
    .map(line => line.replace(/-o \S+ /g, ''))

test('a package is missing when one of its programs or files is', context => {
  const { folder, searchPath } = fakeMachine(context, '')
  const packages = [
    { name: 'a', for: 'run', programs: ['apt-get'] },
    { name: 'b', for: 'run', programs: ['apt-get', 'absent'] },
    { name: 'c', for: 'build', files: [path.join(folder, 'apt-get')] },
    { name: 'd', for: 'build', files: [path.join(folder, 'absent')] },
  ] as const
  assert.deepEqual(
    findMissing(packages, { searchPath }).map(({ name }) => name),
    ['b', 'd'],
  )
})

test('an empty machine lacks every package of the list', () => {
  assert.deepEqual(findMissing(DEBIAN_PACKAGES, { searchPath: '/nowhere', exists: () => false }), DEBIAN_PACKAGES)
})

test('lists that are there are not fetched again', async context => {
  const { folder, searchPath } = fakeMachine(context, MAKE_TOOL)
  writeFileSync(path.join(folder, 'lists/debian_main_Packages'), '')
  await installDebianPackages([TOOL], { searchPath, note: () => {}, listsFolder: path.join(folder, 'lists') })
  assert.deepEqual(log(folder), ['install --yes --no-install-recommends tool'])
})

test('lists that are not there are fetched first', async context => {
  const { folder, searchPath } = fakeMachine(context, MAKE_TOOL)
  await installDebianPackages([TOOL], { searchPath, note: () => {}, listsFolder: path.join(folder, 'lists') })
  assert.deepEqual(log(folder), ['update', 'install --yes --no-install-recommends tool'])
})

test('lists that are too old are fetched after the installation failed', async context => {
  const script = `case "$*" in *update*) : > $here/fresh;; *) [ -e $here/fresh ] || exit 100; ${MAKE_TOOL};; esac`
  const { folder, searchPath } = fakeMachine(context, script)
  writeFileSync(path.join(folder, 'lists/debian_main_Packages'), '')
  await installDebianPackages([TOOL], { searchPath, note: () => {}, listsFolder: path.join(folder, 'lists') })
  assert.deepEqual(
    log(folder).map(line => line.split(' ')[0]),
    ['install', 'update', 'install'],
  )
})

test('a failure carries the output of apt-get, and no questions are asked', async context => {
  const { folder, searchPath } = fakeMachine(
    context,
    'echo "E: $DEBIAN_FRONTEND"; read answer && echo "asked"; exit 100',
  )
  const failure: unknown = await installDebianPackages([TOOL], {
    searchPath,
    note: () => {},
    listsFolder: path.join(folder, 'lists'),
  }).catch((error: unknown) => error)
  assert.ok(failure instanceof Error && 'output' in failure)
  assert.match(String(failure.output), /^E: noninteractive\n$/)
})

test('an installation that does not bring the program is a failure', async context => {
  const { folder, searchPath } = fakeMachine(context, '')
  await assert.rejects(
    installDebianPackages([TOOL], { searchPath, note: () => {}, listsFolder: path.join(folder, 'lists') }),
    /still lack.*tool/,
  )
})

test('a service that comes with a package is turned off, and no other', async context => {
  const { folder, searchPath } = fakeMachine(context, MAKE_TOOL)
  for (const name of ['update-rc.d', 'invoke-rc.d']) {
    writeFileSync(path.join(folder, name), `#!/bin/sh\necho ${name} "$@" >> ${folder}/log\n`)
    chmodSync(path.join(folder, name), 0o755)
  }
  const served = { ...TOOL, service: 'toold' }
  const options = { searchPath, note: () => {}, listsFolder: path.join(folder, 'lists') }
  await installDebianPackages([served], options)
  await installDebianPackages([TOOL], options)
  assert.deepEqual(log(folder), [
    'update',
    'install --yes --no-install-recommends tool',
    'update-rc.d toold disable',
    'invoke-rc.d toold stop',
    'update',
    'install --yes --no-install-recommends tool',
  ])
})
