// What is compiled again and when, with a clang and llvm-strip of our own that write down what they are given: an unchanged tree
// compiles nothing, a change compiles what depends on it, and a failure leaves the last good result.

import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { build, findOutdated, listTargets, type SourceFolder } from './build.js'
import { SetUpError } from './errors.js'

const FOLDERS: readonly SourceFolder[] = [
  { folder: 'bpf', makes: 'objects', output: 'build', flags: ['-bpf'] },
  { folder: 'src/tool', makes: 'program', output: 'build', flags: ['-tool'] },
  { folder: 'bench', makes: 'programs', output: 'build', flags: [] },
]

const FILES = {
  'bpf/pod.bpf.c': 'pod',
  'bpf/host.bpf.c': 'host',
  'bpf/lib/map.h': 'map',
  'src/tool/main.c': 'main',
  'src/tool/other.c': 'other',
  'bench/load.c': 'load',
  'bench/notes.md': 'none of our business',
}

// Writes its arguments and the content of its sources to the output; fails when a source says so.
const CLANG = `for a in "$@"; do out=$a; done
for a in "$@"; do case $a in *.c) if /bin/grep -q broken $a; then echo "$a: broken"; exit 1; fi; text="$text $(/bin/cat $a)";; esac; done
echo "$text" > $out`

function checkout(context: TestContext) {
  const root = mkdtempSync(path.join(os.tmpdir(), 'axoneme-build-'))
  context.after(() => rmSync(root, { recursive: true }))
  const put = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    writeFileSync(path.join(root, file), text)
  }
  for (const [file, text] of Object.entries(FILES)) put(file, text)
  for (const [name, script] of Object.entries({ clang: CLANG, 'llvm-strip': 'echo stripped >> $2' })) {
    put(`tools/${name}`, `#!/bin/sh\n${script}\n`)
    chmodSync(path.join(root, 'tools', name), 0o755)
  }
  return {
    root,
    put,
    outdated: () => findOutdated(root, FOLDERS).map(({ output }) => output),
    buildAll: () => build(findOutdated(root, FOLDERS), { root, searchPath: path.join(root, 'tools'), note: () => {} }),
    read: (file: string) => readFileSync(path.join(root, file), 'utf8'),
  }
}

const ALL = ['build/host.o', 'build/pod.o', 'build/tool', 'build/load']

test('targets are found by folder', context => {
  const { root } = checkout(context)
  assert.deepEqual(
    listTargets(root, FOLDERS).map(({ output, sources }) => [output, ...sources]),
    [
      ['build/host.o', 'bpf/host.bpf.c'],
      ['build/pod.o', 'bpf/pod.bpf.c'],
      ['build/tool', 'src/tool/main.c', 'src/tool/other.c'],
      ['build/load', 'bench/load.c'],
    ],
  )
})

test('everything is compiled once, and objects are stripped', async context => {
  const { outdated, buildAll, read } = checkout(context)
  assert.deepEqual(outdated(), ALL)
  await buildAll()
  assert.deepEqual(outdated(), [])
  assert.equal(read('build/pod.o'), ' pod\nstripped\n')
  assert.equal(read('build/tool'), ' main other\n')
})

const changes: readonly { name: string; file: string; want: readonly string[] }[] = [
  { name: 'a source', file: 'bpf/pod.bpf.c', want: ['build/pod.o'] },
  { name: 'a header', file: 'bpf/lib/map.h', want: ['build/host.o', 'build/pod.o'] },
  { name: 'a new header', file: 'bpf/lib/new.h', want: ['build/host.o', 'build/pod.o'] },
  { name: 'a new source of a program', file: 'src/tool/new.c', want: ['build/tool'] },
  { name: 'a document', file: 'bench/notes.md', want: [] },
]

for (const { name, file, want } of changes) {
  test(`a change of ${name} compiles what depends on it`, async context => {
    const { put, outdated, buildAll } = checkout(context)
    await buildAll()
    put(file, 'changed')
    assert.deepEqual(outdated(), want)
    await buildAll()
    assert.deepEqual(outdated(), [])
  })
}

test('a change of flags compiles again, and so does a result that is gone', async context => {
  const { root, outdated, buildAll } = checkout(context)
  await buildAll()
  const [bpf] = FOLDERS
  assert.ok(bpf)
  assert.equal(findOutdated(root, [{ ...bpf, flags: ['-O3'] }]).length, 2)
  rmSync(path.join(root, 'build/load'))
  assert.deepEqual(outdated(), ['build/load'])
})

test('what does not compile is named with the compiler’s output, and the last good result stays', async context => {
  const { root, put, outdated, buildAll, read } = checkout(context)
  await buildAll()
  put('bpf/pod.bpf.c', 'broken')
  put('bpf/host.bpf.c', 'better')
  const failure: unknown = await buildAll().catch((error: unknown) => error)
  assert.ok(failure instanceof SetUpError)
  assert.match(failure.message, /build\/pod\.o/)
  assert.match(failure.output, /bpf\/pod\.bpf\.c: broken/)
  assert.equal(read('build/pod.o'), ' pod\nstripped\n')
  assert.equal(read('build/host.o'), ' better\nstripped\n')
  assert.deepEqual(outdated(), ['build/pod.o'])
  assert.ok(!existsSync(path.join(root, 'build/.work')), readdirSync(path.join(root, 'build')).join(' '))
})
