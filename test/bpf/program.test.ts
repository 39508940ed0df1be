// Test runs of programs, statistics, and the answer of types that cannot be run.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { BpfError, countProgramRuns, type LoadedObject, loadObject, Program } from '../../src/bpf/index.ts'
import { frame, loadSpec, needsRoot, temporaryNamespace } from './support.ts'

describe('program', { skip: needsRoot }, () => {
  let object: LoadedObject
  before(() => {
    object = loadObject(loadSpec('programs'))
  })
  after(() => object?.close())

  test('packet and context go in and come out', () => {
    const result = object.program('rewrite').testRun({
      packet: frame(100),
      context: { mark: 41, ingress_ifindex: 7, cb: [1, 2, 3, 4, 5], priority: 6, tstamp: 99n },
    })
    assert.equal(result.returnValue, -1)
    assert.equal(result.packet.length, 100)
    assert.equal(result.packet[0], 0xee)
    assert.deepEqual([...result.packet.subarray(1)], [...frame(100).subarray(1)])
    assert.equal(result.context.mark, 42)
    assert.deepEqual(result.context.cb, [7, 4, 3, 4, 5])
    assert.equal(result.context.priority, 6)
    assert.equal(result.context.tstamp, 99n)
  })

  test('a device in the context must exist in the namespace of the caller', () => {
    using namespace = temporaryNamespace()
    namespace.ip('link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'a1')
    const ifindex = namespace.ifindex('a0')
    const run = (index: number) => object.program('rewrite').testRun({ packet: frame(), context: { ifindex: index } })
    assert.equal(namespace.inside(() => run(ifindex)).context.ifindex, ifindex)
    assert.throws(
      () => namespace.inside(() => run(9999)),
      (error: unknown) => error instanceof BpfError && error.code === 'ENODEV',
    )
  })

  test('repeat measures', () => {
    const { durationNs } = object.program('constant').testRun({ packet: frame(), repeat: 1000 })
    assert.ok(durationNs >= 0)
  })

  test('XDP, sk_lookup', () => {
    assert.equal(object.program('xdp_drop').testRun({ packet: frame() }).returnValue, 1)
    const lookup = new Uint8Array(72)
    new DataView(lookup.buffer).setUint32(8, 2, true)
    new DataView(lookup.buffer).setUint32(12, 6, true)
    assert.equal(object.program('steer').testRun({ context: lookup }).returnValue, 1)
  })

  test('a type that cannot be run, a frame that is none', () => {
    const failsWith = (code: string) => (error: unknown) => error instanceof BpfError && error.code === code
    assert.throws(() => object.program('allow_connect').testRun({ context: new Uint8Array(72) }), failsWith('ENOTSUPP'))
    assert.throws(() => object.program('constant').testRun({ packet: new Uint8Array(10) }), failsWith('EINVAL'))
    assert.throws(() => object.program('constant').testRun({ packet: frame(64), outputSize: 10 }), failsWith('ENOSPC'))
  })

  test('runs are counted while somebody asks for it', () => {
    const count = object.program('count')
    {
      using resources = new DisposableStack()
      resources.use(countProgramRuns())
      const before = count.info().runCount
      count.testRun({ packet: frame(), repeat: 50 })
      assert.equal(count.info().runCount - before, 50n)
    }
    const after = count.info().runCount
    count.testRun({ packet: frame(), repeat: 50 })
    assert.equal(count.info().runCount, after)
  })

  test('is found by its id, and gone after close', () => {
    const program = Program.byId(object.program('constant').id)
    assert.equal(program.name, 'constant')
    program.close()
    program.close()
    assert.throws(
      () => program.info(),
      (error: unknown) => error instanceof BpfError && error.code === 'EBADFD',
    )
  })
})
