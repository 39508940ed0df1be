// Pins on a bpffs of the test's own: what survives, what is replaced in one step,
// and how versions of a schema are kept apart.

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  BpfError,
  createMap,
  loadObject,
  MapMismatchError,
  openPinnedMap,
  openPinnedProgram,
  PinDirectory,
  pinObject,
  replacePin,
  SchemaVersionError,
} from '../../src/bpf/index.ts'
import { loadSpec, needsRoot, temporaryBpffs } from './support.ts'

const failsWith = (code: string) => (error: unknown) => error instanceof BpfError && error.code === code

describe('pins', { skip: needsRoot }, () => {
  const maps = () => loadSpec('maps')
  const spec = (name: string) => {
    const found = maps().maps.get(name)
    assert.ok(found)
    return found
  }

  test('a pinned map keeps its content without a process', () => {
    using bpffs = temporaryBpffs()
    const path = join(bpffs.path, 'kept')
    {
      using map = createMap<number, bigint>(spec('a_hash'))
      map.set(1, 11n)
      pinObject(map, path)
      assert.throws(() => pinObject(map, path), failsWith('EEXIST'))
    }
    using again = openPinnedMap<number, bigint>(path, spec('a_hash'))
    assert.equal(again.get(1), 11n)
    assert.throws(() => openPinnedMap(join(bpffs.path, 'absent')), failsWith('ENOENT'))
  })

  test('a pin is replaced in one step', () => {
    using bpffs = temporaryBpffs()
    mkdirSync(join(bpffs.path, 'folder'))
    const path = join(bpffs.path, 'folder', 'kept')
    using first = createMap(spec('a_hash'))
    using second = createMap(spec('a_hash'))
    replacePin(first, path)
    replacePin(second, path)
    using found = openPinnedMap(path)
    assert.equal(found.id, second.id)
    assert.deepEqual(readdirSync(join(bpffs.path, 'folder')), ['kept'])
  })

  test('programs can be pinned', () => {
    using bpffs = temporaryBpffs()
    const path = join(bpffs.path, 'program')
    using object = loadObject(loadSpec('programs'), { programs: ['constant'] })
    pinObject(object.program('constant'), path)
    using program = openPinnedProgram(path)
    assert.equal(program.id, object.program('constant').id)
  })

  test('outside a bpffs the error says what is wrong', () => {
    const folder = mkdtempSync(join(tmpdir(), 'axo-no-bpffs-'))
    try {
      using map = createMap(spec('a_hash'))
      assert.throws(() => pinObject(map, join(folder, 'x')), /not in a bpffs/)
      assert.throws(() => PinDirectory.open(folder, 1), /not in a bpffs/)
    } finally {
      rmdirSync(folder)
    }
  })

  test('a directory: pin, list, open, replace, remove', () => {
    using bpffs = temporaryBpffs()
    const pins = PinDirectory.open(join(bpffs.path, 'axoneme'), 1)
    using map = createMap<number, bigint>(spec('a_hash'))
    using other = createMap(spec('a_hash'))
    pins.pin('b', map)
    pins.pin('a', other)
    pins.folder('links')
    assert.deepEqual(pins.list(), ['a', 'b'])
    pins.replace('a', map)
    using found = pins.openMap<number, bigint>('a', spec('a_hash'))
    assert.equal(found?.id, map.id)
    assert.equal(pins.openMap('absent'), undefined)
    assert.equal(pins.openLink('absent'), undefined)
    assert.throws(() => pins.openLink('a'), BpfError)
    assert.throws(() => pins.pin('a.b', map), /letters, digits/)
    assert.throws(() => pins.pin('../x', map), /letters, digits/)
    assert.equal(pins.remove('a'), true)
    assert.equal(pins.remove('a'), false)
    pins.removeAll()
    assert.deepEqual(PinDirectory.versions(join(bpffs.path, 'axoneme')), [])
  })

  test('another schema version is refused, or left alone', () => {
    using bpffs = temporaryBpffs()
    const path = join(bpffs.path, 'axoneme')
    using map = createMap(spec('a_hash'))
    PinDirectory.open(path, 1).pin('a', map)
    assert.throws(
      () => PinDirectory.open(path, 2),
      (error: unknown) => {
        assert.ok(error instanceof SchemaVersionError)
        assert.deepEqual([error.wanted, error.found], [2, [1]])
        return true
      },
    )
    const second = PinDirectory.open(path, 2, { otherVersions: 'keep' })
    assert.deepEqual(second.list(), [])
    second.pin('a', map)
    assert.deepEqual(PinDirectory.versions(path), [1, 2])
    PinDirectory.removeVersion(path, 1)
    assert.deepEqual(PinDirectory.open(path, 2).list(), ['a'])
  })

  test('an object finds its pinned maps again; a changed declaration is refused', () => {
    using bpffs = temporaryBpffs()
    const pins = PinDirectory.open(bpffs.path, 1)
    {
      using object = loadObject(maps(), { pins })
      object.map<number, bigint>('a_hash').set(5, 55n)
      assert.deepEqual(pins.list(), ['a_hash'], 'only what is declared to be pinned')
    }
    {
      using object = loadObject(maps(), { pins, pinned: ['a_hash', 'an_array'] })
      assert.equal(object.map<number, bigint>('a_hash').get(5), 55n)
      assert.deepEqual(pins.list(), ['a_hash', 'an_array'])
    }
    assert.throws(
      () => loadObject(maps(), { pins, maxEntries: { a_hash: 9 } }),
      (error: unknown) => error instanceof MapMismatchError && error.field === 'maxEntries' && error.found === 8,
    )
  })

  test('a pin of another layout is refused before anything is loaded', () => {
    using bpffs = temporaryBpffs()
    const pins = PinDirectory.open(bpffs.path, 1)
    using other = createMap(spec('untyped'))
    pins.pin('a_hash', other)
    assert.throws(
      () => loadObject(maps(), { pins }),
      (error: unknown) => error instanceof MapMismatchError && error.map === 'a_hash' && error.field === 'keySize',
    )
  })

  test('a load that fails pins nothing', () => {
    using bpffs = temporaryBpffs()
    const pins = PinDirectory.open(bpffs.path, 1)
    assert.throws(() => loadObject(maps(), { pins, maxEntries: { a_ring: 5 } }), failsWith('EINVAL'))
    assert.deepEqual(pins.list(), [])
  })
})
