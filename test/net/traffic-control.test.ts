// clsact and cls_bpf filters against the kernel.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  addClsact,
  allClsact,
  allFilters,
  createLink,
  deleteClsact,
  deleteFilter,
  replaceFilter,
  setLink,
} from '../../src/net/index.ts'
import { addressOf, bpf, close, keepAlive, stableBuffer } from '../../src/sys/native.ts'
import { freshNamespace, needsRoot } from './fixture.ts'

/** A classifier of two instructions: `return verdict`. */
function loadClassifier(verdict: number): number {
  const instructions = stableBuffer(16)
  instructions.writeUInt8(0xb7, 0)
  instructions.writeInt32LE(verdict, 4)
  instructions.writeUInt8(0x95, 8)
  const license = stableBuffer(4)
  license.write('GPL')
  const attr = stableBuffer(48)
  attr.writeUInt32LE(3, 0)
  attr.writeUInt32LE(2, 4)
  attr.writeBigUInt64LE(addressOf(instructions), 8)
  attr.writeBigUInt64LE(addressOf(license), 16)
  const fd = bpf(5, attr)
  keepAlive([instructions, license])
  assert.ok(fd >= 0, `BPF_PROG_LOAD: ${fd}`)
  return fd
}

describe('traffic control', needsRoot, () => {
  test('a filter on both directions: add, replace, list, delete', t => {
    const { netlink } = freshNamespace(t)
    const programs = [loadClassifier(0), loadClassifier(2)] as const
    t.after(() => programs.forEach(close))
    netlink.run(
      createLink({ kind: 'veth', name: 'eth0', index: 50, up: true, peer: { name: 'far0', index: 51 } }),
      setLink({ index: 51 }, { up: true }),
    )
    assert.deepEqual(netlink.list(allClsact({ index: 50 })), [])
    netlink.run(addClsact(50))
    assert.deepEqual(netlink.list(allClsact({ index: 50 })), [50])
    assert.deepEqual(netlink.list(allClsact({ index: 51 })), [])
    assert.throws(() => netlink.run(addClsact(50)), { code: 'EEXIST' })

    for (const direction of ['ingress', 'egress'] as const) {
      const key = { index: 50, direction, priority: 1 }
      const listed = () => netlink.list(allFilters({ index: 50, direction }))
      netlink.run(replaceFilter(key, { fd: programs[0], name: 'pass' }))
      const [before] = listed()
      assert.partialDeepStrictEqual(before, { ...key, handle: 1, name: 'pass', directAction: true })
      netlink.run(replaceFilter(key, { fd: programs[1], name: 'drop' }))
      const after = listed()
      assert.equal(after.length, 1)
      assert.equal(after[0]?.name, 'drop')
      assert.ok(before?.programId && after[0]?.programId && before.programId !== after[0].programId)
      netlink.run(deleteFilter(key))
      assert.deepEqual(listed(), [])
      assert.throws(() => netlink.run(deleteFilter(key)), { code: 'ENOENT' })
      netlink.run(replaceFilter(key, { fd: programs[0], name: 'again' }))
    }
    assert.throws(
      () => netlink.run(replaceFilter({ index: 50, direction: 'ingress', priority: 2 }, { fd: 9999, name: 'bad' })),
      {
        name: 'NetlinkError',
        operation: 'replace filter ingress 2 of link 50 with program bad',
      },
    )
    netlink.run(deleteClsact(50))
    assert.deepEqual(netlink.list(allClsact({ index: 50 })), [])
    assert.throws(() => netlink.run(deleteClsact(50)), { name: 'NetlinkError' })
  })
})
