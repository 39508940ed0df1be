// The object store: what is kept of a user's text, where its positions point, whose
// files are left alone, and that no name leaves the folder.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type ManifestObject, objectKey, objectName, parseManifests, problemOf } from '../manifests/index.ts'
import { fileNameOf, ObjectStore } from './objects.ts'

async function withStore(body: (store: ObjectStore, folder: string) => Promise<void> | void): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-objects-'))
  try {
    await body(new ObjectStore(folder), folder)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

const outcomes = (result: ReturnType<ObjectStore['apply']>) =>
  result.outcomes.map(({ object, outcome }) => `${objectName(object)} ${outcome}`)

const USERS_FILE = `# The shop.

---
# Its namespace.
apiVersion: v1
kind: Namespace
metadata:
  name: shop # the name
  labels: {b: "2", a: "1"}

---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata:
    name: web
    namespace: shop
  spec: {containers: [{name: c}]}
# between
- {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop}, spec: {}}
`

test('apply creates, leaves alone and changes; delete deletes; get tells', () =>
  withStore((store, folder) => {
    const first = store.apply(USERS_FILE, 'shop.yaml')
    assert.deepEqual(first.problems, [])
    assert.deepEqual(outcomes(first), ['Namespace shop created', 'Pod shop/web created', 'Pod shop/db created'])
    assert.deepEqual(fs.readdirSync(folder).sort(), ['Namespace__shop.yaml', 'Pod_shop_db.yaml', 'Pod_shop_web.yaml'])
    assert.deepEqual(outcomes(store.apply(USERS_FILE, 'shop.yaml')), [
      'Namespace shop unchanged',
      'Pod shop/web unchanged',
      'Pod shop/db unchanged',
    ])
    assert.deepEqual(
      outcomes(store.apply(USERS_FILE.replace('{containers', '{hostNetwork: true, containers'), 'shop.yaml')),
      ['Namespace shop unchanged', 'Pod shop/web configured', 'Pod shop/db unchanged'],
    )
    assert.deepEqual(
      store.get().map(({ object }) => objectKey(object)),
      ['Namespace//shop', 'Pod/shop/db', 'Pod/shop/web'],
    )
    assert.deepEqual(store.delete(['Pod/shop/db', 'Pod/shop/none']).outcomes, [
      { key: 'Pod/shop/db', outcome: 'deleted' },
      { key: 'Pod/shop/none', outcome: 'not found' },
    ])
    assert.equal(store.get().length, 2)
  }))

test('the text is kept as its author wrote it, with comments and order', () =>
  withStore(store => {
    store.apply(USERS_FILE, 'shop.yaml')
    const texts = Object.fromEntries(store.get().map(({ object, text }) => [objectKey(object), text]))
    assert.equal(
      texts['Namespace//shop'],
      '# Its namespace.\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop # the name\n  labels: {b: "2", a: "1"}\n',
    )
    assert.equal(
      texts['Pod/shop/web'],
      '  apiVersion: v1\n  kind: Pod\n  metadata:\n    name: web\n    namespace: shop\n  spec: {containers: [{name: c}]}\n',
    )
  }))

/** Every path inside a value. */
function* pathsOf(value: unknown, at: readonly (string | number)[] = []): Generator<readonly (string | number)[]> {
  yield at
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value))
    yield* pathsOf(inner, [...at, Array.isArray(value) ? Number(key) : key])
}

function assertSamePlaces(stored: ManifestObject, original: ManifestObject) {
  assert.deepEqual(stored.content, original.content)
  assert.deepEqual(stored.origin, original.origin)
  for (const at of pathsOf(original.content)) {
    assert.deepEqual(stored.position(at), original.position(at), `${objectName(original)} ${at.join('.')}`)
  }
}

test("positions of stored objects are those of the user's file, also after a detour", () =>
  withStore((store, folder) => {
    store.apply(USERS_FILE, 'dir/shop file.yaml')
    const originals = new Map(
      parseManifests(USERS_FILE, 'dir/shop file.yaml').objects.map(object => [objectKey(object), object]),
    )
    for (const { object } of store.get()) assertSamePlaces(object, originals.get(objectKey(object)) ?? assert.fail())
    // What one store holds, applied to another.
    const other = fs.mkdtempSync(path.join(folder, 'other-'))
    for (const name of fs.readdirSync(folder).filter(name => name.endsWith('.yaml'))) {
      new ObjectStore(other).apply(fs.readFileSync(path.join(folder, name), 'utf8'), name)
    }
    for (const { object, text } of new ObjectStore(other).get()) {
      assertSamePlaces(object, originals.get(objectKey(object)) ?? assert.fail())
      assert.ok(!text.includes('origin='))
    }
  }))

test('an object that cannot stand alone is stored on one line, in the right place', () =>
  withStore(store => {
    const text = `apiVersion: v1
kind: List
items:
- &web
  apiVersion: v1
  kind: Pod
  metadata: {name: a}
- <<: *web
  metadata: {name: b}
---
kind: PodList
apiVersion: v1
items:
- metadata: {name: c}
`
    assert.deepEqual(outcomes(store.apply(text, 'f.yaml')), [
      'Pod default/a created',
      'Pod default/b created',
      'Pod default/c created',
    ])
    assert.deepEqual(
      store.get().map(({ object }) => [object.metadata.name, object.kind, object.origin.line]),
      [
        ['a', 'Pod', 5],
        ['b', 'Pod', 8],
        ['c', 'Pod', 14],
      ],
    )
  }))

test('an object that is refused is not stored and does not keep others out', () =>
  withStore((store, folder) => {
    const text = `${USERS_FILE}---\napiVersion: v1\nkind: Pod\nmetadata: {name: Bad}\n`
    const result = store.apply(text, 'shop.yaml', object =>
      object.metadata.name === 'db'
        ? [problemOf(object, 'error', ['spec'], 'must be better')]
        : [problemOf(object, 'warning', [], 'hm')],
    )
    assert.deepEqual(outcomes(result), ['Namespace shop created', 'Pod shop/web created', 'Pod shop/db refused'])
    assert.deepEqual(
      result.problems
        .filter(problem => problem.severity === 'error')
        .map(({ line, column, object, path }) => [line, column, object, path]),
      [
        [26, 12, 'Pod default/Bad', 'metadata.name'],
        [22, 70, 'Pod shop/db', 'spec'],
      ],
    )
    assert.deepEqual(fs.readdirSync(folder).sort(), ['Namespace__shop.yaml', 'Pod_shop_web.yaml'])
  }))

test('files that others put into the folder are told, but not touched', () =>
  withStore((store, folder) => {
    const own = path.join(folder, 'mine.yaml')
    fs.writeFileSync(own, USERS_FILE)
    assert.equal(store.get().length, 3)
    const applied = store.apply(USERS_FILE, 'shop.yaml')
    assert.ok(applied.outcomes.every(({ outcome }) => outcome === 'refused'))
    assert.match(applied.problems[0]?.message ?? '', /is declared in .*mine\.yaml; change it there/)
    const deleted = store.delete(['Pod/shop/web'])
    assert.deepEqual(deleted.outcomes, [{ key: 'Pod/shop/web', outcome: 'refused' }])
    assert.match(deleted.problems[0]?.message ?? '', /remove it there/)
    assert.equal(fs.readFileSync(own, 'utf8'), USERS_FILE)
  }))

test('the same object twice in a text: the last one counts, as with kubectl', () =>
  withStore(store => {
    const pod = (label: string) => `apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {v: ${label}}}\n`
    assert.deepEqual(outcomes(store.apply(`${pod('one')}---\n${pod('two')}`, 'f.yaml')), [
      'Pod default/a created',
      'Pod default/a configured',
    ])
    assert.deepEqual(store.get()[0]?.object.metadata.labels, { v: 'two' })
  }))

test('no key leaves the folder, no two share a file, and every name is short enough', () => {
  const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map(parts =>
    parts
      .join('.')
      .slice(0, 253)
      .replace(/[-.]+$/, 'x'),
  )
  const key = fc.tuple(
    fc.constantFrom('Pod', 'NetworkPolicy.networking.k8s.io'),
    fc.oneof(fc.constant(''), label),
    name,
  )
  fc.assert(
    fc.property(key, key, (a, b) => {
      const [keyA, keyB] = [a.join('/'), b.join('/')]
      assert.equal(fileNameOf(keyA) === fileNameOf(keyB), keyA === keyB)
      assert.ok(path.basename(fileNameOf(keyA)) === fileNameOf(keyA) && fileNameOf(keyA).length <= 255)
    }),
  )
  const long = `NetworkPolicy.networking.k8s.io/${'n'.repeat(63)}/${'x'.repeat(250)}`
  assert.notEqual(fileNameOf(`${long}a`), fileNameOf(`${long}b`))
  for (const hostile of [
    '../../etc/passwd',
    'Pod/../x',
    'Pod/a/../../b',
    'Pod/a/b/c',
    'Pod/a/',
    '.hidden/a/b',
    'Pod/a/b\0',
  ]) {
    assert.throws(() => fileNameOf(hostile), /not the key/)
  }
})

test('a folder that is not there is an error with its name', () => {
  assert.throws(() => new ObjectStore('/nonexistent/axoneme').apply(USERS_FILE, 'f'), {
    code: 'ENOENT',
    message: /\/nonexistent\/axoneme/,
  })
})

test('a write is atomic: no reader sees a part, and nothing is left behind', () =>
  withStore((store, folder) => {
    const text = (filler: string) =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {x: "${filler.repeat(100_000)}"}}\n`
    store.apply(text('a'), 'f.yaml')
    const file = path.join(folder, 'Pod_default_a.yaml')
    const before = fs.openSync(file, 'r')
    store.apply(text('b'), 'f.yaml')
    // Who had the file open keeps the old content whole: the new one is another file.
    assert.match(fs.readFileSync(before, 'utf8'), /aaaa"}}\n$/)
    fs.closeSync(before)
    assert.match(fs.readFileSync(file, 'utf8'), /bbbb"}}\n$/)
    assert.deepEqual(fs.readdirSync(folder), ['Pod_default_a.yaml'])
  }))
