// Links against the kernel: every verb, in namespaces of the test.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import {
  addAddress,
  allLinks,
  createLink,
  deleteLink,
  type Link,
  linkOf,
  NetlinkError,
  renameLink,
  routeTo,
  setLink,
  watchLinks,
  whenLocal,
  whenRunning,
  withNamespace,
} from '../../src/net/index.ts'
import { freshNamespace, indexOf, needsRoot } from './fixture.ts'

describe('links', needsRoot, () => {
  test('a veth pair into another namespace, in one request', t => {
    const node = freshNamespace(t)
    const pod = freshNamespace(t)
    node.netlink.run(
      createLink({
        kind: 'veth',
        name: 'lxc1',
        index: 501,
        mac: '02:00:00:00:00:01',
        mtu: 1400,
        up: true,
        peer: { name: 'eth0', index: 77, mac: '02:00:00:00:00:02', mtu: 1390, namespace: pod.namespace },
      }),
    )
    pod.netlink.run(setLink({ index: 77 }, { up: true }))
    const near = node.netlink.get(linkOf({ name: 'lxc1' }))
    const far = pod.netlink.get(linkOf({ index: 77 }))
    assert.partialDeepStrictEqual(near, {
      index: 501,
      name: 'lxc1',
      kind: 'veth',
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      up: true,
      carrier: true,
      peerIndex: 77,
      peerNamespaceId: 0,
      master: undefined,
      vxlan: undefined,
    })
    assert.partialDeepStrictEqual(far, {
      index: 77,
      name: 'eth0',
      mac: '02:00:00:00:00:02',
      mtu: 1390,
      up: true,
      peerIndex: 501,
    })
    assert.equal(node.netlink.get(linkOf({ name: 'eth0' })), undefined)
    pod.netlink.run(deleteLink({ name: 'eth0' }))
    assert.equal(node.netlink.get(linkOf({ index: 501 })), undefined)
  })

  test("a veth pair's peer by the number of a process", t => {
    const { netlink } = freshNamespace(t)
    // This process's own namespace would get the device: so both ends stay in the fresh one by descriptor, and the number is refused.
    const spec = { kind: 'veth', name: 'a', peer: { name: 'b', namespace: { pid: 0x3ffffffe } } } as const
    assert.throws(() => netlink.run(createLink(spec)), { code: 'ESRCH' })
  })

  test('every change of a link', t => {
    const one = freshNamespace(t)
    const two = freshNamespace(t)
    one.netlink.run(
      createLink({ kind: 'bridge', name: 'switch', up: true, multicastSnooping: false, spanningTree: false }),
      createLink({ kind: 'veth', name: 'a', peer: { name: 'b' } }),
    )
    const bridge = indexOf(one, 'switch')
    const index = indexOf(one, 'a')
    const link = (): Link | undefined => one.netlink.get(linkOf({ index }))
    assert.equal(link()?.peerIndex, indexOf(one, 'b'))
    assert.equal(link()?.up, false)
    one.netlink.run(
      setLink(
        { name: 'a' },
        {
          up: true,
          mtu: 1280,
          mac: '02:00:00:00:00:0a',
          master: bridge,
          alias: 'x',
          promiscuous: true,
          transmitQueueLength: 7,
        },
      ),
    )
    assert.partialDeepStrictEqual(link(), {
      up: true,
      carrier: false,
      mtu: 1280,
      mac: '02:00:00:00:00:0a',
      master: bridge,
      alias: 'x',
    })
    assert.ok((link()?.flags ?? 0) & 0x100)
    one.netlink.run(setLink({ name: 'b' }, { up: true }))
    assert.equal(link()?.carrier, true)
    one.netlink.run(setLink({ index }, { master: 0, up: false, promiscuous: false }))
    assert.partialDeepStrictEqual(link(), { up: false, master: undefined })
    assert.equal((link()?.flags ?? 0) & 0x100, 0)
    one.netlink.run(renameLink(index, 'renamed'))
    assert.equal(link()?.name, 'renamed')
    one.netlink.run(setLink({ index }, { namespace: two.namespace }))
    assert.equal(link(), undefined)
    assert.ok(two.netlink.get(linkOf({ name: 'renamed' })))
  })

  test('vxlan devices', t => {
    const { netlink } = freshNamespace(t)
    netlink.run(
      createLink({
        kind: 'vxlan',
        name: 'overlay',
        collectMetadata: true,
        port: 8472,
        mtu: 1450,
        up: true,
        udpZeroChecksum6: true,
      }),
      createLink({ kind: 'vxlan', name: 'vx42', id: 42, local: '127.0.0.1', remote: '127.0.0.2', ttl: 9 }),
      createLink({ kind: 'vxlan', name: 'vx6', id: 6, local: '::1', remote: 'fd00::1', port: 4790 }),
    )
    const vxlan = (name: string) => netlink.get(linkOf({ name }))?.vxlan
    assert.deepEqual(vxlan('overlay'), { id: 0, port: 8472, collectMetadata: true })
    assert.deepEqual(vxlan('vx42'), { id: 42, port: 4789, collectMetadata: false })
    assert.deepEqual(vxlan('vx6'), { id: 6, port: 4790, collectMetadata: false })
  })

  test("errors say what was attempted and the kernel's reason", t => {
    const { netlink } = freshNamespace(t)
    netlink.run(createLink({ kind: 'bridge', name: 'switch' }))
    const failure = (request: ReturnType<typeof createLink>): NetlinkError => {
      const [error] = netlink.attempt([request])
      assert.ok(error instanceof NetlinkError)
      return error
    }
    assert.equal(failure(createLink({ kind: 'bridge', name: 'switch' })).message, 'create bridge switch: EEXIST')
    const tooSmall = failure(setLink({ name: 'switch' }, { mtu: 10 }))
    assert.equal(tooSmall.message, 'set link switch: mtu: EINVAL: mtu less than device minimum')
    assert.equal(tooSmall.kernelMessage, 'mtu less than device minimum')
    assert.equal(failure(deleteLink({ index: 9999 })).code, 'ENODEV')
    assert.equal(failure(createLink({ kind: 'vxlan', name: 'v', id: 1 << 25 })).code, 'ERANGE')
    assert.throws(() => createLink({ kind: 'dummy', name: 'd', mac: '1:2:3' }), { name: 'AddressSyntaxError' })
  })

  test('a failing request does not keep the others from being carried out', t => {
    const { netlink } = freshNamespace(t)
    const names = ['a', 'b', 'b', 'c']
    const errors = netlink.attempt(names.map(name => createLink({ kind: 'bridge', name })))
    assert.deepEqual(
      errors.map(error => error?.code),
      [undefined, undefined, 'EEXIST', undefined],
    )
    assert.throws(
      () => netlink.run(deleteLink({ name: 'no1' }), deleteLink({ name: 'a' }), deleteLink({ name: 'no2' })),
      {
        operation: 'delete link no1',
      },
    )
    assert.deepEqual(
      netlink
        .list(allLinks())
        .map(link => link.name)
        .sort(),
      ['b', 'c', 'lo'],
    )
  })

  test('a list longer than a datagram', t => {
    const { netlink } = freshNamespace(t)
    const pairs = 150
    const requests = Array.from({ length: pairs }, (_, i) =>
      createLink({ kind: 'veth', name: `a${i}`, peer: { name: `b${i}` } }),
    )
    netlink.run(...requests)
    const links = netlink.list(allLinks())
    assert.equal(links.length, 1 + 2 * pairs)
    assert.equal(new Set(links.map(link => link.name)).size, links.length)
    const byIndex = new Map(links.map(link => [link.index, link]))
    for (const link of links)
      if (link.kind === 'veth') assert.equal(byIndex.get(link.peerIndex ?? 0)?.peerIndex, link.index)
  })

  test('events', { timeout: 10_000 }, async t => {
    const { namespace, netlink } = freshNamespace(t)
    const seen: string[] = []
    let enough: () => void = () => undefined
    const done = new Promise<void>(resolve => {
      enough = resolve
    })
    const watch = watchLinks(namespace, event => {
      seen.push(event.kind === 'lost' ? 'lost' : `${event.kind} ${event.link.name}${event.link.up ? ' up' : ''}`)
      if (seen.at(-1) === 'deleted switch') enough()
    })
    t.after(() => watch.close())
    netlink.run(
      createLink({ kind: 'bridge', name: 'switch' }),
      setLink({ name: 'switch' }, { up: true }),
      deleteLink({ name: 'switch' }),
    )
    // The watch does not keep the process alive: this timer does.
    const alive = setInterval(() => undefined, 1000)
    t.after(() => clearInterval(alive))
    await done
    assert.equal(seen[0], 'changed switch')
    assert.ok(seen.includes('changed switch up'))
    const count = seen.length
    watch.close()
    netlink.run(createLink({ kind: 'bridge', name: 'later' }))
    await setImmediate()
    assert.equal(seen.length, count)
  })
})

describe('waiting', { ...needsRoot, timeout: 20_000 }, () => {
  test('a link runs when both its ends are up', async t => {
    const { namespace, netlink } = freshNamespace(t)
    netlink.run(createLink({ kind: 'veth', name: 'a', index: 50, up: true, peer: { name: 'b', index: 51 } }))
    const waiting = whenRunning(namespace, 50)
    assert.equal(netlink.get(linkOf({ index: 50 }))?.running, false)
    netlink.run(setLink({ index: 51 }, { up: true }))
    await waiting
    assert.equal(netlink.get(linkOf({ index: 50 }))?.running, true)
    await whenRunning(namespace, 50)
  })

  test('an IPv6 address is local when the wait ends', async t => {
    const { namespace, netlink } = freshNamespace(t)
    netlink.run(
      createLink({ kind: 'veth', name: 'a', index: 50, up: true, peer: { name: 'b', index: 51 } }),
      setLink({ index: 51 }, { up: true }),
    )
    const waiting = Promise.all([whenLocal(namespace, 'fd00:9::1'), whenLocal(namespace, '10.9.0.1')])
    netlink.run(
      addAddress({ index: 50, address: 'fd00:9::1', prefixLength: 64, noDad: true }),
      addAddress({ index: 50, address: '10.9.0.1', prefixLength: 24 }),
    )
    await waiting
    assert.equal(netlink.get(routeTo('fd00:9::1'))?.type, 'local')
    await assert.rejects(
      whenLocal(namespace, 'fd00:9::2', { signal: AbortSignal.abort(new RangeError('enough')) }),
      RangeError,
    )
  })

  test('fails when the link is missing, goes away, or the wait is aborted', async t => {
    const { namespace, netlink } = freshNamespace(t)
    netlink.run(createLink({ kind: 'veth', name: 'a', index: 50, up: true, peer: { name: 'b', index: 51 } }))
    await assert.rejects(whenRunning(namespace, 99), { code: 'ENODEV' })
    await assert.rejects(
      whenRunning(namespace, 50, { signal: AbortSignal.abort(new RangeError('enough')) }),
      RangeError,
    )
    const controller = new AbortController()
    const aborted = whenRunning(namespace, 50, { signal: controller.signal })
    controller.abort(new RangeError('enough'))
    await assert.rejects(aborted, RangeError)
    const gone = whenRunning(namespace, 50)
    netlink.run(deleteLink({ index: 50 }))
    await assert.rejects(gone, { code: 'ENODEV', operation: 'wait until link 50 is running' })
  })
})

describe('links under load', needsRoot, () => {
  test('a flood of events that overruns the socket is told', { timeout: 20_000 }, async t => {
    const { namespace, netlink } = freshNamespace(t)
    netlink.run(createLink({ kind: 'bridge', name: 'switch', up: true }))
    let alive: NodeJS.Timeout | undefined
    t.after(() => clearInterval(alive))
    const lost = new Promise<void>(resolve => {
      alive = setInterval(() => undefined, 1000)
      const watch = watchLinks(namespace, event => {
        if (event.kind === 'lost') resolve()
      })
      t.after(() => watch.close())
    })
    // All in one turn of the event loop, so that nothing is read meanwhile.
    for (let i = 0; i < 80; i++)
      netlink.run(...Array.from({ length: 100 }, (_, n) => setLink({ name: 'switch' }, { alias: `${i} ${n}` })))
    await lost
  })

  test('lists are whole while links come and go', { timeout: 30_000 }, async t => {
    const { namespace, netlink } = freshNamespace(t)
    const stable = Array.from({ length: 100 }, (_, i) => createLink({ kind: 'bridge', name: `stable${i}` }))
    netlink.run(...stable)
    const churn = Array.from({ length: 60 }, () => 'link add x type veth peer name y\nlink del x').join('\n')
    const child = withNamespace(namespace, () => spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'inherit'] }))
    const ended = once(child, 'close').then(() => 'ended' as const)
    child.stdin.end(churn)
    let lists = 0
    while ((await Promise.race([ended, setImmediate('running')])) === 'running') {
      const [names] = complete(() => netlink.list(allLinks()).map(link => link.name))
      if (!names) continue
      lists++
      assert.equal(new Set(names).size, names.length)
      assert.equal(names.filter(name => name.startsWith('stable')).length, 100)
    }
    assert.ok(lists > 0)
  })
})

/** The result, or nothing when the list changed during every attempt. */
function complete<T>(list: () => T): [T] | [] {
  try {
    return [list()]
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'EINTR') return []
    throw error
  }
}
