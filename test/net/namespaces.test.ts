// Network namespaces against the kernel: enter, return, create, delete.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import {
  createNamespace,
  deleteNamespace,
  Namespace,
  readSysctl,
  withNamespace,
  writeSysctl,
  writeSysctls,
} from '../../src/net/index.ts'
import { freshNamespace, needsRoot, outputInside } from './fixture.ts'

const home = (): number => {
  using current = Namespace.current()
  return current.inode
}

describe('network namespaces', needsRoot, () => {
  test('a new one is another one, and making it does not move this thread', () => {
    const before = home()
    using one = createNamespace()
    using two = createNamespace()
    assert.equal(home(), before)
    assert.notEqual(one.inode, before)
    assert.ok(!one.isSame(two))
    using again = Namespace.open(`/proc/self/fd/${one.fd}`)
    assert.ok(one.isSame(again))
  })

  test('code runs inside, nested too, and comes back', () => {
    const before = home()
    using outer = createNamespace()
    using inner = createNamespace()
    const seen = withNamespace(outer, () => [home(), withNamespace(inner, home), home()])
    assert.deepEqual(seen, [outer.inode, inner.inode, outer.inode])
    assert.equal(home(), before)
  })

  test('an error comes out, and the thread is back', () => {
    const before = home()
    using namespace = createNamespace()
    assert.throws(
      () =>
        withNamespace(namespace, () => {
          throw new RangeError('inside')
        }),
      RangeError,
    )
    assert.equal(home(), before)
  })

  test('async bodies are refused by the compiler and at run time', () => {
    const before = home()
    using namespace = createNamespace()
    let ran = false
    const asyncBody = async (): Promise<void> => {
      ran = true
    }
    // @ts-expect-error an async function returns a promise
    assert.throws(() => withNamespace(namespace, asyncBody), TypeError)
    assert.equal(ran, false)
    // @ts-expect-error a plain function may return one too
    assert.throws(() => withNamespace(namespace, () => Promise.resolve(1)), TypeError)
    assert.equal(home(), before)
  })

  test('one kept at a path outlives its descriptor and ends with deleteNamespace', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-net-'))
    const file = path.join(folder, 'node1')
    try {
      const created = createNamespace({ path: file })
      created.close()
      using opened = Namespace.open(file)
      assert.equal(opened.inode, created.inode)
      assert.throws(() => createNamespace({ path: file }), { code: 'EEXIST' })
      deleteNamespace(file)
      assert.equal(fs.existsSync(file), false)
      deleteNamespace(file)
    } finally {
      deleteNamespace(file)
      fs.rmdirSync(folder)
    }
  })

  test("a process's namespace is found by its number", async () => {
    using namespace = createNamespace()
    const child = withNamespace(namespace, () => spawn('sleep', ['60'], { stdio: 'ignore' }))
    try {
      assert.ok(child.pid)
      using found = Namespace.ofProcess(child.pid)
      assert.ok(found.isSame(namespace))
    } finally {
      child.kill()
      await once(child, 'close')
    }
  })

  test('what is no namespace is refused', () => {
    assert.throws(() => Namespace.open('/nowhere'), { name: 'SystemError', code: 'ENOENT' })
    assert.throws(() => Namespace.open('/etc/hostname'), { name: 'SystemError', code: 'EINVAL' })
    using mountNamespace = Namespace.open('/proc/self/ns/mnt')
    assert.throws(() => withNamespace(mountNamespace, () => 1), { name: 'SystemError', code: 'EINVAL' })
  })

  test('settings belong to their namespace', async t => {
    const here = readSysctl(freshNamespace(t).namespace, 'net/ipv4/ip_forward')
    const { namespace } = freshNamespace(t)
    writeSysctl(namespace, 'net/ipv4/ip_forward', here === '1' ? 0 : 1)
    assert.notEqual(readSysctl(namespace, 'net/ipv4/ip_forward'), here)
    assert.equal(
      (await outputInside(namespace, 'cat', ['/proc/sys/net/ipv4/ip_forward'])).trim(),
      here === '1' ? '0' : '1',
    )
    writeSysctls(namespace, { 'net/ipv4/conf/all/rp_filter': 2, 'net/ipv6/conf/lo/disable_ipv6': 1 })
    assert.equal(readSysctl(namespace, 'net/ipv4/conf/all/rp_filter'), '2')
    assert.throws(() => writeSysctl(namespace, 'net/ipv4/no_such_thing', 1), { name: 'SystemError', code: 'ENOENT' })
    assert.throws(() => writeSysctl(namespace, 'net/ipv4/ip_forward', 'yes'), { name: 'SystemError', code: 'EINVAL' })
    assert.throws(() => writeSysctl(namespace, 'kernel/panic', 1), TypeError)
    assert.throws(() => writeSysctl(namespace, 'net/../kernel/panic', 1), TypeError)
  })
})
