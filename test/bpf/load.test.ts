// Loading objects: what the loader resolves, configures, refuses, and cleans up.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import {
  BpfError,
  CodecError,
  createMap,
  FormatError,
  loadObject,
  MapMismatchError,
  parseObject,
  VerifierError,
} from '../../src/bpf/index.ts'
import { compileText, frame, loadSpec, needsRoot } from './support.ts'

const openDescriptors = (): number => readdirSync('/proc/self/fd').length

describe('load', { skip: needsRoot }, () => {
  const spec = needsRoot ? undefined : loadSpec('programs')
  const load = (options = {}) => {
    assert.ok(spec)
    return loadObject(spec, options)
  }
  const run = (object: ReturnType<typeof load>, name: string, context = {}) =>
    object.program(name).testRun({ packet: frame(), context }).returnValue

  test('constants keep the value of the source, or get the given one', () => {
    using plain = load({ programs: ['constant', 'range'] })
    assert.equal(run(plain, 'constant'), 7)
    assert.equal(run(plain, 'range'), 1)
    using configured = load({ rodata: { verdict: 3, limits: { smallest: 10, largest: 30 }, loud: true } })
    assert.equal(run(configured, 'constant'), 3)
    assert.equal(run(configured, 'range'), 1020)
  })

  test('subprograms, globals and static constants are resolved', () => {
    using object = load({ programs: ['subprograms', 'again'] })
    assert.equal(run(object, 'subprograms'), 64 + 1 + 20 + 40)
    assert.equal(run(object, 'again'), 64 + 2 + 30 + 40 + 64 + 3 + 40)
  })

  test('callbacks and syscall programs run', () => {
    using object = load({ programs: ['loop', 'answer'] })
    assert.equal(object.program('loop').testRun({ context: new Uint8Array(8) }).returnValue, 45)
    const context = new Uint8Array(8)
    new DataView(context.buffer).setUint32(0, 41, true)
    const result = object.program('answer').testRun({ context })
    assert.equal(result.returnValue, 3)
    assert.equal(Buffer.from(result.rawContext).readUInt32LE(4), 42)
  })

  test('a tail call goes where the program array says', () => {
    using object = load({ programs: ['tail', 'constant'] })
    assert.equal(run(object, 'tail'), 99)
    const calls = object.map<number, number, object>('calls')
    calls.set(0, object.program('constant'))
    assert.equal(run(object, 'tail'), 7)
    assert.equal(calls.get(0), object.program('constant').id)
  })

  test('inner maps made at run time serve the program', () => {
    using object = load({ programs: ['look_inside'] })
    assert.equal(run(object, 'look_inside', { mark: 77 }), 100)
    using inner = object.createInnerMap<number, number>('nested', { maxEntries: 16 })
    object.map<number, number, object>('nested').set(77, inner)
    assert.equal(run(object, 'look_inside', { mark: 77 }), 101)
    inner.set(5, 55)
    assert.equal(run(object, 'look_inside', { mark: 77 }), 55)
  })

  test('a program the verifier refuses: the error carries its log with the source line', () => {
    const bad = parseObject(
      compileText('bad', 'SEC("tc") int bad(struct __sk_buff *skb) {\n  return *(int *)(long)skb->data_end;\n}'),
    )
    const before = openDescriptors()
    assert.throws(
      () => loadObject(bad),
      (error: unknown) => {
        assert.ok(error instanceof VerifierError)
        assert.equal(error.code, 'EACCES')
        assert.equal(error.program, 'bad')
        assert.match(error.log, /data_end/)
        assert.match(error.message, /load program bad: EACCES/)
        return true
      },
    )
    assert.equal(openDescriptors(), before, 'everything opened is closed')
  })

  test('a load that fails at any step leaves nothing open', () => {
    const before = openDescriptors()
    assert.throws(() => load({ rodata: { verdict: -1 } }), CodecError)
    assert.throws(() => load({ rodata: { absent: 1 } }), FormatError)
    assert.throws(() => load({ rodata: { packets: 1n } }), /no const volatile global packets/)
    assert.throws(() => load({ maxEntries: { absent: 1 } }), FormatError)
    assert.throws(() => load({ programs: ['absent'] }), FormatError)
    assert.throws(
      () => load({ maxEntries: { events: 100 } }),
      (error: unknown) => error instanceof BpfError && error.code === 'EINVAL' && /events.*ringbuf/.test(error.message),
    )
    assert.equal(openDescriptors(), before)
  })

  test('max_entries can be overridden', () => {
    using object = load({ programs: ['emit'], maxEntries: { events: 4096 } })
    assert.equal(object.map('events').maxEntries, 4096)
  })

  test('a given map is used, and stays open after the object is closed', () => {
    const events = spec?.maps.get('events')
    assert.ok(events)
    using map = createMap(events)
    const object = load({ programs: ['emit'], maps: { events: map } })
    assert.equal(object.map('events'), map)
    object.close()
    assert.ok(map.fd >= 0)
  })

  test('a map that does not fit is refused by the field that differs', () => {
    const events = spec?.maps.get('events')
    assert.ok(events)
    using map = createMap(events, { maxEntries: 8192 })
    assert.throws(
      () => load({ maps: { events: map } }),
      (error: unknown) => {
        assert.ok(error instanceof MapMismatchError)
        assert.deepEqual([error.map, error.field, error.wanted, error.found], ['events', 'maxEntries', 1 << 20, 8192])
        return true
      },
    )
  })

  test('program information', () => {
    using object = load({ programs: ['constant', 'refuse_connect'] })
    const info = object.program('constant').info()
    assert.equal(info.name, 'constant')
    assert.equal(info.type, 'sched_cls')
    assert.match(info.tag, /^[0-9a-f]{16}$/)
    assert.ok(info.translatedSize > 0 && info.verifiedInstructions > 0 && info.memoryBytes > 0)
    assert.ok(object.map('events').memoryBytes >= 1 << 20)
    assert.equal(object.program('refuse_connect').info().type, 'cgroup_sock_addr')
  })
})
